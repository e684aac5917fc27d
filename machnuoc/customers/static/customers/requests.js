// The desk of requests by keyboard, templates of answers, and what a hint fills in.
(() => {
  "use strict";
  const rows = () => [...document.querySelectorAll("[data-row]")];
  const isWriting = (target) => target.closest("input, textarea, select, [contenteditable]");
  let here = -1;

  const stand = (number) => {
    const all = rows();
    if (!all.length) return;
    here = Math.max(0, Math.min(all.length - 1, number));
    for (const row of all) row.classList.toggle("is-here", row === all[here]);
    const link = all[here].querySelector("[data-open]");
    link.focus({ preventScroll: true });
    all[here].scrollIntoView({ block: "nearest" });
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isWriting(event.target) || document.querySelector("dialog[open]")) return;
    if (event.key === "j") stand(here + 1);
    else if (event.key === "k") stand(here - 1);
    else if (event.key === "n") document.querySelector("[data-key=n]")?.click();
    else if (event.key === "r") document.getElementById("id_answer-text")?.focus();
    else if (event.key === "?") document.getElementById("rq-help")?.showModal();
    else return;
    event.preventDefault();
  });
  document.addEventListener("focusin", (event) => {
    const row = event.target.closest("[data-row]");
    if (row) here = rows().indexOf(row);
  });
  document.addEventListener("change", (event) => {
    const field = event.target.dataset.template && document.getElementById(event.target.dataset.template);
    if (!field || !event.target.value) return;
    field.value = field.value ? `${field.value}\n${event.target.value}` : event.target.value;
    event.target.value = "";
    field.focus();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-fill]");
    if (!button) return;
    for (const [id, value] of [[button.dataset.fill, button.dataset.value], [button.dataset.also, button.dataset.alsoValue]]) {
      const field = id && document.getElementById(id);
      if (field) {
        field.value = value;
        field.dispatchEvent(new Event("change", { bubbles: true }));
      }
    }
  });
})();
