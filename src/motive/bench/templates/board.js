"use strict";
// Draws the charts from the numbers in the page, again whenever the width or the theme changes.
(() => {
  const board = JSON.parse(document.getElementById("data").textContent);
  const rows = [...board.rows].sort((a, b) => b.values.map.value - a.values.map.value);
  const NARROW = 520; // px: below, a row's name stands above its marks instead of beside them
  const MAIN = "motive";

  function theme() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue("--" + name).trim();
    const names = ["bg", "panel", "ink", "muted", "faint", "line", "pos", "neg", "third", "bar", "sans"];
    return Object.fromEntries(names.map((name) => [name, read(name)]));
  }
  const round = (x, digits = 3) => Number(x).toFixed(digits).replace("-", "\u2212");
  const ends = (e, digits) => (e.low === null || e.high === null ? "" : ` [${round(e.low, digits)}, ${round(e.high, digits)}]`);
  const told = (e, digits = 3) => round(e.value, digits) + ends(e, digits);
  const arms = (e) => ({
    plus: e.high === null ? 0 : e.high - e.value,
    minus: e.low === null ? 0 : e.value - e.low,
  });

  function base(c, height) {
    return {
      height,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: c.sans, size: 13, color: c.ink },
      hoverlabel: { bgcolor: c.panel, bordercolor: c.faint, font: { family: c.sans, color: c.ink, size: 13 } },
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom", font: { color: c.muted }, itemclick: false, itemdoubleclick: false },
      margin: { l: 8, r: 16, t: 34, b: 44 },
      shapes: [],
      annotations: [],
    };
  }
  const axis = (c, more) => ({
    gridcolor: c.line, zeroline: false, ticks: "", linecolor: c.line, tickfont: { color: c.muted, size: 12 },
    fixedrange: true, automargin: true, ...more,
  });
  const upright = (c, x, name, at = 1) => [
    { type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: c.muted, width: 1.5, dash: "4px,3px" }, layer: "below" },
    { x, y: at, yref: "paper", yanchor: "bottom", text: name, showarrow: false, font: { size: 12, color: c.muted } },
  ];

  // One line per method; each series puts an estimate on it.
  function rowsChart(c, width, series, { title, line, lineName, zero = false, second }) {
    const used = rows.filter((row) => series.some((s) => s.of(row)));
    const narrow = width < NARROW;
    const step = narrow ? (series.length > 1 ? 68 : 46) : series.length > 1 ? 34 : 28;
    const legend = series.length > 1;
    const layout = base(c, used.length * step + (legend ? 112 : 84));
    layout.margin.t = (legend ? 34 : 8) + (lineName ? 20 : 0);
    if (lineName && legend) layout.legend.y = 1 + 22 / (used.length * step);
    layout.showlegend = legend;
    const at = (i) => used.length - 1 - i;
    const spread = narrow ? 0.16 : 0.22;
    const data = series.map((s, k) => {
      const points = used.map((row, i) => ({ row, i, e: s.of(row) })).filter((p) => p.e);
      const main = (p) => p.row.key === MAIN;
      const ink = s.colour ? points.map(() => c[s.colour]) : points.map((p) => (main(p) ? c.pos : c.muted));
      const shift = s.lane === undefined ? 0 : spread * (1 - s.lane);
      return {
        type: "scatter", mode: "markers", name: s.name,
        x: points.map((p) => p.e.value), y: points.map((p) => at(p.i) + shift - (narrow ? 0.16 : 0)),
        error_x: { type: "data", symmetric: false, array: points.map((p) => arms(p.e).plus), arrayminus: points.map((p) => arms(p.e).minus), thickness: s.hollow ? 1 : 2, width: 0, color: s.colour ? c[s.colour] : c.faint },
        marker: { symbol: s.symbol, size: s.hollow ? 9 : 10, color: s.hollow ? c.bg : ink, line: { width: s.hollow ? 1.6 : 1, color: s.hollow ? ink : c.bg } },
        text: points.map((p) => `<b>${p.row.name}</b><br>${s.name}: ${told(p.e)}`),
        hovertemplate: "%{text}<extra></extra>",
        legendrank: k,
      };
    });
    const name = (row) => (row.key === MAIN ? `<b>${row.name}</b>` : row.name);
    layout.yaxis = axis(c, { range: [-0.6, used.length - 0.4], showgrid: false, tickvals: used.map((_, i) => at(i)), ticktext: used.map(name), tickfont: { color: c.ink, size: 13 }, showticklabels: !narrow, ticklabelstandoff: 10 });
    layout.xaxis = axis(c, { title: { text: title, font: { color: c.muted, size: 12 }, standoff: 8 }, rangemode: zero ? "tozero" : "normal", nticks: narrow ? 5 : 9 });
    used.forEach((row, i) => {
      layout.shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: at(i) - 0.5, y1: at(i) - 0.5, line: { color: c.line, width: narrow || series.length > 1 ? 1 : 0 }, layer: "below" });
      if (narrow) layout.annotations.push({ xref: "paper", x: 0, xanchor: "left", y: at(i) + (series.length > 1 ? 0.34 : 0.24), text: name(row), showarrow: false, font: { size: 12.5, color: row.key === MAIN ? c.pos : c.ink } });
    });
    if (line !== undefined) {
      const [shape, label] = upright(c, line, lineName || "");
      layout.shapes.push(shape);
      if (lineName) layout.annotations.push(label);
    }
    if (second) {
      const [shape, label] = upright(c, second.at, second.name, second.level);
      shape.line.color = c.third; label.font.color = c.third;
      layout.shapes.push(shape); layout.annotations.push(label);
    }
    return { data, layout };
  }

  const value = (key) => (row) => row.values[key];
  const single = (key) => [{ name: "estimate", symbol: "circle", of: value(key) }];
  const ceiling = (key) => board.bank?.ceilings?.[key]?.value;
  const label = (key) => { const e = board.bank?.labels?.[key]; return e && { at: e.value, name: "the label itself", level: 1 }; };

  function heatMap(c, width) {
    const motions = board.motions;
    const z = rows.map((row) => motions.map((m) => row.per_motion[m] ?? null));
    const layout = base(c, rows.length * 30 + 60);
    layout.margin = { l: 8, r: 8, t: 34, b: 8 };
    layout.xaxis = axis(c, { side: "top", showgrid: false, tickfont: { color: c.ink, size: 12.5 }, tickangle: 0 });
    layout.yaxis = axis(c, { autorange: "reversed", showgrid: false, tickfont: { color: c.ink, size: 13 }, ticklabelstandoff: 8 });
    return {
      data: [{
        type: "heatmap", x: motions, y: rows.map((row) => (row.key === MAIN ? `<b>${row.name}</b>` : row.name)), z,
        zmin: 0, zmax: Math.max(0.2, ...z.flat().filter((v) => v !== null)), colorscale: [[0, c.panel], [1, c.pos]], showscale: false,
        xgap: 2, ygap: 2, texttemplate: "%{z:.2f}", textfont: { size: 12 }, hovertemplate: "%{y}<br>%{x}: %{z:.3f}<extra></extra>",
      }],
      layout,
    };
  }

  // Names beside points, each on the side where it covers the least.
  function placeNames(points, width, height, xs, ys) {
    const px = (p) => [((p.x - xs[0]) / (xs[1] - xs[0])) * width, (1 - (p.y - ys[0]) / (ys[1] - ys[0])) * height];
    const taken = points.map((p) => { const [x, y] = px(p); return [x - 6, y - 6, x + 6, y + 6]; });
    const sides = { "middle right": [9, 0, 0], "middle left": [-9, 0, 1], "top center": [0, -15, 0.5], "bottom center": [0, 15, 0.5] };
    const overlap = (a, b) => Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
    return points.map((p) => {
      const [x, y] = px(p), wide = 6.6 * p.name.length;
      const options = Object.entries(sides).map(([side, [dx, dy, shift]]) => {
        const box = [x + dx - wide * shift, y + dy - 8, x + dx + wide * (1 - shift), y + dy + 8];
        const outside = 40 * (Math.max(0, -box[0]) + Math.max(0, box[2] - width));
        return { side, box, cost: outside + taken.reduce((sum, other) => sum + overlap(box, other), 0) };
      });
      const best = options.reduce((a, b) => (b.cost < a.cost ? b : a));
      taken.push(best.box);
      return best.cost > 60 ? { side: best.side, text: "" } : { side: best.side, text: p.name };
    });
  }

  function scatter(c, width) {
    const points = rows.filter((row) => row.values.lds_loss).map((row) => ({ row, name: row.name, x: row.values.map.value, y: row.values.lds_loss.value, ex: arms(row.values.map), ey: arms(row.values.lds_loss) }));
    const height = Math.min(520, Math.max(360, width * 0.5));
    const layout = base(c, height);
    layout.showlegend = false;
    layout.margin = { l: 56, r: 16, t: 26, b: 50 };
    const range = (values, pad) => { const lo = Math.min(...values), hi = Math.max(...values); return [lo - pad * (hi - lo || 1), hi + pad * (hi - lo || 1)]; };
    const top = ceiling("lds_loss");
    const xs = range([board.chance, ...points.flatMap((p) => [p.x - p.ex.minus, p.x + p.ex.plus])], 0.05);
    const ys = range([0, ...(top === undefined ? [] : [top]), ...points.flatMap((p) => [p.y - p.ey.minus, p.y + p.ey.plus])], 0.06);
    const names = placeNames(points, width - 72, height - 76, xs, ys);
    layout.xaxis = axis(c, { range: xs, automargin: false, title: { text: "finds the motion: mAP", font: { color: c.muted, size: 12 } } });
    layout.yaxis = axis(c, { range: ys, automargin: false, title: { text: "predicts retraining: LDS (loss)", font: { color: c.muted, size: 12 } } });
    const across = (y, text) => {
      layout.shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: c.muted, width: 1.5, dash: "4px,3px" }, layer: "below" });
      layout.annotations.push({ xref: "paper", x: 1, xanchor: "right", y, yanchor: y > 0 ? "bottom" : "top", text, showarrow: false, font: { size: 12, color: c.muted } });
    };
    across(0, "no relation");
    if (top !== undefined) across(top, "ceiling of retraining");
    const [shape, label] = upright(c, board.chance, "chance");
    layout.shapes.push(shape); layout.annotations.push(label);
    const ink = points.map((p) => (p.row.key === MAIN ? c.pos : c.muted));
    return {
      data: [{
        type: "scatter", mode: "markers+text", x: points.map((p) => p.x), y: points.map((p) => p.y),
        error_x: { type: "data", symmetric: false, array: points.map((p) => p.ex.plus), arrayminus: points.map((p) => p.ex.minus), color: c.bar, thickness: 1, width: 0 },
        error_y: { type: "data", symmetric: false, array: points.map((p) => p.ey.plus), arrayminus: points.map((p) => p.ey.minus), color: c.bar, thickness: 1, width: 0 },
        marker: { size: 10, color: ink, line: { color: c.bg, width: 1 } },
        text: names.map((n) => n.text), textposition: names.map((n) => n.side), textfont: { size: 12, color: points.map((p) => (p.row.key === MAIN ? c.pos : c.ink)) }, cliponaxis: false,
        customdata: points.map((p) => `<b>${p.name}</b><br>mAP ${told(p.row.values.map)}<br>LDS ${told(p.row.values.lds_loss)}`),
        hovertemplate: "%{customdata}<extra></extra>",
      }],
      layout,
    };
  }

  function curves(c, width, series, title, flat) {
    const p = board.projection;
    const layout = base(c, 360);
    layout.margin = { l: 52, r: 16, t: 30 + 22 * (width < NARROW ? series.length + (flat ? 1 : 0) : Math.ceil(series.length / 2)), b: 46 };
    layout.xaxis = axis(c, { type: "log", tickvals: p.rows.map((r) => r.dim), ticktext: p.rows.map((r) => String(r.dim)), title: { text: "D\u2032, numbers kept per gradient", font: { color: c.muted, size: 12 } } });
    layout.yaxis = axis(c, { title: { text: title, font: { color: c.muted, size: 12 } }, rangemode: "tozero" });
    const data = series.map((s) => {
      const e = p.rows.map((r) => r[s.key]);
      return {
        type: "scatter", mode: "lines+markers", name: s.name, x: p.rows.map((r) => r.dim), y: e.map((v) => v.value),
        error_y: { type: "data", symmetric: false, array: e.map((v) => arms(v).plus), arrayminus: e.map((v) => arms(v).minus), color: c[s.colour], thickness: 1.4, width: 0 },
        line: { color: c[s.colour], width: 2, dash: s.dash }, marker: { size: 8, symbol: s.symbol, color: c[s.colour] },
        text: e.map((v) => told(v)), hovertemplate: `${s.name}<br>D\u2032 = %{x}: %{text}<extra></extra>`,
      };
    });
    if (flat) {
      const last = p.rows[p.rows.length - 1].dim;
      data.push({ type: "scatter", mode: "lines", name: flat.name, x: [p.rows[0].dim, last], y: [flat.e.value, flat.e.value], line: { color: c.muted, width: 1.5, dash: "dot" }, text: [told(flat.e), told(flat.e)], hovertemplate: `${flat.name}: %{text}<extra></extra>` });
      layout.shapes.push({ type: "rect", xref: "paper", x0: 0, x1: 1, y0: flat.e.low, y1: flat.e.high, fillcolor: c.muted, opacity: 0.1, line: { width: 0 }, layer: "below" });
    }
    return { data, layout };
  }

  const CHARTS = {
    "chart-map": (c, w) => rowsChart(c, w, [
      { name: "frozen clips", symbol: "diamond", hollow: true, lane: 2, of: value("frozen") },
      { name: "shuffled frames", symbol: "square", hollow: true, lane: 0, of: value("shuffled") },
      { name: "mAP", symbol: "circle", lane: 1, of: value("map") },
    ], { title: "mean average precision of the query\u2019s motion", line: board.chance, lineName: "chance", zero: true }),
    "chart-motions": heatMap,
    "chart-leakage": (c, w) => rowsChart(c, w, [
      { name: "appearance", symbol: "circle", colour: "pos", lane: 0, of: value("appearance") },
      { name: "position", symbol: "diamond", colour: "neg", lane: 1, of: value("position") },
      { name: "camera", symbol: "square", colour: "third", lane: 2, of: value("camera") },
    ], { title: "mean average precision above chance", line: 0, lineName: "blind to it" }),
    "chart-decoys": (c, w) => rowsChart(c, w, single("decoys"), { title: "share of decoys in the best 10 %", line: board.decoy_share, lineName: "share of all", zero: true }),
    "chart-lds_loss": (c, w) => rowsChart(c, w, single("lds_loss"), { title: "rank correlation", line: ceiling("lds_loss"), lineName: "ceiling", second: label("lds_loss") }),
    "chart-lds_motion": (c, w) => rowsChart(c, w, single("lds_motion"), { title: "rank correlation", line: ceiling("lds_motion"), lineName: "ceiling", second: label("lds_motion") }),
    "chart-scatter": scatter,
    "chart-gain": (c, w) => rowsChart(c, w, single("gain"), { title: "gain over random", line: 0, lineName: "random" }),
    "chart-tail": (c, w) => rowsChart(c, w, single("tail"), { title: "loss against random", line: 0, lineName: "random" }),
    "chart-agreement": (c, w) => curves(c, w, [
      { key: "exact_spearman", name: "Spearman with unprojected", colour: "pos", symbol: "circle" },
      { key: "seeds_spearman", name: "Spearman of two seeds", colour: "neg", symbol: "diamond" },
      { key: "exact_overlap", name: "best in common with unprojected", colour: "pos", symbol: "circle-open", dash: "dot" },
      { key: "seeds_overlap", name: "best in common of two seeds", colour: "neg", symbol: "diamond-open", dash: "dot" },
    ], "agreement"),
    "chart-cost": (c, w) => curves(c, w, [{ key: "average_precision", name: "projected", colour: "pos", symbol: "circle" }], "mAP", { name: "unprojected", e: board.projection.exact_average_precision }),
  };

  const widths = new Map();
  function draw(node) {
    const { data, layout } = CHARTS[node.id](theme(), node.clientWidth);
    widths.set(node, node.clientWidth);
    Plotly.react(node, data, { ...layout, width: node.clientWidth }, { displayModeBar: false, scrollZoom: false });
  }
  const nodes = Object.keys(CHARTS).map((id) => document.getElementById(id)).filter(Boolean);
  nodes.forEach(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => nodes.forEach(draw));
  let waiting = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => nodes.filter((n) => widths.get(n) !== n.clientWidth).forEach(draw));
  });

  // --- the table ------------------------------------------------------------------------------
  const table = document.getElementById("leaders");
  const body = table.tBodies[0];
  for (const head of table.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const down = now ? now === "ascending" : head.dataset.sort === "down";
      table.querySelectorAll("th[aria-sort]").forEach((th) => th.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const of = (row) => row.cells[head.cellIndex].dataset.v;
      const absent = (row) => of(row) === "";
      const numeric = head.classList.contains("num");
      const order = (a, b) => absent(a) - absent(b) || (down ? -1 : 1) * (numeric ? of(a) - of(b) : of(a).localeCompare(of(b)));
      body.append(...[...body.rows].sort(order));
    });
  }
  for (const button of document.querySelectorAll(".copy")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
})();
