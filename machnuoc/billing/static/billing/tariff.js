// The grid of a tariff's prices: Enter goes to the cell below, a block begins where the one before ends, and a line
// is added when the last one is used. Without this script the grid is typed in as it stands.
(() => {
  "use strict";
  const cellsOf = (row) => [...row.querySelectorAll("input")];

  const addRow = (body) => {
    const last = body.rows[body.rows.length - 1];
    const row = last.cloneNode(true);
    row.classList.remove("has-error");
    for (const input of cellsOf(row)) {
      const [group, number, name] = input.name.split("-");
      input.name = `${group}-${Number(number) + 1}-${name}`;
      input.value = "";
      input.removeAttribute("aria-invalid");
      input.setAttribute("aria-label", input.getAttribute("aria-label").replace(/bậc \d+/, `bậc ${body.rows.length + 1}`));
    }
    body.append(row);
    return row;
  };

  document.addEventListener("keydown", (event) => {
    const input = event.target;
    if (event.key !== "Enter" || !(input instanceof HTMLInputElement) || !input.closest("[data-price-grid]")) return;
    event.preventDefault();
    const row = input.closest("tr");
    const next = row.nextElementSibling || addRow(row.parentElement);
    cellsOf(next)[cellsOf(row).indexOf(input)].focus();
  });

  document.addEventListener("change", (event) => {
    const input = event.target;
    if (input instanceof HTMLSelectElement && input.closest("[data-price-grid]") && input.value !== "FLAT") {
      const body = input.closest("fieldset").querySelector("tbody");
      while (body.rows.length < 4) addRow(body);
      return;
    }
    if (!(input instanceof HTMLInputElement) || !input.closest("[data-price-grid]")) return;
    const row = input.closest("tr");
    const cells = cellsOf(row);
    if (cells.indexOf(input) === 1 && input.value.trim()) {
      const next = row.nextElementSibling || addRow(row.parentElement);
      cellsOf(next)[0].value = input.value.trim();
    }
  });
})();
