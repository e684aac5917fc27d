// Draws <figure data-chart="id of a JSON script">. The same numbers stand in a table inside the figure.
// JSON: {type: "bar"|"line"|"scatter", title, unit, decimals, stacked, categories: [...],
//        series: [{name, values: [number|null] or [[x, y, label]], dashed}], x_title, x_unit, lines: [{value, label}]}
(() => {
  "use strict";
  const drawn = new Map();
  let library = null;

  const load = () => {
    library ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = document.body.dataset.echarts;
      script.onload = resolve;
      script.onerror = () => reject(new Error("ECharts did not load"));
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
  const font = () => getComputedStyle(document.body).fontFamily;

  const formatter = (decimals) =>
    new Intl.NumberFormat("vi-VN", {
      minimumFractionDigits: decimals ?? 0,
      maximumFractionDigits: decimals ?? 6,
    });

  const makeOption = (data) => {
    const ink = colour("--mn-text");
    const quiet = colour("--mn-muted");
    const line = colour("--mn-border");
    const surface = colour("--mn-surface");
    const exact = formatter(data.decimals);
    const rough = formatter(undefined);
    const unit = data.unit ? ` ${data.unit}` : "";
    const say = (value) => (value === null || value === undefined ? "chưa có số liệu" : exact.format(value) + unit);
    const colours = [1, 2, 3, 4, 5, 6].map((n) => colour(`--mn-series-${n}`));
    const symbols = ["circle", "rect", "triangle", "diamond", "pin", "roundRect"];
    const isScatter = data.type === "scatter";
    const axisText = { color: quiet, fontFamily: font(), fontSize: 12 };
    return {
      aria: { enabled: false },
      animation: !window.matchMedia("(prefers-reduced-motion: reduce)").matches,
      animationDuration: 350,
      color: colours,
      textStyle: { fontFamily: font(), color: ink },
      grid: { left: 8, right: 16, top: data.series.length > 1 ? 44 : 18, bottom: 8, outerBoundsMode: "same" },
      legend: {
        show: data.series.length > 1,
        top: 0,
        left: 0,
        icon: data.type === "bar" ? "roundRect" : undefined,
        textStyle: { color: ink, fontFamily: font() },
        inactiveColor: quiet,
      },
      tooltip: {
        trigger: isScatter ? "item" : "axis",
        renderMode: "richText", // the HTML mode writes style attributes, which the page does not allow
        confine: true,
        backgroundColor: surface,
        borderColor: line,
        textStyle: { color: ink, fontFamily: font(), fontSize: 13 },
        axisPointer: { type: data.type === "bar" ? "shadow" : "line", lineStyle: { color: quiet } },
        formatter: (items) => {
          if (isScatter) {
            const [x, y] = items.value;
            return `${items.name || items.seriesName}\n${rough.format(x)}${data.x_unit ? ` ${data.x_unit}` : ""} · ${say(y)}`;
          }
          return [items[0].axisValueLabel, ...items.map((item) => `${item.seriesName}: ${say(item.value)}`)].join("\n");
        },
      },
      xAxis: isScatter
        ? {
            type: "value",
            name: data.x_title || "",
            nameLocation: "middle",
            nameGap: 28,
            nameTextStyle: axisText,
            axisLabel: { ...axisText, formatter: (value) => rough.format(value) },
            splitLine: { lineStyle: { color: line } },
            axisLine: { lineStyle: { color: line } },
          }
        : {
            type: "category",
            data: data.categories,
            axisLabel: { ...axisText, hideOverlap: true },
            axisTick: { show: false },
            axisLine: { lineStyle: { color: line } },
          },
      yAxis: {
        type: "value",
        scale: data.from_zero === false,
        axisLabel: { ...axisText, formatter: (value) => rough.format(value) },
        splitLine: { lineStyle: { color: line } },
      },
      series: data.series.map((series, index) => ({
        name: series.name,
        type: data.type,
        data: isScatter ? series.values.map(([x, y, name]) => ({ value: [x, y], name })) : series.values,
        stack: data.stacked ? "all" : undefined,
        barMaxWidth: 44,
        barGap: "12%",
        itemStyle: data.type === "bar" ? { borderRadius: data.stacked ? 0 : [4, 4, 0, 0] } : undefined,
        lineStyle: { width: 2.5, type: series.dashed ? "dashed" : "solid" },
        symbol: symbols[index % symbols.length],
        symbolSize: isScatter ? 10 : 7,
        connectNulls: false,
        markLine:
          index === 0 && data.lines
            ? {
                symbol: "none",
                lineStyle: { color: quiet, type: "dashed" },
                label: { color: quiet, formatter: (mark) => mark.name, position: "insideStartTop" },
                data: data.lines.map((mark) => ({ yAxis: mark.value, name: mark.label })),
              }
            : undefined,
      })),
    };
  };

  const draw = async (figure) => {
    const source = document.getElementById(figure.dataset.chart);
    const canvas = figure.querySelector(".chart-canvas");
    if (!source || !canvas || drawn.has(canvas)) return;
    drawn.set(canvas, null);
    try {
      await load();
    } catch {
      figure.classList.add("is-undrawn"); // the table stays
      return;
    }
    if (!canvas.isConnected) {
      drawn.delete(canvas);
      return;
    }
    const data = JSON.parse(source.textContent);
    const chart = window.echarts.init(canvas);
    chart.setOption(makeOption(data));
    drawn.set(canvas, { chart, data });
    new ResizeObserver(() => chart.resize()).observe(canvas);
  };

  const drawAll = (root) => {
    for (const [canvas, entry] of drawn) {
      if (entry && !canvas.isConnected) {
        entry.chart.dispose();
        drawn.delete(canvas);
      }
    }
    if (root.matches?.("[data-chart]")) draw(root);
    for (const figure of root.querySelectorAll("[data-chart]")) draw(figure);
  };

  document.addEventListener("machnuoc:theme", () => {
    for (const entry of drawn.values()) entry?.chart.setOption(makeOption(entry.data), true);
  });
  window.addEventListener("beforeprint", () => {
    for (const entry of drawn.values()) entry?.chart.resize();
  });
  document.addEventListener("htmx:load", (event) => drawAll(event.detail.elt));
  drawAll(document);
})();
