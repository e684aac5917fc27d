// Adds a «Chép» button to what is typed into a banking application.
(() => {
  "use strict";
  if (!navigator.clipboard) return; // plain http: the number is selected by hand
  for (const place of document.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn copy";
    button.textContent = "Chép";
    const label = place.closest("div").querySelector("dt").textContent;
    button.setAttribute("aria-label", `Chép ${label.toLowerCase()}`);
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(place.dataset.copy || place.textContent.trim());
      button.textContent = "Đã chép";
      setTimeout(() => { button.textContent = "Chép"; }, 2000);
    });
    place.after(" ", button);
  }
})();
