// Rows of a target's path: add one, take one out. Without this script the empty rows of the form serve.
(() => {
  const setUp = (path) => {
    const add = path.querySelector("[data-plan-add]");
    const rows = () => [...path.querySelectorAll("[data-plan-step]")];
    const number = () => rows().forEach((row, index) => {
      const [period, amount] = row.querySelectorAll("input");
      period.setAttribute("aria-label", `Kỳ, dòng ${index + 1}`);
      amount.setAttribute("aria-label", `Mức, dòng ${index + 1}`);
    });
    add.hidden = false;
    for (const button of path.querySelectorAll("[data-plan-drop]")) button.hidden = false;
    path.addEventListener("click", (event) => {
      const drop = event.target.closest("[data-plan-drop]");
      if (drop) {
        const row = drop.closest("[data-plan-step]");
        if (rows().length > 1) row.remove();
        else for (const input of row.querySelectorAll("input")) input.value = "";
        number();
        (rows().at(-1).querySelector("input") ?? add).focus();
      } else if (event.target.closest("[data-plan-add]")) {
        const row = rows().at(-1).cloneNode(true);
        for (const input of row.querySelectorAll("input")) {
          input.value = "";
          input.classList.remove("is-invalid");
          input.removeAttribute("aria-invalid");
          input.removeAttribute("aria-describedby");
        }
        row.querySelector(".field-error")?.remove();
        add.before(row);
        number();
        row.querySelector("input").focus();
      }
    });
  };
  for (const path of document.querySelectorAll("[data-plan-path]")) setUp(path);
})();
