// The grid of readings by keyboard: Enter saves a row and goes down; what is odd is asked before one leaves it.
// The rule is the one of plausibility.py (docs/algorithms/readings.md); the server judges again.
(() => {
  "use strict";
  const SUDDEN_FACTOR = 3, SUDDEN_LEAST_L = 10000, FIRST_MOST_L = 50000, ZERO_LEAST_L = 1000;
  const format = new Intl.NumberFormat("vi-VN", { maximumFractionDigits: 3 });

  // «1.288» is a thousand and more, «1.288,5» has a fraction; null is nothing, NaN no number.
  function litres(text) {
    const plain = text.trim().replace(/\s/g, "");
    if (!plain) return null;
    if (!/^\d{1,3}(\.\d{3})+(,\d{1,3})?$|^\d+(,\d{1,3})?$/.test(plain)) return NaN;
    return Math.round(parseFloat(plain.replace(/\./g, "").replace(",", ".")) * 1000);
  }

  function judge(row, index) {
    const before = Number(row.dataset.before);
    const capacity = 10 ** Number(row.dataset.digits) * 1000;
    const days = Math.max(Math.round((new Date(row.dataset.on) - new Date(row.dataset.beforeDate)) / 864e5), 1);
    const hasMean = row.dataset.meanL !== undefined;
    const isSudden = (used) => {
      if (used <= SUDDEN_LEAST_L) return false;
      if (!hasMean) return used * 30 > FIRST_MOST_L * Math.max(Number(row.dataset.households), 1) * Math.max(days, 30);
      return used * Number(row.dataset.meanDays) > SUDDEN_FACTOR * Number(row.dataset.meanL) * days;
    };
    if (index >= capacity) return { text: `Đồng hồ chỉ có ${row.dataset.digits} chữ số.`, flags: [], blocks: true };
    if (index < before) {
      const rolled = index + capacity - before;
      if (before * 100 >= 90 * capacity && rolled * 100 <= 10 * capacity) {
        return { text: `Đồng hồ quay vòng qua 0? Khi đó dùng ${format.format(rolled / 1000)} m³. Enter lần nữa nếu đúng.`, flags: ["ROLLOVER"], used: rolled };
      }
      return { text: "Chỉ số lùi so với lần trước. Đọc lại; Enter lần nữa để gửi và chờ xem lại.", flags: [], asks: true };
    }
    const used = index - before;
    if (isSudden(used)) {
      const flags = ["SUDDEN"];
      if (capacity - used <= 50000) flags.push("BACKWARDS");
      return { text: `Dùng ${format.format(used / 1000)} m³, gấp nhiều lần mọi kỳ. Enter lần nữa nếu đúng.`, flags, used };
    }
    if (used === 0 && hasMean && days >= 15 && Number(row.dataset.meanL) * 30 >= ZERO_LEAST_L * Number(row.dataset.meanDays)) {
      return { text: "Không dùng nước kỳ này? Enter lần nữa nếu đúng.", flags: ["ZERO"], used };
    }
    return { text: "", flags: [], used };
  }

  const grid = () => document.querySelector("[data-reading-grid]");
  const entry = (row) => row.querySelector(".rd-entry input:not([type=hidden])");
  let next = null;

  function say(row, text, asking) {
    row.classList.toggle("is-asking", asking);
    row.querySelector("[data-says]").textContent = text;
  }
  function show(row) {
    const index = litres(entry(row).value);
    const cell = row.querySelector("[data-used]");
    row.dataset.asked = "";
    row.querySelector("[data-confirmed]").value = "";
    if (index === null || Number.isNaN(index)) {
      cell.textContent = "–";
      say(row, Number.isNaN(index) ? "Không phải số. Viết như 1.288 hoặc 1288." : "", Number.isNaN(index));
      return;
    }
    const found = judge(row, index);
    cell.textContent = found.used === undefined ? "?" : format.format((found.used + Number(row.dataset.earlier)) / 1000);
    say(row, found.text.replace(/ ?Enter lần nữa[^.]*\./, ""), Boolean(found.text));
  }
  function follow(row) {
    let other = row.nextElementSibling;
    while (other && !entry(other)) other = other.nextElementSibling;
    return other;
  }
  function save(row, move) {
    const index = litres(entry(row).value);
    if (Number.isNaN(index)) return say(row, "Không phải số. Viết như 1.288 hoặc 1288.", true);
    if (index !== null) {
      const found = judge(row, index);
      if (found.blocks) return say(row, found.text, true);
      if (found.text && row.dataset.asked !== entry(row).value) {
        row.dataset.asked = entry(row).value;
        return say(row, found.text, true);
      }
      row.querySelector("[data-confirmed]").value = found.flags.join(",");
    }
    const other = move ? follow(row) : null;
    next = other ? other.dataset.line : null;
    if (index !== null && entry(row).value !== entry(row).defaultValue) window.htmx.trigger(row, "save");
    if (other) { entry(other).focus(); entry(other).select(); }
  }

  document.addEventListener("input", (event) => {
    const row = event.target.closest("[data-reading-grid] tr[data-line]");
    if (row && event.target === entry(row)) show(row);
  });
  document.addEventListener("keydown", (event) => {
    const row = event.target.closest && event.target.closest("[data-reading-grid] tr[data-line]");
    if (!row || event.target !== entry(row)) return;
    if (event.key === "Enter" || event.key === "ArrowDown") {
      event.preventDefault();
      save(row, true);
    } else if (event.key === "ArrowUp") {
      event.preventDefault();
      let other = row.previousElementSibling;
      while (other && !entry(other)) other = other.previousElementSibling;
      if (other) { entry(other).focus(); entry(other).select(); }
    }
  });
  document.addEventListener("change", (event) => {
    const why = event.target.closest("[data-why]");
    if (why && why.value) window.htmx.trigger(why.closest("tr"), "save");
    if (event.target.matches("[data-submit-on-change]") && event.target.value) event.target.form.requestSubmit();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-confirm]");
    if (button) {
      const row = button.closest("tr");
      row.querySelector("[data-confirmed]").value = button.dataset.confirm;
      window.htmx.trigger(row, "save");
    }
  });
  window.addEventListener("beforeunload", (event) => {
    if (!grid()) return;
    const dirty = [...grid().querySelectorAll("tr[data-line]")].some((row) => entry(row) && entry(row).value !== entry(row).defaultValue && row.classList.contains("is-asking"));
    if (dirty) event.preventDefault();
  });

  // The order of a route by dragging rows; the numbers follow, and are what is sent.
  let dragged = null;
  document.addEventListener("dragstart", (event) => {
    dragged = event.target.closest && event.target.closest("[data-order] tbody tr");
    if (dragged) dragged.classList.add("is-dragged");
  });
  document.addEventListener("dragover", (event) => {
    const row = dragged && event.target.closest("[data-order] tbody tr");
    if (!row) return;
    event.preventDefault();
    const after = event.clientY > row.getBoundingClientRect().top + row.offsetHeight / 2;
    if (row !== dragged) row.parentNode.insertBefore(dragged, after ? row.nextSibling : row);
  });
  document.addEventListener("dragend", () => {
    if (!dragged) return;
    dragged.classList.remove("is-dragged");
    const inputs = [...dragged.closest("tbody").querySelectorAll("input[type=number]")];
    const first = Math.min(...inputs.map((input) => Number(input.value) || 1));
    inputs.forEach((input, place) => { input.value = first + place; });
    dragged = null;
  });
})();
