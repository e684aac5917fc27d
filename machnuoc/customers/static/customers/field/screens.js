// The screens of meter readers: routes, one route, one door, the queue. Everything is drawn from what is on the phone.
(() => {
  "use strict";
  const store = self.fieldStore, rules = self.fieldRules, sending = self.fieldSending;
  const main = document.getElementById("content");
  const page = document.body.dataset;
  const m3 = new Intl.NumberFormat("vi-VN", { maximumFractionDigits: 3 });
  const SIDE_MOST = 1280, PHOTO_MOST = 200 * 1024, SPACE_LEAST = 30e6;
  const SLOW_MS = 20e3, SEARCH_FROM = 10;

  const state = { me: null, found: null, packages: [], queue: [], session: "unknown", isSending: false, isLocked: false, space: null, position: null, watch: null };

  const FATES = {
    WAITING: ["Chờ gửi", "clock", "wait"], SENDING: ["Đang gửi", "cloud-upload", "wait"], STORED: ["Đã lưu", "circle-check", "good"],
    SUSPECT: ["Đã lưu, chờ xem lại", "alert-triangle", "warning"], CONFLICT: ["Trùng, khác số đã có", "versions", "danger"],
    DUPLICATE: ["Số này đã có", "copy", "good"], REFUSED: ["Không nhận", "circle-x", "danger"],
  };
  const WHYS = {
    SUDDEN: ["Rò rỉ sau đồng hồ", "Nhà đông người, có việc", "Sản xuất, tưới cây"],
    BACKWARDS: ["Đồng hồ lắp ngược"], ROLLOVER: ["Đồng hồ đã qua số cuối"], ZERO: ["Nhà vắng", "Đồng hồ kẹt", "Dùng nguồn khác"],
    REVERSED: ["Đồng hồ đã thay", "Đồng hồ chạy ngược"], SWAPPED: ["Đã đối chiếu số sê-ri"], FAR: ["Vị trí máy không chính xác"],
  };

  // --- drawing

  function h(tag, attributes = {}, ...children) {
    const [name, ...classes] = tag.split(".");
    const node = document.createElement(name || "div");
    if (classes.length) node.className = classes.join(" ");
    for (const [key, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key in node && typeof value !== "string") node[key] = value;
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
    return node;
  }
  function icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    svg.setAttribute("class", "icon");
    svg.setAttribute("aria-hidden", "true");
    use.setAttribute("href", `${page.icons}#${name}`);
    svg.append(use);
    return svg;
  }
  const tag = (text, iconName, tone = "") => h(`span.tag${tone ? `.is-${tone}` : ""}`, {}, icon(iconName), text);
  const fateTag = (item) => tag(...FATES[item.state]);
  const note = (tone, title, text, ...more) => h(`div.note.is-${tone}`, {}, icon({ danger: "alert-circle", warning: "alert-triangle" }[tone] || "info-circle"),
    h("div", {}, h("strong", {}, title), text ? h("p", {}, text) : null, ...more));
  const show = (litres) => m3.format(litres / 1000);
  const bytes = (count) => (count < 1e6 ? `${Math.max(1, Math.round(count / 1000))} kB` : `${m3.format(Math.round(count / 1e5) / 10)} MB`);
  const at = (moment) => {
    const local = new Date(moment + 7 * 3600e3).toISOString(); // Việt Nam keeps UTC+7 all year
    return `${local.slice(11, 16)} ${local.slice(8, 10)}/${local.slice(5, 7)}`;
  };
  const indexText = (item) => (item.index_l === null ? item.no_access_name : `${show(item.index_l)} m³`);

  let toastTimer = 0;
  function toast(text) {
    const place = document.querySelector(".toast");
    place.textContent = text;
    place.classList.add("is-shown");
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => place.classList.remove("is-shown"), 3500);
  }

  function put(title, back, ...children) {
    document.title = `${title} · Ghi chỉ số · Mạch Nước`;
    const backLink = document.querySelector(".bar-back");
    backLink.hidden = back === null;
    if (back !== null) backLink.setAttribute("href", back);
    document.querySelector(".bar-title span").textContent = back === null ? "Ghi chỉ số" : title;
    // What looks the same stays: a finger may be on its way to it.
    const drawn = h("div", {}, ...children);
    if (drawn.innerHTML !== main.innerHTML || /^#\/ghi\//.test(location.hash)) main.replaceChildren(...drawn.childNodes);
    document.body.classList.toggle("is-entry", Boolean(main.querySelector(".save")));
    for (const link of document.querySelectorAll(".foot a")) {
      const isHere = (link.dataset.tab === "queue") === (location.hash === "#/hang-doi");
      if (isHere) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    drawFrame();
  }

  function drawFrame() {
    const waiting = own().filter(store.isUnsent).length;
    const place = document.querySelector(".bar-net");
    const [text, tone, name] = state.isSending ? ["Đang gửi", "wait", "cloud-upload"]
      : state.session === "out" ? ["Cần đăng nhập", "warning", "login"]
      : !navigator.onLine || state.session === "offline" ? ["Mất mạng", "off", "cloud-off"] : ["Có mạng", "on", "check"];
    if (place.textContent !== text) place.replaceChildren(icon(name), text);
    place.className = `bar-net is-${tone}`;
    const count = document.querySelector(".foot-count");
    count.hidden = !waiting;
    count.textContent = waiting || "";
    count.setAttribute("aria-label", `${waiting} mục chưa gửi`);
    try {
      localStorage.setItem("machnuoc.unsent", String(state.queue.filter(store.isUnsent).length));
    } catch { /* storage is switched off: other pages then cannot warn */ }
  }

  function dialog(title, ...children) {
    const box = h("dialog", { "aria-labelledby": "dialog-title" }, h("h2", { id: "dialog-title" }, title), ...children);
    box.addEventListener("close", () => box.remove());
    document.body.append(box);
    box.showModal();
    return box;
  }

  // --- what is on the phone

  const own = () => (state.me ? state.queue.filter((item) => item.person === state.me.person.id) : []);
  const others = () => state.queue.filter((item) => (!state.me || item.person !== state.me.person.id) && store.isUnsent(item));
  const packageOf = (round) => state.packages.find((one) => one.round === round);
  const entryOf = (pack, connection) => own().filter((item) => item.round === pack.round && item.connection === connection)
    .sort((one, other) => other.made_at - one.made_at)[0] || null;
  const isDone = (pack, one) => {
    const item = entryOf(pack, one.id);
    return item ? item.state !== "REFUSED" : Boolean(one.read);
  };

  async function load() {
    state.me = state.isLocked ? null : (await store.get("meta", "me")) || null;
    if (!state.me) state.found = null;
    const packages = await store.all("packages");
    state.packages = state.me ? packages.filter((one) => one.person === state.me.person.id) : [];
    state.queue = await store.all("queue");
  }

  async function checkSpace() {
    if (!navigator.storage || !navigator.storage.estimate) return;
    const { quota = 0, usage = 0 } = await navigator.storage.estimate();
    state.space = quota - usage;
  }

  // --- talking to the server

  async function sync(force = false) {
    if (state.isSending) return;
    if (!state.isLocked && isSignedOut()) return leave();
    state.isSending = true;
    drawFrame();
    try {
      const done = await sending.run(force);
      state.session = done.session;
      if (done.session === "in") unlock();
      if (done.session === "in" && force) toast(done.waiting ? `Còn ${done.waiting} mục chưa gửi được.` : "Đã gửi hết.");
      if (done.session === "offline" && force) toast("Chưa có mạng. Mục đã ghi vẫn nằm an toàn trên máy.");
      if (done.session === "trouble" && force) toast("Máy chủ chưa trả lời được. Sẽ tự gửi lại.");
      if (done.waiting) askLater();
    } finally {
      state.isSending = false;
    }
    await load();
    draw(true);
  }

  let laterTimer = 0;
  function askLater() {
    clearTimeout(laterTimer);
    laterTimer = setTimeout(() => { if (navigator.onLine) sync(); }, SLOW_MS);
    if (navigator.serviceWorker && "SyncManager" in self) {
      navigator.serviceWorker.ready.then((one) => one.sync.register("field-sending")).catch(() => { /* not allowed: the page itself sends */ });
    }
  }

  function isSignedOut() {
    try {
      return Boolean(localStorage.getItem("machnuoc.signedOut"));
    } catch {
      return false; // storage is switched off
    }
  }

  // Somebody signed out on another page: what was taken along leaves the phone, what waits stays.
  async function leave() {
    state.isLocked = true;
    await sending.forget();
    await load();
    draw();
    await sync();
  }

  function unlock() {
    state.isLocked = false;
    try {
      localStorage.removeItem("machnuoc.signedOut");
    } catch { /* storage is switched off */ }
  }

  async function download(round, button) {
    button.disabled = true;
    button.replaceChildren(icon("download"), "Đang tải…");
    const begun = performance.now();
    try {
      const answer = await sending.ask(`/di-ghi/tuyen/${round}`);
      if (sending.isOut(answer)) {
        state.session = "out";
        return draw();
      }
      if (!answer.ok) {
        toast(answer.status === 404 ? "Đợt ghi này đã chốt hoặc không còn giao cho bạn." : `Chưa tải được tuyến (mã ${answer.status}). Thử lại.`);
        return draw();
      }
      const text = await answer.text();
      const pack = JSON.parse(text);
      if (navigator.storage && navigator.storage.persist) navigator.storage.persist();
      await store.put("packages", {
        ...pack, key: `${state.me.person.id}:${round}`, person: state.me.person.id, downloaded_at: Date.now(),
        bytes: new Blob([text]).size, took_ms: Math.round(performance.now() - begun),
      });
      await load();
      await checkSpace();
      toast(`Đã tải tuyến ${pack.code}: ${pack.items.length} đấu nối. Dùng được khi mất mạng.`);
      draw();
    } catch (error) {
      if (error.name === "QuotaExceededError") toast("Máy hết bộ nhớ nên chưa tải được tuyến. Xóa bớt ảnh, ứng dụng rồi tải lại.");
      else if (error instanceof sending.NoNetwork) toast("Mất mạng khi đang tải. Thử lại khi có mạng.");
      else throw error;
      draw();
    }
  }

  // --- notes that stand above every list

  function warnings() {
    const found = [];
    if (state.session === "out") {
      found.push(note("warning", "Phiên đăng nhập đã hết", "Mục đã ghi vẫn nằm trên máy này. Đăng nhập lại để gửi.", h("a.button", { href: page.signIn }, icon("login"), "Đăng nhập lại")));
    }
    if (state.session === "forbidden") found.push(note("danger", "Tài khoản không được ghi chỉ số", "Nhờ trạm hoặc phòng chuyên môn giao tuyến."));
    if (others().length) {
      found.push(note("warning", `${others().length} mục của tài khoản khác còn chờ trên máy này`, "Người đã ghi cần đăng nhập trên máy này để gửi. Mục không bị xóa."));
    }
    if (state.space !== null && state.space < SPACE_LEAST) {
      found.push(note("danger", `Bộ nhớ máy sắp đầy, còn ${bytes(Math.max(state.space, 0))}`, "Gửi mục đang chờ, xóa bớt ảnh trong máy trước khi đi ghi. Khi hết bộ nhớ sẽ không lưu thêm được ảnh."));
    }
    if (state.me && Math.abs(state.me.skew_ms) > 5 * 60e3) {
      found.push(note("warning", `Đồng hồ máy lệch ${Math.round(Math.abs(state.me.skew_ms) / 60e3)} phút`, "Hệ thống tự chỉnh lại giờ đọc. Nên đặt giờ tự động trong cài đặt của máy."));
    }
    return found;
  }

  // --- first screen: routes

  function drawHome() {
    if (!state.me) {
      return put("Ghi chỉ số", null, h("h1.visually-hidden", {}, "Ghi chỉ số"), warnings(), state.session === "unknown" ? h("p.quiet", {}, "Đang kiểm tra đăng nhập…")
        : state.session === "out" ? null : note("info", "Cần mạng cho lần đầu", "Mở trang này khi có mạng, đăng nhập và tải tuyến về máy. Sau đó dùng được cả khi mất mạng.", h("a.button", { href: page.signIn }, icon("login"), "Đăng nhập")));
    }
    const found = state.found;
    const rounds = (found ? found.rounds : state.me.rounds).slice();
    const open = new Set(state.me.open || state.me.rounds.map((one) => one.round));
    // What is on the phone stands first, also where the list is long or something else is looked for.
    for (const pack of state.packages) if (!rounds.some((one) => one.round === pack.round)) rounds.unshift({ ...pack, isGone: !open.has(pack.round), total: pack.items.length });
    const pages = found ? found.pages : state.me.pages || 1, shownPages = found ? found.page : 1;
    put("Ghi chỉ số", null, h("h1.visually-hidden", {}, "Tuyến cần ghi"), warnings(),
      open.size > SEARCH_FROM || found ? searchBox(found) : null,
      found && found.q ? h("p.quiet", { role: "status" }, `${found.count} tuyến khớp «${found.q}».`) : null,
      rounds.length ? h("ul.cards", {}, rounds.map(roundCard)) : note("info", "Chưa có tuyến nào cần ghi", "Khi văn phòng mở đợt ghi và giao tuyến cho bạn, tuyến hiện ở đây."),
      shownPages < pages ? h("button.button.is-wide", { type: "button", disabled: !navigator.onLine, onclick: (event) => look(found ? found.q : "", shownPages + 1, event.currentTarget) }, icon("chevron-down"), `Xem thêm tuyến (trang ${shownPages}/${pages})`) : null,
      h("footer.me", {}, h("p", {}, icon("user-circle"), state.me.person.name),
        h("div.me-links", {}, h("a.button.is-plain", { href: page.overview }, icon("dashboard"), "Về Tổng quan"),
          h("button.button.is-plain", { type: "button", onclick: signOut }, icon("logout"), "Đăng xuất"))));
  }

  function searchBox(found) {
    const field = h("input", { id: "look", type: "search", value: found ? found.q : "", maxlength: "100", autocomplete: "off", enterkeyhint: "search" });
    return h("form.look", { role: "search", onsubmit: (event) => { event.preventDefault(); look(field.value.trim(), 1, event.submitter); } },
      h("label", { for: "look" }, "Tìm tuyến theo mã, tên, công trình"),
      h("div.look-row", {}, field, h("button.button", { type: "submit" }, icon("search"), "Tìm")));
  }

  // Asks for the open rounds that match, a page at a time; without words and network it is the list on the phone again.
  async function look(words, number, button) {
    if (!words && number === 1) {
      state.found = null;
      return draw();
    }
    if (button) button.disabled = true;
    try {
      const answer = await sending.ask(`/di-ghi/tuyen?${new URLSearchParams({ q: words, page: number })}`);
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const said = await answer.json();
      const before = number > 1 ? (state.found || state.me).rounds : [];
      state.found = { q: words, page: said.page, pages: said.pages, count: said.count, rounds: [...before, ...said.rounds] };
    } catch (error) {
      toast(error instanceof sending.NoNetwork ? "Chưa có mạng nên chưa tìm được. Tuyến đã tải vẫn mở được." : "Máy chủ chưa trả lời được. Thử lại sau.");
      if (button) button.disabled = false;
      return;
    }
    draw();
  }

  function roundCard(one) {
    const pack = packageOf(one.round);
    const done = pack ? pack.items.filter((item) => isDone(pack, item)).length : one.read || 0;
    const total = pack ? pack.items.length : one.total;
    const isOld = pack && !one.isGone && pack.version !== one.version;
    const waiting = own().filter((item) => item.round === one.round && store.isUnsent(item)).length;
    const fetchButton = (text, plain) => h(`button.button${plain ? "" : ".is-main"}`, { type: "button", disabled: !navigator.onLine, onclick: (event) => download(one.round, event.currentTarget) }, icon("download"), text);
    return h("li.card", {},
      h("div.card-head", {}, h("h2", {}, one.code), tag(`Kỳ ${one.period_name}`, "calendar"), one.is_simulated ? tag("mô phỏng", "flask", "warning") : null),
      h("p.quiet", {}, `${one.name}, ${one.work}. Ghi ngày ${one.due}.`),
      h("label.progress", {}, h("progress", { max: String(Math.max(total, 1)), value: String(done) }), h("span", {}, `Đã ghi ${done}/${total}`)),
      pack ? h("p.small", {}, icon("device-mobile"), `Đã tải lúc ${at(pack.downloaded_at)}, ${bytes(pack.bytes)}, ${m3.format(Math.max(Math.round(pack.took_ms / 100), 1) / 10)} giây`) : null,
      one.isGone ? h("p.small.is-warning", {}, "Đợt này đã chốt hoặc không còn giao cho bạn. Mục chưa gửi vẫn gửi được.") : null,
      isOld ? h("p.small.is-warning", {}, "Tuyến vừa có thay đổi ở văn phòng. Tải lại trước khi đi.") : null,
      h("div.card-acts", {},
        pack ? h("a.button.is-main", { href: `#/tuyen/${one.round}` }, icon("player-play"), done && done < total ? "Ghi tiếp" : "Mở tuyến") : fetchButton("Tải tuyến về máy", false),
        pack && !one.isGone ? fetchButton("Tải lại", true) : null,
        pack && !waiting ? h("button.button.is-plain", { type: "button", onclick: async () => { await store.remove("packages", pack.key); await load(); draw(); toast(`Đã xóa tuyến ${pack.code} khỏi máy.`); } }, icon("trash"), "Xóa khỏi máy") : null));
  }

  function signOut() {
    const waiting = own().filter(store.isUnsent).length;
    const box = dialog("Đăng xuất khỏi máy này?",
      waiting ? note("danger", `Còn ${waiting} mục chưa gửi`, "Nên gửi trước. Nếu vẫn đăng xuất, các mục này nằm lại trên máy và chỉ bạn gửi được sau khi đăng nhập lại trên chính máy này.") : null,
      h("p", {}, "Tuyến đã tải (tên, địa chỉ khách hàng) được xóa khỏi máy."),
      h("div.dialog-acts", {},
        h("button.button", { type: "button", onclick: () => box.close() }, "Ở lại"),
        waiting ? h("button.button.is-main", { type: "button", onclick: () => { box.close(); sync(true); } }, icon("cloud-upload"), "Gửi trước") : null,
        h("button.button.is-danger", { type: "button", onclick: async () => {
          box.close();
          try {
            const asked = await sending.askMe();
            if (asked.session === "in") await sending.ask(page.signOut, { method: "POST", headers: { "X-CSRFToken": asked.me.csrf } });
          } catch (error) {
            if (!(error instanceof sending.NoNetwork)) throw error;
            return toast("Cần có mạng để đăng xuất. Có thể xóa từng tuyến khỏi máy.");
          }
          await store.clear(null);
          await store.remove("meta", "me");
          location.href = page.signIn;
        } }, icon("logout"), waiting ? "Vẫn đăng xuất" : "Đăng xuất")));
  }

  // --- a route

  const search = { text: "", only: "" };

  function drawRoute(round) {
    const pack = packageOf(round);
    if (!pack) return put("Tuyến", "#/", h("h1", {}, "Chưa có tuyến này trên máy"), note("info", "Tải tuyến về máy trước", "Quay lại danh sách tuyến và chọn «Tải tuyến về máy»."));
    const list = h("ol.doors");
    const result = h("p.small", { role: "status" });
    const input = h("input.search", { type: "search", id: "search", placeholder: "Tên, địa chỉ, mã, số sê-ri", autocomplete: "off", enterkeyhint: "search", oninput: () => { search.text = input.value; fill(); } });
    input.value = search.text;
    const done = pack.items.filter((one) => isDone(pack, one)).length;
    const chips = [["", `Tất cả ${pack.items.length}`], ["left", `Chưa ghi ${pack.items.length - done}`], ["done", `Đã ghi ${done}`]].map(([key, text]) =>
      h("button.chip", { type: "button", "data-only": key, "aria-pressed": String(search.only === key), onclick: () => { search.only = key; fill(); } }, text));
    function fill() {
      const words = rules.fold(search.text).split(/\s+/).filter(Boolean);
      const rows = pack.items.map((one, place) => [one, place]).filter(([one]) => {
        if (search.only && (search.only === "done") !== isDone(pack, one)) return false;
        const text = rules.fold(`${one.code} ${one.name} ${one.address} ${one.meter ? one.meter.serial : ""}`);
        return words.every((word) => text.includes(word));
      });
      for (const chip of chips) chip.setAttribute("aria-pressed", String(chip.dataset.only === search.only));
      list.replaceChildren(...rows.map(([one, place]) => doorRow(pack, one, place)));
      result.textContent = rows.length ? "" : "Không có đấu nối nào khớp. Thử bớt chữ hoặc chọn Tất cả.";
    }
    fill();
    const next = pack.items.find((one) => !isDone(pack, one));
    put(pack.code, "#/",
      h("h1", {}, `${pack.code}, kỳ ${pack.period_name}`), warnings(),
      h("label.progress", {}, h("progress", { max: String(Math.max(pack.items.length, 1)), value: String(done) }), h("span", {}, `Đã ghi ${done}/${pack.items.length}`)),
      pack.items.some((one) => one.is_simulated) ? h("p.small", {}, tag("mô phỏng", "flask", "warning"), pack.items.every((one) => one.is_simulated) ? "Mọi nhà của tuyến này là mô phỏng." : "Nhà có nhãn này là mô phỏng; các nhà khác là thật.") : null,
      next ? h("a.button.is-main.is-wide", { href: `#/ghi/${round}/${next.id}` }, icon("arrow-right"), `Ghi nhà tiếp theo: ${next.name}`) : note("info", "Đã ghi hết tuyến", "Xem Hàng đợi để chắc mọi mục đã gửi."),
      h("div.finder", {}, h("label.visually-hidden", { for: "search" }, "Tìm trong tuyến"), input, h("div.chips", { role: "group", "aria-label": "Lọc" }, chips)),
      result, list,
      h("label.switch", {}, h("input", { type: "checkbox", checked: state.watch !== null, onchange: (event) => watch(event.target.checked) }), h("span", {}, "Ghi kèm vị trí (hỏi quyền vị trí của máy)")));
  }

  function doorRow(pack, one, place) {
    const item = entryOf(pack, one.id);
    const status = item ? fateTag(item) : one.read ? tag(`Đã có ${show(one.read.index_l)} m³`, "check", "good") : null;
    return h("li", {}, h("a.door", { href: `#/ghi/${pack.round}/${one.id}` },
      h("span.door-place", {}, String(place + 1)),
      h("span.door-text", {}, h("strong", {}, one.name || one.code), h("span", {}, one.address), h("small", {}, `${one.code}${one.meter ? `, đồng hồ ${one.meter.serial}` : ", chưa có đồng hồ"}`, one.is_simulated && !pack.items.every((other) => other.is_simulated) ? [" ", tag("mô phỏng", "flask", "warning")] : null)),
      h("span.door-state", {}, item ? h("b", {}, indexText(item)) : null, status)));
  }

  function watch(isOn) {
    if (state.watch !== null) navigator.geolocation.clearWatch(state.watch);
    state.watch = state.position = null;
    try {
      localStorage.setItem("machnuoc.field.position", isOn ? "1" : "");
    } catch { /* asked again next time */ }
    if (!isOn) return;
    if (!navigator.geolocation) return toast("Máy này không cho biết vị trí. Vẫn ghi được bình thường.");
    state.watch = navigator.geolocation.watchPosition(
      ({ coords, timestamp }) => { state.position = { lat: coords.latitude, lon: coords.longitude, accuracy_m: Math.round(coords.accuracy), at: timestamp }; },
      () => toast("Chưa lấy được vị trí. Vẫn ghi được bình thường."), { enableHighAccuracy: true, maximumAge: 30e3 });
  }
  const positionNow = () => (state.position && Date.now() - state.position.at < 120e3 ? state.position : null);

  // --- a door

  const draft = { key: "", text: "", photo: null };

  function drawDoor(round, connection) {
    const pack = packageOf(round);
    const place = pack ? pack.items.findIndex((one) => one.id === connection) : -1;
    if (place < 0) return drawRoute(round);
    const one = pack.items[place];
    const item = entryOf(pack, connection);
    const key = `${round}:${connection}`;
    if (draft.key !== key) Object.assign(draft, { key, text: "", photo: null });
    const link = (target, text, name, isBack) => (target
      ? h("a.button", { href: `#/ghi/${round}/${target.id}` }, isBack ? icon(name) : null, text, isBack ? null : icon(name))
      : h("span.button.is-off", {}, isBack ? icon(name) : null, text, isBack ? null : icon(name)));
    const uses = one.meter ? one.meter.uses : [];
    put(`${place + 1}/${pack.items.length}`, `#/tuyen/${round}`,
      h("div.door-head", {}, h("h1", {}, one.name || one.code), h("p", {}, one.address),
        h("p.small", {}, one.code, one.meter ? `, đồng hồ ${one.meter.serial}` : "", one.households > 1 ? `, ${one.households} hộ dùng chung` : "", " ", one.status ? tag(one.status, "alert-triangle", "warning") : null, one.is_simulated ? tag("mô phỏng", "flask", "warning") : null)),
      one.meter ? h("dl.past", {},
        h("div", {}, h("dt", {}, `Lần trước, ${one.meter.before_date.split("-").reverse().slice(0, 2).join("/")}`), h("dd", {}, show(one.meter.before_l))),
        uses.map((use) => h("div", {}, h("dt", {}, use.month, use.is_estimated ? " (tạm)" : ""), h("dd", {}, use.volume_l === null ? "?" : `${show(use.volume_l)} m³`)))) : null,
      item && item.state !== "REFUSED" && !draft.again ? doneDoor(pack, one, item) : entryForm(pack, one, item),
      h("nav.steps", { "aria-label": "Nhà trước, nhà sau" }, link(pack.items[place - 1], "Nhà trước", "chevron-left", true), link(pack.items[place + 1], "Nhà sau", "chevron-right", false)));
  }

  function doneDoor(pack, one, item) {
    const canUndo = item.state === "WAITING" && item.tries === 0;
    return h("div.done", {},
      h("p.done-index", {}, indexText(item)), fateTag(item),
      h("p.small", {}, `Ghi lúc ${at(item.made_at)}${item.note ? `. ${item.note}` : ""}`, item.has_photo ? ". Có ảnh" : "", item.position ? ". Có vị trí" : "", "."),
      item.reason ? h("p", {}, item.reason) : null,
      h("div.card-acts", {},
        canUndo ? h("button.button", { type: "button", onclick: () => undo(item) }, icon("arrow-back-up"), "Hoàn tác, ghi lại") : null,
        canUndo || store.isUnsent(item) ? null : h("button.button", { type: "button", onclick: () => { draft.again = true; draw(); } }, icon("edit"), "Ghi lại số khác"),
        store.isUnsent(item) && !canUndo ? h("p.small", {}, "Mục này có thể đã tới máy chủ nên không hoàn tác được. Khi gửi xong có thể ghi lại.") : null));
  }

  async function undo(item) {
    const isGone = await store.drop(item.client_id, (now) => now.state === "WAITING" && now.tries === 0);
    toast(isGone ? `Đã bỏ ${indexText(item)} của ${item.code}. Ghi lại số đúng.` : "Mục này vừa được gửi nên không hoàn tác được.");
    await load();
    location.hash === `#/ghi/${item.round}/${item.connection}` ? draw() : (location.hash = `#/ghi/${item.round}/${item.connection}`);
  }

  function entryForm(pack, one, item) {
    const isWhole = !one.meter || one.meter.whole_m3;
    const used = h("p.used", { "aria-live": "polite" });
    const field = h("input.index", { id: "index", type: "text", inputmode: "none", autocomplete: "off", maxlength: "14", "aria-describedby": "used", oninput: () => { draft.text = field.value; follow(); }, onkeydown: (event) => { if (event.key === "Enter") { event.preventDefault(); submit(); } } });
    field.value = draft.text;
    used.id = "used";
    function follow() {
      const index = rules.litres(field.value, isWhole);
      used.className = "used";
      if (index === null) {
        const normal = one.meter && rules.expected(pack.rules, one.meter, one.households, rules.localDay(Date.now()));
        used.textContent = normal ? (normal.usual === null ? "Chưa có kỳ nào để so sánh" : `Thường khoảng ${m3.format(Math.round(normal.usual / 1000))} m³, tức quanh ${m3.format(Math.floor(one.meter.before_l / 1000) + Math.round(normal.usual / 1000))}`) : "";
        return;
      }
      const problem = wrong(one, index, isWhole);
      if (problem) {
        used.textContent = problem;
        used.classList.add("is-danger");
        return;
      }
      const found = judgeHere(pack, one, index);
      const volume = found.rolled === null ? found.used : found.rolled;
      used.textContent = found.flags.length ? `${volume === null ? "" : `Dùng ${show(volume)} m³. `}${pack.rules.warnings[found.flags[0]].title}` : `Dùng ${show(volume)} m³, bình thường`;
      used.classList.add(found.flags.length ? "is-warning" : "is-good");
    }
    function press(key) {
      const from = field.selectionStart ?? field.value.length, to = field.selectionEnd ?? from;
      const isAll = from === 0 && to === field.value.length && to > 0;
      if (key === "back") field.value = isAll ? "" : field.value.slice(0, Math.max((from === to ? from : from + 1) - 1, 0)) + field.value.slice(to);
      else if (field.value.length < 14) field.value = field.value.slice(0, from) + key + field.value.slice(to);
      const where = key === "back" ? Math.max(from === to ? from - 1 : from, 0) : from + key.length;
      field.setSelectionRange(where, where);
      draft.text = field.value;
      follow();
    }
    const pad = ["1", "2", "3", "4", "5", "6", "7", "8", "9", isWhole ? "" : ",", "0", "back"].map((key) => (key === "" ? h("span")
      : h("button.key", { type: "button", "aria-label": key === "back" ? "Xóa một chữ số" : key === "," ? "Dấu phẩy" : key, onclick: () => press(key) }, key === "back" ? icon("arrow-left") : key)));
    async function submit() {
      const index = rules.litres(field.value, isWhole);
      const problem = index === null ? "Nhập chỉ số, hoặc chọn «Không đọc được»." : wrong(one, index, isWhole);
      if (problem) {
        used.textContent = problem;
        used.className = "used is-danger";
        field.focus();
        return;
      }
      const found = judgeHere(pack, one, index);
      if (found.flags.length) return confirm(pack, one, index, found);
      await save(pack, one, { index_l: index, confirmed: [], note: "" });
    }
    follow();
    return h("form.entry", { onsubmit: (event) => { event.preventDefault(); submit(); } },
      item && item.state === "REFUSED" ? note("danger", `${indexText(item)}: không nhận`, item.reason) : null,
      item && item.state !== "REFUSED" ? note("warning", `Đã gửi ${indexText(item)}`, "Ghi số khác thì số sau được dùng. Cả hai được giữ; người khác đã ghi thì văn phòng chọn.") : null,
      !item && one.read ? note("info", `Kỳ này đã có ${show(one.read.index_l)} m³`, one.read.is_own ? "Bạn đã ghi. Ghi số khác thì số sau được dùng, cả hai được giữ." : "Người khác đã ghi. Ghi số khác thì cả hai được giữ để văn phòng chọn.") : null,
      one.meter ? [
        h("div.display", {}, h("label", { for: "index" }, isWhole ? "Chỉ số (m³, bỏ số đỏ)" : "Chỉ số (m³, đủ 3 số lẻ)"), field), used,
        h("div.pad", { role: "group", "aria-label": "Bàn phím số" }, pad),
      ] : note("warning", "Chưa có đồng hồ trên hệ thống", "Chỉ ghi được lý do không đọc được. Báo văn phòng ghi lắp đồng hồ."),
      h("div.extras", {}, photoButton(), h("button.button", { type: "button", onclick: () => noAccess(pack, one) }, icon("eye-off"), "Không đọc được")),
      one.meter ? h("button.button.is-main.is-wide.save", { type: "submit" }, icon("check"), "Lưu, nhà tiếp theo") : null);
  }

  function wrong(one, index, isWhole) {
    if (Number.isNaN(index)) return isWhole ? "Không phải số. Chỉ gõ chữ số, bỏ số đỏ." : "Không phải số. Viết như 1288,5.";
    if (index >= rules.capacity(one.meter)) return `Đồng hồ chỉ có ${one.meter.digits} chữ số. Đọc lại.`;
    return "";
  }

  // The rule, with what the reader has just read at neighbours today and where the phone is.
  function judgeHere(pack, one, index) {
    const today = rules.localDay(Date.now());
    const found = rules.judge(pack.rules, one.meter, one.households, index, today);
    const place = pack.items.indexOf(one);
    const beside = pack.items.slice(Math.max(place - pack.rules.neighbours, 0), place + pack.rules.neighbours + 1);
    for (const other of beside) {
      const entry = other !== one && other.meter && entryOf(pack, other.id);
      if (!entry || entry.index_l === null || entry.state === "REFUSED" || rules.localDay(Date.parse(entry.read_at)) !== today) continue;
      if (rules.areSwapped(pack.rules, one, index, other, entry.index_l, today)) {
        found.flags.push("SWAPPED");
        found.neighbour = other;
        break;
      }
    }
    const here = positionNow();
    if (here && one.lat !== null && one.lon !== null && rules.farM(here, one) > pack.rules.far_m) found.flags.push("FAR");
    return found;
  }

  function confirm(pack, one, index, found) {
    const said = found.flags.map((flag) => [flag, pack.rules.warnings[flag]]);
    const canConfirm = said.some(([, oddity]) => oddity.confirmable);
    const mustWait = said.some(([, oddity]) => oddity.holds && !oddity.confirmable);
    const whys = ["Đã đọc lại, đúng số", ...new Set(found.flags.flatMap((flag) => WHYS[flag] || []))];
    const text = h("input.search", { id: "why-text", type: "text", maxlength: "200", autocomplete: "off" });
    const complaint = h("p.is-danger", { role: "alert" });
    const volume = found.rolled === null ? found.used : found.rolled;
    const reason = () => [(box.querySelector("input[name=why]:checked") || {}).value, text.value.trim()].filter(Boolean).join(". ");
    const keep = async (isSure) => {
      if (isSure && !reason()) {
        complaint.textContent = "Chọn hoặc ghi lý do trước khi xác nhận.";
        return;
      }
      box.close();
      await save(pack, one, { index_l: index, confirmed: isSure ? said.filter(([, oddity]) => oddity.confirmable).map(([flag]) => flag) : [], note: reason() });
    };
    const box = dialog(said[0][1].title,
      h("p.done-index", {}, `${show(index)} m³`, volume === null ? "" : h("small", {}, ` dùng ${show(volume)} m³`)),
      said.map(([flag, oddity]) => h("p", {}, said.length > 1 ? h("strong", {}, `${oddity.title}. `) : null, oddity.advice, flag === "SWAPPED" && found.neighbour ? ` Nhà bên: ${found.neighbour.name}, ${found.neighbour.meter.serial}.` : "")),
      h("fieldset", {}, h("legend", {}, "Lý do"), whys.map((why) => h("label.option", {}, h("input", { type: "radio", name: "why", value: why }), h("span", {}, why)))),
      h("label", { for: "why-text" }, "Ghi thêm"), text, complaint,
      draft.photo ? null : h("p.small", {}, "Nên chụp ảnh mặt đồng hồ để văn phòng xem được."),
      h("div.dialog-acts", {},
        h("button.button", { type: "button", onclick: () => { box.close(); document.getElementById("index").select(); document.getElementById("index").focus(); } }, "Đọc lại"),
        canConfirm && !mustWait ? h("button.button.is-main", { type: "button", onclick: () => keep(true) }, icon("check"), "Đúng, lưu") : null,
        h("button.button", { type: "button", onclick: () => keep(false) }, icon("eye"), "Lưu, để văn phòng xem")));
  }

  function noAccess(pack, one) {
    const text = h("input.search", { id: "why-text", type: "text", maxlength: "200", autocomplete: "off" });
    const complaint = h("p.is-danger", { role: "alert" });
    const box = dialog("Vì sao không đọc được?",
      h("fieldset", {}, h("legend.visually-hidden", {}, "Lý do"), pack.reasons.map(([key, label]) => h("label.option", {}, h("input", { type: "radio", name: "why", value: key }), h("span", {}, label)))),
      h("label", { for: "why-text" }, "Ghi thêm"), text, complaint,
      h("div.dialog-acts", {}, h("button.button", { type: "button", onclick: () => box.close() }, "Thôi"),
        h("button.button.is-main", { type: "button", onclick: async () => {
          const chosen = box.querySelector("input[name=why]:checked");
          if (!chosen) {
            complaint.textContent = "Chọn một lý do.";
            return;
          }
          box.close();
          const label = pack.reasons.find(([key]) => key === chosen.value)[1];
          await save(pack, one, { index_l: null, no_access: chosen.value, no_access_name: label, confirmed: [], note: text.value.trim() });
        } }, icon("check"), "Lưu")));
  }

  async function save(pack, one, said) {
    const made = Date.now(), here = positionNow();
    const item = {
      client_id: crypto.randomUUID(), person: state.me.person.id, round: pack.round, connection: one.id, code: one.code, period: pack.period,
      serial: one.meter ? one.meter.serial : "", no_access: "", no_access_name: "", ...said,
      read_at: new Date(made).toISOString(), position: here ? { lat: here.lat, lon: here.lon, accuracy_m: here.accuracy_m } : null,
      photo: draft.photo, has_photo: Boolean(draft.photo), state: "WAITING", reason: "", tries: 0, made_at: made, next_at: 0,
    };
    try {
      await store.put("queue", item);
    } catch (error) {
      if (error.name !== "QuotaExceededError") throw error;
      if (!item.photo) return toast("Máy hết bộ nhớ: CHƯA lưu được. Xóa bớt ảnh, ứng dụng trong máy rồi lưu lại trước khi đi.");
      const box = dialog("Máy hết bộ nhớ, chưa lưu được ảnh", h("p", {}, "Có thể lưu chỉ số không kèm ảnh, hoặc xóa bớt ảnh trong máy rồi lưu lại."),
        h("div.dialog-acts", {}, h("button.button", { type: "button", onclick: () => box.close() }, "Để tôi dọn bộ nhớ"),
          h("button.button.is-main", { type: "button", onclick: () => { box.close(); draft.photo = null; save(pack, one, said); } }, "Lưu không ảnh")));
      return;
    }
    Object.assign(draft, { key: "", text: "", photo: null, again: false });
    await load();
    checkSpace();
    toast(`Đã lưu ${indexText(item)} của ${one.name || one.code} trên máy.`);
    const place = pack.items.indexOf(one);
    const next = [...pack.items.slice(place + 1), ...pack.items.slice(0, place)].find((other) => !isDone(pack, other));
    location.hash = next ? `#/ghi/${pack.round}/${next.id}` : `#/tuyen/${pack.round}`;
    if (navigator.onLine) sync();
    else askLater();
  }

  function photoButton() {
    const face = h("span", {}, draft.photo ? `Ảnh ${bytes(draft.photo.size)}` : "Chụp ảnh");
    const preview = h("img.thumb", { alt: "Ảnh vừa chụp", hidden: !draft.photo });
    if (draft.photo) preview.src = URL.createObjectURL(draft.photo);
    const input = h("input.visually-hidden", { type: "file", accept: "image/*", capture: "environment", id: "photo", onchange: async () => {
      const file = input.files[0];
      if (!file) return;
      face.textContent = "Đang thu nhỏ…";
      try {
        draft.photo = await shrink(file);
        preview.src = URL.createObjectURL(draft.photo);
        preview.hidden = false;
        face.textContent = `Ảnh ${bytes(draft.photo.size)}`;
      } catch (error) {
        if (!(error instanceof DOMException)) throw error;
        face.textContent = "Chụp ảnh";
        toast("Không đọc được ảnh này. Chụp lại.");
      }
    } });
    return h("label.button.photo", {}, input, icon("camera"), face, preview);
  }

  // JPEG of at most 1280 pixels a side and 200 kB; nothing of what the camera wrote beside the picture goes along.
  async function shrink(file) {
    const picture = await createImageBitmap(file);
    let side = Math.min(SIDE_MOST, Math.max(picture.width, picture.height));
    for (;;) {
      const scale = Math.min(1, side / Math.max(picture.width, picture.height));
      const canvas = h("canvas");
      canvas.width = Math.max(1, Math.round(picture.width * scale));
      canvas.height = Math.max(1, Math.round(picture.height * scale));
      canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
      for (const quality of [0.82, 0.7, 0.55, 0.4]) {
        const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
        if (blob && blob.size <= PHOTO_MOST) return blob;
      }
      side = Math.round(side * 0.75);
      if (side < 160) throw new DOMException("too large", "EncodingError");
    }
  }

  // --- the queue

  function drawQueue() {
    const items = own().sort((one, other) => other.made_at - one.made_at);
    const waiting = items.filter(store.isUnsent);
    const counts = Object.entries(FATES).map(([key, [text]]) => [text, items.filter((item) => item.state === key).length]).filter(([, count]) => count);
    put("Hàng đợi", "#/", h("h1", {}, "Hàng đợi"), warnings(),
      items.length ? h("p.quiet", {}, counts.map(([text, count]) => `${text}: ${count}`).join(" · ")) : null,
      waiting.length ? h("button.button.is-main.is-wide", { type: "button", disabled: state.isSending, onclick: () => sync(true) }, icon("cloud-upload"), `Gửi ngay ${waiting.length} mục`)
        : items.length ? h("button.button.is-wide", { type: "button", disabled: state.isSending, onclick: () => sync(true) }, icon("refresh"), "Hỏi lại kết quả") : null,
      items.length ? h("ul.fates", {}, items.map(fateRow)) : note("info", "Chưa ghi mục nào trên máy này", "Mỗi chỉ số đã ghi hiện ở đây cùng kết quả: chờ gửi, đã lưu, chờ xem lại, trùng hoặc không nhận."));
  }

  function fateRow(item) {
    const canUndo = item.state === "WAITING" && item.tries === 0;
    const pack = packageOf(item.round);
    const door = pack && pack.items.find((one) => one.id === item.connection);
    return h(`li.fate`, { "data-client": item.client_id, "data-state": item.state },
      h("div.fate-head", {}, h("strong", {}, indexText(item)), fateTag(item)),
      h("p", {}, door ? door.name : "", h("small", {}, `${door ? ", " : ""}${item.code}, ghi lúc ${at(item.made_at)}${item.has_photo ? ", có ảnh" : ""}`)),
      item.reason ? h("p.small", {}, item.reason) : null,
      store.isUnsent(item) && item.tries ? h("p.small", {}, `Đã thử ${item.tries} lần${item.next_at > Date.now() ? `, thử lại sau ${at(item.next_at)}` : ""}.`) : null,
      h("div.card-acts", {},
        canUndo ? h("button.button.is-plain", { type: "button", onclick: () => undo(item) }, icon("arrow-back-up"), "Hoàn tác") : null,
        door && !store.isUnsent(item) && item.state !== "STORED" && item.state !== "DUPLICATE" ? h("a.button.is-plain", { href: `#/ghi/${item.round}/${item.connection}` }, icon("edit"), "Mở nhà này") : null,
        item.state === "REFUSED" ? h("button.button.is-plain", { type: "button", onclick: () => dismiss(item) }, icon("x"), "Đã xem, bỏ khỏi danh sách") : null));
  }

  async function dismiss(item) {
    await store.drop(item.client_id, (now) => now.state === "REFUSED");
    await load();
    draw();
  }

  // --- where we are

  function draw(isQuiet = false) {
    // What is being typed or chosen is never drawn over by news from the server.
    if (isQuiet && (document.querySelector("dialog[open]") || /^#\/ghi\//.test(location.hash))) {
      const door = location.hash.match(/^#\/ghi\/(\d+)\/(\d+)$/);
      const pack = door && packageOf(Number(door[1]));
      if (document.querySelector("dialog[open]") || !pack || !entryOf(pack, Number(door[2])) || draft.again) return drawFrame();
    }
    const [, room, round, connection] = location.hash.split("/");
    const focused = isQuiet && document.activeElement ? document.activeElement.id : "";
    if (!state.me || !room) drawHome();
    else if (room === "tuyen") drawRoute(Number(round));
    else if (room === "ghi") drawDoor(Number(round), Number(connection));
    else if (room === "hang-doi") drawQueue();
    else drawHome();
    if (focused && document.getElementById(focused)) document.getElementById(focused).focus({ preventScroll: true });
  }

  window.addEventListener("hashchange", () => {
    draft.again = false;
    if (!/^#\/tuyen\//.test(location.hash)) Object.assign(search, { text: "" });
    draw();
    window.scrollTo(0, 0);
    const field = document.getElementById("index");
    (field || main).focus({ preventScroll: true });
  });
  window.addEventListener("storage", (event) => { if (event.key === "machnuoc.signedOut" && event.newValue) sync(); });
  window.addEventListener("online", () => sync());
  window.addEventListener("offline", () => { state.session = state.session === "out" ? "out" : "offline"; draw(true); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && navigator.onLine) sync(); });
  if ("BroadcastChannel" in self) {
    new BroadcastChannel("machnuoc-field").addEventListener("message", async () => { await load(); draw(true); });
  }

  async function start() {
    try {
      if (localStorage.getItem("machnuoc.field.position")) watch(true);
    } catch { /* storage is switched off */ }
    try {
      state.isLocked = isSignedOut();
      if (state.isLocked) await sending.forget();
      await load();
    } catch {
      return put("Ghi chỉ số", null, note("danger", "Trình duyệt không cho lưu trên máy", "Tắt chế độ ẩn danh, cho phép lưu dữ liệu của trang này rồi tải lại. Chưa ghi chỉ số ở đây được."));
    }
    draw();
    checkSpace().then(() => draw(true));
    if (navigator.serviceWorker) {
      navigator.serviceWorker.register(page.worker, { scope: "/di-ghi/" }).catch(() => { /* off-line, or an old browser */ });
    }
    await sync();
  }
  start();
})();
