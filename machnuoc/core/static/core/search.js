// Arrow keys between a search box and what it found. Without this file the results are plain links.
(() => {
  "use strict";
  const PLACES = [
    [".topbar-search", "#search-live"],
    [".search-page-form", "#results"],
  ];

  document.addEventListener("keydown", (event) => {
    for (const [form, results] of PLACES) {
      const box = document.querySelector(`${form} input[type="search"]`);
      const list = document.querySelector(results);
      if (!box || !list || !(event.target === box || list.contains(event.target))) continue;
      if (event.key === "Escape" && list.id === "search-live") {
        list.replaceChildren();
        box.focus();
        return;
      }
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      const links = [...list.querySelectorAll("li a, .search-live-all a")];
      const here = links.indexOf(event.target);
      if (!links.length || (here < 0 && event.target !== box)) return;
      if (here < 0 && event.key === "ArrowUp") return;
      event.preventDefault();
      const next = event.key === "ArrowDown" ? here + 1 : here - 1;
      if (next < 0) box.focus();
      else links[Math.min(next, links.length - 1)].focus();
      return;
    }
  });
})();
