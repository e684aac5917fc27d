// Draws <div data-map="id of a JSON script">: points on a plain ground, for no tile server may be reachable.
// JSON: {points: [{lat, lon, title, url, text, tone}], labels: [{lat, lon, text}]}. The same points are listed beside it.
// Of very many points: {packed: [[lat, lon, title, key, figure, tone, word, word, …]], words: […], url: [before, after]},
// where tone and words are places in `words`; the text is the first two words, the figure and the other words.
(() => {
  "use strict";
  const TONES = new Set(["good", "info", "warning", "danger", "neutral"]);
  let library = null;

  const load = () => {
    library ??= new Promise((resolve, reject) => {
      const style = document.createElement("link");
      style.rel = "stylesheet";
      style.href = document.body.dataset.leafletCss;
      const script = document.createElement("script");
      script.src = document.body.dataset.leaflet;
      script.onload = resolve;
      script.onerror = () => reject(new Error("Leaflet did not load"));
      // Before our own sheet, which then decides.
      document.head.insertBefore(style, document.querySelector("link[data-app-css]"));
      document.head.append(script);
    });
    return library;
  };

  // A colour token may be light-dark(…), which only a real element resolves.
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };

  const degrees = (value, positive, negative) => {
    const text = new Intl.NumberFormat("vi-VN", { maximumFractionDigits: 2 }).format(Math.abs(value));
    return `${text}°${value < 0 ? negative : positive}`;
  };

  const makeText = (text) => {
    const span = document.createElement("span");
    span.textContent = text;
    return span;
  };

  const makePopup = (point) => {
    const box = document.createElement("div");
    const title = document.createElement(point.url ? "a" : "strong");
    if (point.url) title.href = point.url;
    title.textContent = point.title;
    box.append(title);
    if (point.text) {
      const text = document.createElement("p");
      text.textContent = point.text;
      box.append(text);
    }
    return box;
  };

  const unpack = ([lat, lon, title, key, figure, tone, ...rest], { words, url }) => {
    const said = rest.map((number) => words[number]);
    const text = [...said.slice(0, 2), figure, ...said.slice(2)].filter(Boolean).join(" · ");
    return { lat, lon, title, text, url: url[0] + encodeURIComponent(key) + url[1], tone: words[tone] };
  };

  const drawGrid = (L, map, layer) => {
    layer.clearLayers();
    const bounds = map.getBounds();
    const span = Math.max(bounds.getEast() - bounds.getWest(), 0.001);
    const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10].find((size) => span / size <= 7) || 20;
    const style = { color: colour("--mn-border-strong"), weight: 1, opacity: 0.7, interactive: false };
    const addLine = (from, to) => {
      const line = L.polyline([from, to], style);
      layer.addLayer(line);
      line.bringToBack(); // below the points
    };
    const label = (at, text, css = "") =>
      L.marker(at, {
        interactive: false,
        keyboard: false,
        icon: L.divIcon({ className: `map-degree ${css}`, html: makeText(text), iconSize: null }),
      });
    for (let lon = Math.ceil(bounds.getWest() / step) * step; lon <= bounds.getEast(); lon += step) {
      addLine([bounds.getSouth(), lon], [bounds.getNorth(), lon]);
      layer.addLayer(label([bounds.getSouth(), lon], degrees(lon, "Đ", "T")));
    }
    for (let lat = Math.ceil(bounds.getSouth() / step) * step; lat <= bounds.getNorth(); lat += step) {
      addLine([lat, bounds.getWest()], [lat, bounds.getEast()]);
      layer.addLayer(label([lat, bounds.getEast()], degrees(lat, "B", "N"), "is-end"));
    }
  };

  const draw = async (box) => {
    const source = document.getElementById(box.dataset.map);
    if (!source || box.dataset.drawn) return;
    box.dataset.drawn = "yes";
    try {
      await load();
    } catch {
      box.classList.add("is-undrawn"); // the list stays
      return;
    }
    const L = window.L;
    const data = JSON.parse(source.textContent);
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const map = L.map(box, {
      preferCanvas: true,
      attributionControl: false,
      zoomControl: false,
      minZoom: 4,
      maxZoom: 16,
      fadeAnimation: !still,
      zoomAnimation: !still,
      scrollWheelZoom: false,
    });
    L.control.zoom({ zoomInTitle: "Phóng to", zoomOutTitle: "Thu nhỏ" }).addTo(map);
    L.control.scale({ imperial: false }).addTo(map);
    const all = data.packed ? data.packed.map((row) => unpack(row, data)) : data.points;
    const points = all.filter((point) => Number.isFinite(point.lat) && Number.isFinite(point.lon));
    const marks = [];
    for (const point of points) {
      const mark = L.circleMarker([point.lat, point.lon], { radius: 7, weight: 2 })
        .bindTooltip(makeText(point.title))
        .bindPopup(makePopup(point));
      marks.push([mark, point]);
    }
    const paint = () => {
      for (const [mark, point] of marks) {
        // Not by colour alone: what needs a look is a ring, and the worst a larger one.
        const tone = TONES.has(point.tone) ? point.tone : "info";
        const solid = colour(`--mn-${tone}-solid`);
        const isRing = tone === "warning" || tone === "danger";
        mark.setRadius(tone === "danger" ? 9 : 7);
        mark.setStyle({
          color: isRing ? solid : colour("--mn-surface"),
          weight: isRing ? 4 : 2,
          fillColor: isRing ? colour("--mn-surface") : solid,
          fillOpacity: 1,
        });
      }
      drawGrid(L, map, grid);
    };
    const grid = L.layerGroup();
    const everything = [...points, ...(data.labels || [])].map((point) => [point.lat, point.lon]);
    if (everything.length) map.fitBounds(L.latLngBounds(everything).pad(0.12), { maxZoom: 12, animate: false });
    else map.setView([16.2, 107.5], 6);
    grid.addTo(map);
    for (const label of data.labels || []) {
      L.marker([label.lat, label.lon], {
        interactive: false,
        keyboard: false,
        icon: L.divIcon({ className: "map-label", html: makeText(label.text), iconSize: null }),
      }).addTo(map);
    }
    for (const [mark] of marks) mark.addTo(map);
    paint();
    map.on("moveend", () => drawGrid(L, map, grid));
    map.on("focus", () => map.scrollWheelZoom.enable());
    map.on("blur", () => map.scrollWheelZoom.disable());
    document.addEventListener("machnuoc:theme", paint);
  };

  const drawAll = (root) => {
    if (root.matches?.("[data-map]")) draw(root);
    for (const box of root.querySelectorAll("[data-map]")) draw(box);
  };
  document.addEventListener("htmx:load", (event) => drawAll(event.detail.elt));
  drawAll(document);
})();
