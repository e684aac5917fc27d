// Keeps what is on the page fresh from a stream of events. Without it the page shows what stood when it was made.
// [data-live="address"] listens; [data-channel] shows a reading; [data-refresh="#part"] is fetched anew when alarms change.
(() => {
  "use strict";
  const root = document.querySelector("[data-live]");
  const banner = document.querySelector("[data-live-banner]");
  const mark = document.querySelector("[data-live-mark]");
  const fullScreen = document.querySelector("[data-full-screen]");
  if (document.body.classList.contains("is-tv")) document.documentElement.classList.add("is-tv");
  fullScreen?.addEventListener("click", () => {
    try { sessionStorage.setItem("tv", "1"); } catch { /* private mode: the link alone opens the big screen */ }
  });
  if (!root || !window.EventSource) return;

  const SILENT_MS = 40000; // the server says something every 15 s
  let source = null;
  let heardMs = 0;
  let newestMs = 0;
  let refreshing = 0;

  const timeZone = "Asia/Ho_Chi_Minh";
  const day = (ms) => new Date(ms).toLocaleDateString("en-GB", { timeZone });
  const clock = (ms) => {
    const time = new Date(ms).toLocaleTimeString("vi-VN", { hour: "2-digit", minute: "2-digit", timeZone });
    return day(ms) === day(Date.now()) ? time : `${time} ${day(ms)}`;
  };
  const figures = (tile) => [...tile.querySelectorAll("[data-channel]")].map((place) => Number(place.dataset.at || 0)).filter(Boolean);
  const when = (tile) => { // of when the figures are that the tile shows, not the newest of all its channels
    const at = figures(tile);
    if (!at.length) at.push(Number(tile.dataset.at || 0));
    const first = clock(Math.min(...at)), last = clock(Math.max(...at));
    return first === last ? `lúc ${last}` : `từ ${first} đến ${last}`;
  };
  const numbers = new Map();
  const write = (value, decimals) => {
    if (!numbers.has(decimals)) {
      numbers.set(decimals, new Intl.NumberFormat("vi-VN", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
    }
    return numbers.get(decimals).format(value);
  };

  const say = (lost) => {
    if (banner) {
      banner.hidden = !lost;
      const text = lost ? `Mất kết nối, đang nối lại… Số liệu trên trang lúc ${clock(newestMs || Date.now())}.` : "";
      if (banner.textContent !== text) banner.textContent = text;
    }
    if (mark) mark.hidden = lost;
    root.classList.toggle("is-lost", lost);
    document.dispatchEvent(new CustomEvent("machnuoc:stream", { detail: { lost } }));
  };

  const show = ([channel, at, value, quality]) => {
    newestMs = Math.max(newestMs, at);
    for (const place of document.querySelectorAll(`[data-channel="${channel}"]`)) {
      const before = Number(place.dataset.at || 0);
      if (at < before) continue;
      const text = place.dataset.on ? (value >= 0.5 ? place.dataset.on : place.dataset.off) : write(value, Number(place.dataset.decimals));
      place.dataset.at = at;
      if (place.textContent !== text) {
        place.textContent = text;
        place.classList.remove("is-fresh");
        requestAnimationFrame(() => place.classList.add("is-fresh"));
      }
      place.classList.toggle("is-doubtful", Boolean(quality & 1));
      const tile = place.closest("[data-station]");
      if (tile) {
        tile.dataset.at = Math.max(at, Number(tile.dataset.at || 0));
        const age = tile.querySelector("[data-age]");
        if (age) age.textContent = when(tile);
      }
    }
    for (const place of document.querySelectorAll(`[data-time-of="${channel}"]`)) {
      place.textContent = clock(at);
      place.dateTime = new Date(at).toISOString();
    }
    document.dispatchEvent(new CustomEvent("machnuoc:reading", { detail: { channel, at, value, quality } }));
  };

  const refresh = () => {
    const part = root.dataset.refresh;
    if (!part || refreshing) return;
    refreshing = window.setTimeout(async () => {
      refreshing = 0;
      try {
        const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
        if (!answer.ok || answer.redirected) return;
        const made = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(part);
        const old = document.querySelector(part);
        if (made && old && !old.contains(document.activeElement)) old.replaceWith(made);
      } catch { /* the stream says that the connection is lost */ }
      age();
    }, 800);
  };

  const age = () => {
    const now = Date.now();
    for (const tile of document.querySelectorAll("[data-station]")) {
      const at = Number(tile.dataset.at || 0);
      const isOld = at > 0 && now - at > Number(tile.dataset.staleAfter);
      const was = tile.classList.contains("is-old");
      tile.classList.toggle("is-old", isOld);
      const minutes = Math.round((now - at) / 60000);
      const place = tile.querySelector("[data-age]");
      if (place && isOld) place.textContent = `${when(tile)} (${minutes < 120 ? `${minutes} phút` : `${Math.round(minutes / 60)} giờ`} trước)`;
      if (isOld !== was) refresh();
    }
    for (const figure of document.querySelectorAll("[data-figure]")) {
      const at = Number(figure.querySelector("[data-channel]")?.dataset.at || 0);
      const isOld = at === 0 || now - at > Number(figure.dataset.staleAfter);
      if (isOld === figure.classList.contains("is-old")) continue;
      figure.classList.toggle("is-old", isOld);
      figure.querySelector(".tile-old").hidden = !isOld;
      refresh(); // the state of the station follows
    }
  };

  const rows = (event) => { heardMs = Date.now(); return JSON.parse(event.data).rows || []; };
  const open = () => {
    source?.close();
    source = new EventSource(root.dataset.live);
    source.addEventListener("toan-canh", (event) => { rows(event).forEach(show); say(false); });
    source.addEventListener("so-do", (event) => { rows(event).forEach(show); say(false); });
    source.addEventListener("bao-dong", (event) => {
      const said = rows(event);
      document.dispatchEvent(new CustomEvent("machnuoc:alarms", { detail: said }));
      refresh();
    });
    source.addEventListener("nhip", () => { heardMs = Date.now(); say(false); });
  };
  const watch = () => {
    const isClosed = source?.readyState === EventSource.CLOSED;
    if (Date.now() - heardMs > SILENT_MS || isClosed) {
      say(true);
      open(); // a closed source does not come back by itself, a half-dead connection says nothing
      heardMs = Date.now() - SILENT_MS + 6000;
    }
  };

  for (const place of document.querySelectorAll("[data-channel]")) newestMs = Math.max(newestMs, Number(place.dataset.at || 0));
  heardMs = Date.now();
  open();
  window.setInterval(() => { if (!document.hidden || document.body.classList.contains("is-tv")) watch(); age(); }, 5000);
  window.addEventListener("offline", () => say(true));
  window.addEventListener("online", open);
  // A browser opens few connections to a site: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && !document.body.classList.contains("is-tv")) { source?.close(); return; }
    heardMs = Date.now();
    open();
  });
})();
