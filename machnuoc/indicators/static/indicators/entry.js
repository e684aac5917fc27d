// Moving through the entry grid with the keyboard. The page saves and sends without it.
(() => {
  "use strict";

  const grid = document.querySelector("[data-entry-grid]");
  if (!grid) return;
  const form = grid.closest("form");

  const move = (input, step) => {
    const row = input.closest("tr");
    const column = input.closest("td").cellIndex;
    let next = row;
    do {
      next = step > 0 ? next.nextElementSibling : next.previousElementSibling;
    } while (next && !next.cells[column]?.querySelector(".entry-input"));
    const target = next && next.cells[column].querySelector(".entry-input");
    if (!target) return false;
    target.focus();
    target.select();
    return true;
  };

  grid.addEventListener("keydown", (event) => {
    const input = event.target;
    if (!input.matches(".entry-input") || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    if (event.key === "Enter") {
      event.preventDefault(); // Enter goes on, it does not send half a sheet
      move(input, event.shiftKey ? -1 : 1);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      move(input, event.key === "ArrowDown" ? 1 : -1);
    }
  });

  // A column pasted from a spreadsheet fills downwards.
  grid.addEventListener("paste", (event) => {
    const input = event.target;
    if (!input.matches(".entry-input")) return;
    const lines = event.clipboardData.getData("text").replace(/\r/g, "").replace(/\n$/, "").split("\n");
    if (lines.length < 2) return;
    event.preventDefault();
    let current = input;
    for (const line of lines) {
      current.value = line.split("\t")[0].trim();
      if (!move(current, 1)) break;
      current = document.activeElement;
    }
    isChanged = true;
  });

  // Leaving with figures that are not saved asks first.
  let isChanged = false;
  form.addEventListener("input", () => { isChanged = true; });
  form.addEventListener("submit", () => { isChanged = false; });
  window.addEventListener("beforeunload", (event) => { if (isChanged) event.preventDefault(); });
})();
