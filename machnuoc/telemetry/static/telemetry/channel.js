// Draws [data-channel-chart="address"]: one channel or a few through time, with band, gaps, limits, alarms and notes.
(() => {
  "use strict";
  const box = document.querySelector("[data-channel-chart]");
  const say = document.querySelector("[data-chart-say]");
  if (!box) return;
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
  const number = (value, decimals) => new Intl.NumberFormat("vi-VN", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }).format(value);
  const ZONE_MS = 7 * 36e5; // Việt Nam has no summer time; the reader's own clock may be set otherwise
  const parts = (ms) => new Date(ms + ZONE_MS).toISOString().match(/^(\d+)-(\d+)-(\d+)T(\d+:\d+)/);
  const time = (ms, span) => {
    const [, year, month, day, clock] = parts(ms);
    if (span > 300 * 864e5) return `${month}/${year}`;
    return span > 3 * 864e5 || clock === "00:00" ? `${day}/${month}` : clock;
  };
  const whole = (ms) => { const [, year, month, day, clock] = parts(ms); return `${clock} ${day}/${month}/${year}`; };
  let chart = null;
  let data = null;
  let etag = "";

  const option = () => {
    const span = data.to - data.from;
    const names = [...new Set(data.series.map((one) => one.unit))];
    const ink = colour("--mn-text"), quiet = colour("--mn-muted"), line = colour("--mn-border");
    const made = [];
    data.series.forEach((one, index) => {
      const shade = colour(`--mn-series-${index + 1}`);
      const axis = names.indexOf(one.unit);
      const hasBand = index === 0 && one.low && one.bucket_ms > 0;
      if (hasBand) {
        const low = one.at.map((at, row) => [at, one.low[row]]);
        const rise = one.at.map((at, row) => [at, one.low[row] === null ? null : one.high[row] - one.low[row]]);
        const plain = { type: "line", stack: "band", symbol: "none", silent: true, yAxisIndex: axis, lineStyle: { opacity: 0 }, tooltip: { show: false }, stackStrategy: "all" };
        made.push({ ...plain, name: "", data: low }, { ...plain, name: "", data: rise, areaStyle: { color: shade, opacity: 0.18 } });
      }
      const marks = index ? undefined : {
        symbol: "none", silent: true, label: { color: quiet, formatter: (mark) => mark.name, position: "insideEndTop" },
        data: [
          ...data.limits.map((limit) => ({ yAxis: limit.value, name: limit.name, lineStyle: { color: colour("--mn-danger-solid"), type: "dashed" } })),
          ...data.bands.map((band) => ({ yAxis: band.value, name: band.name, lineStyle: { color: colour("--mn-warning-solid"), type: "dashed" } })),
          ...(data.minimum === null ? [] : [{ yAxis: data.minimum, name: "mức tối thiểu", lineStyle: { color: colour("--mn-danger-solid"), type: "dashed" } }]),
          ...data.notes.map((note) => ({ xAxis: note.at, name: note.text.slice(0, 24), lineStyle: { color: quiet, type: "dotted" } })),
          ...(data.steps || []).map((step) => ({ xAxis: step.at, name: step.text, lineStyle: { color: colour("--mn-warning-solid"), type: "dashed" } })),
        ],
      };
      const areas = index ? undefined : {
        silent: true, itemStyle: { color: colour("--mn-danger-solid"), opacity: 0.12 },
        data: data.alarms.map((alarm) => [{ xAxis: Math.max(alarm.from, data.from) }, { xAxis: Math.min(alarm.to ?? data.to, data.to) }]),
      };
      made.push({
        name: one.name, type: "line", yAxisIndex: axis, showSymbol: one.at.length < 60, symbolSize: 5, connectNulls: false,
        step: one.is_step ? "end" : false, lineStyle: { width: 2 }, color: shade,
        data: one.at.map((at, row) => [at, one.value[row]]), markLine: marks, markArea: areas,
      });
    });
    return {
      animation: false, textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: ink },
      grid: { left: 56, right: names.length > 1 ? 56 * (names.length - 1) : 20, top: 66, bottom: 64 },
      legend: { top: 0, left: 0, textStyle: { color: ink }, data: data.series.map((one) => one.name) },
      tooltip: {
        trigger: "axis", backgroundColor: colour("--mn-surface"), borderColor: line, textStyle: { color: ink },
        renderMode: "richText",
        formatter: (points) => [whole(points[0].value[0]), ...points.filter((one) => one.seriesName && one.value[1] !== null).map((one) => {
          const its = data.series.find((series) => series.name === one.seriesName);
          return `${one.seriesName}: ${number(one.value[1], its.decimals)} ${its.unit}`;
        })].join("\n"),
      },
      xAxis: { type: "time", min: data.from, max: data.to, axisLabel: { color: quiet, hideOverlap: true, formatter: (ms) => time(ms, span) }, axisLine: { lineStyle: { color: line } } },
      yAxis: names.map((name, index) => ({ type: "value", scale: true, name, position: index ? "right" : "left", offset: Math.max(index - 1, 0) * 56, nameTextStyle: { color: quiet }, axisLabel: { color: quiet, formatter: (value) => new Intl.NumberFormat("vi-VN", { maximumFractionDigits: 2 }).format(value) }, splitLine: { show: index === 0, lineStyle: { color: line } } })),
      dataZoom: [{ type: "inside", filterMode: "none" }, { type: "slider", height: 22, bottom: 8, filterMode: "none", labelFormatter: "" }],
      series: made,
    };
  };
  const tell = () => {
    const first = data.series[0];
    const band = first.bucket_ms ? ", dải mờ là thấp nhất đến cao nhất" : "";
    say.textContent = first.at.length ? `Đang vẽ ${first.drawn}${band}. Kéo hoặc lăn chuột để phóng to.` : "Không có số đo trong khoảng này.";
  };
  const read = async () => {
    const answer = await fetch(box.dataset.channelChart, { headers: etag ? { "If-None-Match": etag } : {} });
    if (answer.status === 304) return;
    if (!answer.ok) throw new Error(`the chart's data answered ${answer.status}`);
    etag = answer.headers.get("ETag") || "";
    data = await answer.json();
  };
  const draw = () => { if (chart && data) chart.setOption(option(), { notMerge: true }); };
  const load = () => new Promise((resolve, reject) => {
    if (window.echarts) { resolve(); return; }
    const script = document.createElement("script");
    script.src = document.body.dataset.echarts;
    script.onload = resolve;
    script.onerror = () => reject(new Error("ECharts did not load"));
    document.head.append(script);
  });
  (async () => {
    try {
      await Promise.all([read(), load()]);
      chart = window.echarts.init(box);
      draw();
      tell();
      new ResizeObserver(() => chart.resize()).observe(box);
      new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-bs-theme"] });
    } catch {
      say.textContent = "Không vẽ được biểu đồ. Tải lại trang; các số gần nhất có trong bảng bên dưới.";
    }
  })();
  if ("follow" in box.dataset) {
    document.addEventListener("machnuoc:reading", ({ detail }) => {
      if (!data || String(detail.channel) !== box.dataset.channelId) return;
      const first = data.series[0];
      if (detail.quality & 1 || detail.at <= (first.at.at(-1) ?? 0)) return;
      first.at.push(detail.at);
      for (const name of ["value", "low", "high"]) first[name].push(detail.value);
      data.from += detail.at - data.to > 0 ? detail.at - data.to : 0;
      data.to = Math.max(data.to, detail.at);
      draw();
    });
  }
})();
