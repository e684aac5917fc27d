// What the shell does beyond links and forms. Every page reads and works without it.
(() => {
  "use strict";

  const closeMenus = (except) => {
    for (const menu of document.querySelectorAll("details.menu[open], details.more-nav[open]")) {
      if (!menu.contains(except)) menu.open = false;
    }
  };

  document.addEventListener("click", (event) => {
    const target = event.target;
    closeMenus(target);

    const opener = target.closest("[data-dialog]");
    if (opener) {
      const dialog = document.getElementById(opener.dataset.dialog);
      if (dialog) {
        event.preventDefault();
        dialog.showModal();
      }
      return;
    }
    const closer = target.closest("dialog [data-close]");
    if (closer) {
      const dialog = closer.closest("dialog");
      if (dialog.open) {
        event.preventDefault();
        dialog.close();
      }
      return;
    }
    if (target.matches("dialog[open]")) {
      target.close(); // the backdrop
      return;
    }
    if (target.closest("[data-print]")) {
      closeMenus(null);
      window.print();
      return;
    }
    const theme = target.closest("[data-set-theme]");
    if (theme) {
      window.machnuocTheme(theme.dataset.setTheme);
      showTheme();
      closeMenus(null);
      return;
    }
    const account = target.closest("[data-fill-username]");
    if (account) {
      const name = document.getElementById("id_username");
      const password = document.getElementById("id_password");
      name.value = account.dataset.fillUsername;
      password.focus();
      return;
    }
    const copier = target.closest("[data-copy]");
    if (copier) copyText(copier);
  });

  const copyText = async (button) => {
    const field = document.getElementById(button.dataset.copy);
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      button.querySelector("[data-says]").textContent = "Đã chép";
    } catch {
      button.querySelector("[data-says]").textContent = "Nhấn Ctrl+C để chép"; // no clipboard without HTTPS
    }
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const open = document.querySelector("details.menu[open], details.more-nav[open]");
      if (open) {
        open.open = false;
        open.querySelector("summary").focus();
      }
    }
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const search = document.querySelector(".topbar-search input");
      if (search && search.offsetParent) {
        event.preventDefault();
        search.focus();
      }
    }
  });

  // A form that is on its way is not sent again by a second press (the server too acts once: core/once.py).
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || form.hasAttribute("hx-post")) return;
    if (form.dataset.onItsWay) {
      event.preventDefault();
      return;
    }
    setTimeout(() => {
      if (event.defaultPrevented) return;
      form.dataset.onItsWay = "1";
      setTimeout(() => delete form.dataset.onItsWay, 3000); // a file came instead of a page: it may be asked for again
    });
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("[data-on-its-way]")) delete form.dataset.onItsWay;
  });

  // Which groups of the side bar are open stays as this browser left it; that of the page shown is open anyway.
  const FOLDS = "machnuoc.navigation";
  const folds = [...document.querySelectorAll("details[data-nav-group]")];
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(FOLDS)) || {};
  } catch {
    kept = {}; // storage is switched off, or somebody wrote into it
  }
  for (const fold of folds) {
    const state = kept[fold.dataset.navGroup];
    if (typeof state === "boolean" && !fold.querySelector("[aria-current]")) fold.open = state;
    fold.firstElementChild.addEventListener("click", () => {
      const open = !fold.open; // the click is about to turn it
      kept[fold.dataset.navGroup] = open;
      for (const twin of folds) if (twin !== fold && twin.dataset.navGroup === fold.dataset.navGroup) twin.open = open;
      try {
        localStorage.setItem(FOLDS, JSON.stringify(kept));
      } catch {
        return; // kept for this page alone
      }
    });
  }
  const current = document.querySelector(".sidebar-nav [aria-current]");
  if (current) current.scrollIntoView({ block: "nearest" });
  for (const tab of document.querySelectorAll(".tabs [aria-current]")) {
    const strip = tab.closest(".tabs");
    strip.scrollLeft = tab.offsetLeft - strip.offsetLeft - (strip.clientWidth - tab.offsetWidth) / 2;
  }

  // On a phone a long filter shows its first box until it is asked for, or filters already.
  if (window.matchMedia("(max-width: 47.99rem)").matches) {
    for (const bar of document.querySelectorAll("form.filter-bar")) {
      const actions = bar.querySelector(".filter-bar-actions");
      const more = [...bar.querySelectorAll(":scope > .field")].slice(1);
      const asked = new URLSearchParams(location.search);
      const filters = more.some((field) => field.querySelector("[name]") && asked.get(field.querySelector("[name]").name));
      if (!actions || more.length < 2 || filters) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "btn";
      button.textContent = `Thêm ${more.length} điều kiện`;
      button.setAttribute("aria-expanded", "false");
      button.addEventListener("click", () => {
        delete bar.dataset.folded;
        button.remove();
        more[0].querySelector("input, select")?.focus();
      });
      bar.dataset.folded = "1";
      actions.append(button);
    }
  }

  // Empty filters stay out of the address.
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-filter-bar]") || event.target.hasAttribute("hx-get")) return;
    for (const field of event.target.elements) if (field.name && field.value === "") field.disabled = true;
  });
  document.addEventListener("htmx:configRequest", (event) => {
    if (!event.target.matches("[data-filter-bar]")) return;
    const parameters = event.detail.parameters;
    for (const name of [...Object.keys(parameters)]) if (parameters[name] === "") delete parameters[name];
  });

  // Pages that work without network keep things on the device. Signing out here empties them there (they look for the
  // mark), and nobody leaves unsent things behind without being told.
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-sign-out]")) return;
    try {
      const unsent = Number(localStorage.getItem("machnuoc.unsent"));
      if (unsent && !window.confirm(`Máy này còn ${unsent} mục chưa gửi. Nếu đăng xuất, các mục nằm lại trên máy đến khi bạn đăng nhập lại trên chính máy này. Vẫn đăng xuất?`)) {
        event.preventDefault();
        return;
      }
      localStorage.setItem("machnuoc.signedOut", "1");
    } catch {
      return; // storage is switched off: nothing is kept there either
    }
  });

  const showTheme = () => {
    const choice = document.documentElement.dataset.themeChoice || "auto";
    for (const button of document.querySelectorAll("[data-set-theme]")) {
      button.setAttribute("aria-pressed", String(button.dataset.setTheme === choice));
    }
  };
  showTheme();

  // A failed partial request must not look like nothing happened.
  document.addEventListener("htmx:responseError", () => announce("Máy chủ chưa trả lời được. Tải lại trang rồi thử lại."));
  document.addEventListener("htmx:sendError", () => announce("Không nối được tới máy chủ. Kiểm tra mạng rồi thử lại."));
  const announce = (text) => {
    const place = document.getElementById("announcements");
    if (place) place.textContent = text;
  };
})();
