// The matrix of places and criteria: arrow keys walk from cell to cell, Escape comes back from the panel.
"use strict";

(() => {
  const cells = (matrix) => [...matrix.tBodies[0].rows].map((row) => [...row.querySelectorAll(".matrix-cell a")]);

  const rest = (matrix, chosen) => {
    matrix.querySelectorAll(".matrix-cell a").forEach((link) => link.setAttribute("tabindex", link === chosen ? "0" : "-1"));
  };

  const begin = () => {
    document.querySelectorAll("[data-matrix]").forEach((matrix) => {
      const first = matrix.querySelector(".matrix-cell a");
      if (first && !matrix.querySelector('.matrix-cell a[tabindex="0"]')) rest(matrix, first);
    });
  };

  document.addEventListener("keydown", (event) => {
    const link = event.target.closest?.("[data-matrix] .matrix-cell a");
    if (event.key === "Escape" && event.target.closest?.(".cell-panel")) {
      const current = document.querySelector("[data-matrix] a[aria-current]");
      document.getElementById("cell-panel")?.replaceChildren();
      current?.focus();
      return;
    }
    if (!link || event.altKey || event.ctrlKey || event.metaKey) return;
    const matrix = link.closest("[data-matrix]");
    const rows = cells(matrix);
    const y = rows.findIndex((row) => row.includes(link));
    const x = rows[y].indexOf(link);
    const moves = {
      ArrowRight: [y, x + 1], ArrowLeft: [y, x - 1], ArrowDown: [y + 1, x], ArrowUp: [y - 1, x],
      Home: [y, 0], End: [y, rows[y].length - 1], PageDown: [Math.min(rows.length - 1, y + 10), x], PageUp: [Math.max(0, y - 10), x],
    };
    const next = moves[event.key] && rows[moves[event.key][0]]?.[moves[event.key][1]];
    if (!moves[event.key]) return;
    event.preventDefault();
    if (next) {
      rest(matrix, next);
      next.focus();
    }
  });

  document.addEventListener("click", (event) => {
    const close = event.target.closest?.("[data-close-cell]");
    if (close) {
      event.preventDefault();
      const current = document.querySelector("[data-matrix] a[aria-current]");
      document.getElementById("cell-panel")?.replaceChildren();
      current?.removeAttribute("aria-current");
      current?.focus();
      return;
    }
    const link = event.target.closest?.("[data-matrix] .matrix-cell a");
    if (!link) return;
    const matrix = link.closest("[data-matrix]");
    matrix.querySelectorAll("a[aria-current]").forEach((one) => one.removeAttribute("aria-current"));
    link.setAttribute("aria-current", "true");
    rest(matrix, link);
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "cell-panel") event.detail.target.querySelector("[tabindex='-1']")?.focus();
    begin();
  });
  begin();
})();
