// The key n of the list of alarms opens an alarm at #viec-da-lam: there one goes on writing.
(() => {
  "use strict";
  const write = () => document.querySelector("#viec-da-lam textarea")?.focus();
  // The browser goes to the part of the page once that is read, and takes the focus away from what had it.
  if (location.hash === "#viec-da-lam") window.addEventListener("load", () => requestAnimationFrame(write));
})();
