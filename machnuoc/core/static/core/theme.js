// Runs before the page is drawn: the chosen theme, or that of the device.
(() => {
  "use strict";
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const read = () => {
    try {
      return localStorage.getItem("machnuoc.theme") || "auto";
    } catch {
      return "auto"; // storage is switched off in this browser
    }
  };
  const apply = () => {
    const choice = read();
    root.dataset.themeChoice = choice;
    root.dataset.bsTheme = choice === "auto" ? (dark.matches ? "dark" : "light") : choice;
    document.dispatchEvent(new CustomEvent("machnuoc:theme"));
  };
  root.classList.add("has-js");
  apply();
  dark.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  window.machnuocTheme = (choice) => {
    try {
      localStorage.setItem("machnuoc.theme", choice);
    } catch {
      root.dataset.themeChoice = choice; // holds for this page only
    }
    apply();
  };
})();
