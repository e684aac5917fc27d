// The alarm list by keyboard, and what must outlive its refresh: the ticks, the row one stands on, the note begun.
(() => {
  "use strict";
  const ticked = new Set();
  let current = sessionStorage.getItem("alarm-row") || "";
  let note = "";
  let isWriting = false;

  const list = () => document.querySelector("[data-alarms]");
  const rows = () => [...document.querySelectorAll("[data-alarm]")];
  const here = () => rows().find((row) => row.dataset.alarm === current);

  function stand(row, focus) {
    for (const other of document.querySelectorAll(".alarm-row.is-here")) other.classList.remove("is-here");
    if (!row) return;
    current = row.dataset.alarm;
    sessionStorage.setItem("alarm-row", current);
    row.classList.add("is-here");
    if (focus) {
      row.querySelector(".alarm-link").focus({ preventScroll: true });
      row.scrollIntoView({ block: "nearest" });
    }
  }

  function restore(focus) {
    for (const box of document.querySelectorAll(".alarm-tick input")) box.checked = ticked.has(box.value);
    const field = document.getElementById("ack-note");
    if (field && note) field.value = note;
    if (field && isWriting) field.focus();
    stand(here(), focus);
  }

  document.addEventListener("change", (event) => {
    const box = event.target.closest(".alarm-tick input");
    if (!box) return;
    if (box.checked) ticked.add(box.value);
    else ticked.delete(box.value);
  });
  document.addEventListener("focusin", (event) => {
    const row = event.target.closest("[data-alarm]");
    if (row) stand(row, false);
  });
  document.addEventListener("input", (event) => {
    if (event.target.id === "ack-note") note = event.target.value;
  });

  let hadFocus = false;
  let opened = new Set();
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!event.target.matches("[data-alarms]")) return;
    hadFocus = Boolean(document.activeElement && document.activeElement.closest("[data-alarm]"));
    isWriting = Boolean(document.activeElement && document.activeElement.id === "ack-note");
    opened = new Set([...document.querySelectorAll("[data-alarm] details[open]")].map((one) => one.closest("[data-alarm]").dataset.alarm));
  });
  document.addEventListener("htmx:afterSettle", () => {
    if (!list()) return;
    for (const row of rows()) {
      const folded = row.querySelector("details");
      if (folded && opened.has(row.dataset.alarm)) folded.open = true;
    }
    restore(hadFocus);
  });
  for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => {
      const lost = list() && list().querySelector("[data-lost]");
      if (lost && event.target.matches("[data-alarms]")) lost.hidden = false;
    });
  }

  // The stream of events says when alarms change. What it does not say (time that passes, a rule put aside) comes once in
  // a while; without the stream the list asks by itself, every few seconds.
  const ASK_MS = 5000;
  const ASK_BESIDE_STREAM_MS = 30000;
  let hears = false;
  let askedMs = Date.now();
  let soon = 0;
  function ask() {
    soon = 0;
    if (!list() || !window.htmx) return;
    askedMs = Date.now();
    window.htmx.trigger(list(), "machnuoc:refresh");
  }
  document.addEventListener("machnuoc:stream", (event) => {
    const isBack = !event.detail.lost && !hears;
    hears = !event.detail.lost;
    if (isBack && Date.now() - askedMs > 3000) ask(); // what changed while nobody said so
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  document.addEventListener("machnuoc:alarms", () => { soon = soon || window.setTimeout(ask, 300); });
  window.setInterval(() => {
    if (document.hidden) return;
    if (Date.now() - askedMs >= (hears ? ASK_BESIDE_STREAM_MS : ASK_MS)) ask();
  }, 1000);

  function help() {
    const dialog = document.getElementById("alarm-help");
    if (dialog && !dialog.open) dialog.showModal();
  }
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-alarm-help]")) help();
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !list()) return;
    const target = event.target;
    if (target.closest("input:not([type=checkbox]), textarea, select, dialog[open]")) return;
    const all = rows();
    const at = all.findIndex((row) => row.dataset.alarm === current);
    const row = all[at];
    switch (event.key) {
      case "j":
        stand(all[Math.min(at + 1, all.length - 1)], true);
        break;
      case "k":
        stand(all[Math.max(at - 1, 0)], true);
        break;
      case "x": {
        const box = row && row.querySelector(".alarm-tick input");
        if (box) box.click();
        break;
      }
      case "a": {
        const form = document.getElementById("ack-form");
        if (!form || !form.querySelector(".alarm-tick")) return;
        const any = [...form.querySelectorAll(".alarm-tick input")].some((box) => box.checked);
        const box = row && row.querySelector(".alarm-tick input");
        if (!any && !box) return;
        if (!any) box.checked = true;
        // The row goes elsewhere in the list: stand on the next one that stays.
        const next = [...all.slice(at + 1), ...all.slice(0, Math.max(at, 0)).reverse()]
          .find((other) => !other.querySelector(".alarm-tick input:checked"));
        if (next) sessionStorage.setItem("alarm-row", next.dataset.alarm);
        sessionStorage.setItem("alarm-acted", "1");
        form.requestSubmit();
        break;
      }
      case "n":
        if (row) window.location.assign(row.querySelector(".alarm-link").getAttribute("href") + "#viec-da-lam");
        break;
      case "s":
        if (row && row.dataset.shelve) window.location.assign(row.dataset.shelve);
        break;
      case "?":
        help();
        break;
      default:
        return;
    }
    event.preventDefault();
  });

  restore(sessionStorage.getItem("alarm-acted") === "1");
  sessionStorage.removeItem("alarm-acted");
})();
