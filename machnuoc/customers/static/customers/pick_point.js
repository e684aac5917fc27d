// Fills two coordinate fields from a click on a plain map or from the device. Without it the fields and the address do.
(() => {
  "use strict";
  const NAMED_FROM_ZOOM = 11; // farther out the names of communes lie on each other
  const load = () =>
    new Promise((resolve, reject) => {
      if (window.L) return resolve();
      const style = document.createElement("link");
      style.rel = "stylesheet";
      style.href = document.body.dataset.leafletCss;
      const script = document.createElement("script");
      script.src = document.body.dataset.leaflet;
      script.onload = resolve;
      script.onerror = () => reject(new Error("Leaflet did not load"));
      document.head.insertBefore(style, document.querySelector("link[data-app-css]"));
      document.head.append(script);
    });

  const set = (field, value) => {
    field.value = value.toFixed(6);
    field.dispatchEvent(new Event("change", { bubbles: true }));
  };

  for (const box of document.querySelectorAll("[data-pick]")) {
    const lat = document.getElementById(box.dataset.lat);
    const lon = document.getElementById(box.dataset.lon);
    if (!lat || !lon) continue;
    const tools = document.createElement("div");
    tools.className = "rq-pick-tools";
    const said = document.createElement("span");
    said.setAttribute("role", "status");
    let map = null;
    let mark = null;
    const chosen = document.getElementById(box.dataset.chosen || "");
    const known = document.getElementById(box.dataset.communes || "");
    const communes = known ? JSON.parse(known.textContent) : {};
    const goToCommune = () => {
      const at = chosen && communes[chosen.value];
      if (map && at && !mark) map.setView([at.lat, at.lon], NAMED_FROM_ZOOM);
    };
    chosen?.addEventListener("change", goToCommune);

    const show = (zoom) => {
      if (!map || !lat.value || !lon.value) return;
      const at = [Number(lat.value), Number(lon.value)];
      if (!Number.isFinite(at[0]) || !Number.isFinite(at[1])) return;
      if (mark) mark.setLatLng(at);
      else mark = window.L.circleMarker(at, { radius: 9, weight: 4 }).addTo(map);
      if (zoom) map.setView(at, zoom);
      said.textContent = `Đã đánh dấu ${lat.value}, ${lon.value}.`;
    };

    const draw = async (host) => {
      try {
        await load();
      } catch {
        said.textContent = "Không mở được bản đồ; hãy ghi địa chỉ.";
        return;
      }
      map = window.L.map(host, { attributionControl: false, scrollWheelZoom: false, minZoom: 5, maxZoom: 18 });
      const source = box.dataset.places && document.getElementById(box.dataset.places);
      const points = source ? JSON.parse(source.textContent).points : [];
      for (const point of points) {
        const name = document.createElement("span");
        name.textContent = point.title;
        window.L.circleMarker([point.lat, point.lon], { radius: 5, weight: 2, opacity: 0.7 }).bindTooltip(name).addTo(map);
      }
      if (points.length) map.fitBounds(window.L.latLngBounds(points.map((one) => [one.lat, one.lon])).pad(0.2));
      else map.setView([16.2, 107.5], 6);
      const named = window.L.layerGroup();
      for (const { lat: north, lon: east, name } of Object.values(communes)) {
        const content = document.createElement("span");
        content.textContent = name;
        named.addLayer(window.L.tooltip([north, east], { content, permanent: true, direction: "center" }));
      }
      map.on("zoomend", () => (map.getZoom() >= NAMED_FROM_ZOOM ? named.addTo(map) : named.remove()));
      goToCommune();
      map.on("click", (event) => {
        set(lat, event.latlng.lat);
        set(lon, event.latlng.lng);
        show(0);
      });
      show(14);
    };

    const button = (text, act) => {
      const made = document.createElement("button");
      made.type = "button";
      made.className = "btn";
      made.textContent = text;
      made.addEventListener("click", () => act(made));
      tools.append(made);
    };
    if (navigator.geolocation && window.isSecureContext) {
      button("Vị trí của tôi", () => {
        said.textContent = "Đang tìm vị trí…";
        navigator.geolocation.getCurrentPosition(
          ({ coords }) => {
            set(lat, coords.latitude);
            set(lon, coords.longitude);
            said.textContent = `Đã lấy vị trí, sai số khoảng ${Math.round(coords.accuracy)} m.`;
            show(16);
          },
          () => {
            said.textContent = "Thiết bị không cho biết vị trí; hãy ghi địa chỉ hoặc đánh dấu trên bản đồ.";
          },
          { enableHighAccuracy: true, timeout: 15000 },
        );
      });
    }
    button("Đánh dấu trên bản đồ", (made) => {
      made.remove();
      const host = document.createElement("div");
      host.className = "rq-pick-map";
      host.setAttribute("role", "region");
      host.setAttribute("aria-label", "Bấm vào bản đồ để đánh dấu nơi xảy ra");
      box.append(host);
      host.tabIndex = 0;
      host.focus({ preventScroll: true }); // the button that had the focus is gone
      draw(host);
      said.textContent = `Bấm vào nơi xảy ra. Chấm nhỏ là công trình cấp nước${known ? ", chữ là tên xã" : ""}; bản đồ không vẽ địa giới.`;
    });
    tools.append(said);
    box.append(tools);
  }
})();
