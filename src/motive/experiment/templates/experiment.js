"use strict";
// Charts from the numbers in the page, and its videos: filtered, side by side, in step.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const NARROW = 520; // px: below, a row's name stands above its marks instead of beside them
  const scale = data.metric && data.metric.percent ? 100 : 1;
  const isMain = (c) => c.name === data.main;

  // --- charts ---------------------------------------------------------------------------------
  function theme() {
    const style = getComputedStyle(document.documentElement);
    const names = ["bg", "panel", "ink", "muted", "faint", "line", "pos", "neg", "third", "bar", "sans"];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
  }
  const axis = (c, more) => ({
    gridcolor: c.line, zeroline: false, ticks: "", linecolor: c.line, tickfont: { color: c.muted, size: 12 },
    fixedrange: true, automargin: true, layer: "below traces", ...more,
  });
  const base = (c, height) => ({
    height, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: c.sans, size: 13, color: c.ink },
    hoverlabel: { bgcolor: c.panel, bordercolor: c.faint, font: { family: c.sans, color: c.ink, size: 13 } },
    legend: { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom", font: { color: c.muted }, itemclick: false, itemdoubleclick: false },
    margin: { l: 8, r: 16, t: 30, b: 44 }, shapes: [], annotations: [],
  });
  const arm = (e, end) => (e[end] === null ? 0 : scale * Math.abs(e[end] - e.value));
  const strong = (c, text) => (isMain(c) ? `<b>${text}</b>` : text);

  // One line per condition: an estimate with its interval, and each seed alone as a hollow mark.
  function forest(c, width, of, { title, colour, zero }) {
    const rows = data.conditions.filter(of);
    const narrow = width < NARROW, step = narrow ? 48 : 34;
    const layout = base(c, rows.length * step + 92);
    const at = (i) => rows.length - 1 - i, drop = narrow ? -0.16 : 0;
    const seeds = rows.flatMap((row, i) => Object.entries(of(row).seeds).map(([seed, v]) => ({ row, i, seed, v })));
    const many = data.seeds.length > 1;
    layout.showlegend = many;
    layout.margin.t = (many ? 34 : 10) + (zero ? 20 : 0);
    if (zero && many) layout.legend.y = 1 + 22 / (rows.length * step);
    layout.yaxis = axis(c, { range: [-0.6, rows.length - 0.4], showgrid: false, tickvals: rows.map((_, i) => at(i)), ticktext: rows.map((row) => strong(row, row.title)), tickfont: { color: c.ink, size: 13 }, showticklabels: !narrow, ticklabelstandoff: 10 });
    layout.xaxis = axis(c, { title: { text: title, font: { color: c.muted, size: 12 }, standoff: 8 }, nticks: narrow ? 5 : 9, rangemode: zero ? "normal" : "tozero" });
    rows.forEach((row, i) => {
      layout.shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: at(i) - 0.5, y1: at(i) - 0.5, line: { color: c.line, width: 1 }, layer: "below" });
      if (narrow) layout.annotations.push({ xref: "paper", x: 0, xanchor: "left", y: at(i) + 0.24, text: strong(row, row.title), showarrow: false, font: { size: 12.5, color: c.ink } });
    });
    if (zero) {
      layout.shapes.push({ type: "line", x0: 0, x1: 0, yref: "paper", y0: 0, y1: 1, line: { color: c.muted, width: 1.5, dash: "4px,3px" }, layer: "below" });
      layout.annotations.push({ x: 0, y: 1, yref: "paper", yanchor: "bottom", text: zero, showarrow: false, font: { size: 12, color: c.muted } });
    }
    const ink = rows.map((row) => c[colour(row)]);
    const marks = {
      type: "scatter", mode: "markers", cliponaxis: false, name: "all seeds",
      x: rows.map((row) => scale * of(row).value), y: rows.map((_, i) => at(i) + drop),
      error_x: { type: "data", symmetric: false, array: rows.map((row) => arm(of(row), "high")), arrayminus: rows.map((row) => arm(of(row), "low")), thickness: 2, width: 0, color: c.faint },
      marker: { size: 11, color: ink, line: { width: 1, color: c.bg } },
      text: rows.map((row) => `<b>${row.title}</b><br>${of(row).text}`), hovertemplate: "%{text}<extra></extra>",
    };
    const single = {
      type: "scatter", mode: "markers", cliponaxis: false, name: "each seed",
      x: seeds.map((s) => scale * s.v), y: seeds.map((s) => at(s.i) + drop - 0.2),
      marker: { size: 7, symbol: "circle-open", color: seeds.map((s) => c[colour(s.row)]), line: { width: 1.4 } },
      text: seeds.map((s) => `${s.row.title}<br>seed ${s.seed}: ${(scale * s.v).toFixed(1)}`), hovertemplate: "%{text}<extra></extra>",
    };
    return { data: many ? [marks, single] : [marks], layout };
  }

  const unit = () => data.metric.title + (scale === 100 ? ", %" : "");
  const values = (c, w) => forest(c, w, (row) => row.cell, { title: unit(), colour: (row) => (isMain(row) ? "pos" : "muted") });
  const differences = (c, w) => forest(c, w, (row) => row.difference, {
    title: data.metric.title + (scale === 100 ? ", points" : ""), zero: "no difference",
    colour: (row) => ({ good: "pos", bad: "neg" })[row.difference.verdict] || "faint",
  });

  function motions(c) {
    const rows = data.conditions.filter((row) => row.cell);
    const layout = base(c, rows.length * 34 + 56);
    layout.margin = { l: 8, r: 8, t: 34, b: 8 };
    layout.xaxis = axis(c, { side: "top", showgrid: false, tickfont: { color: c.ink, size: 12.5 }, tickangle: 0 });
    layout.yaxis = axis(c, { autorange: "reversed", showgrid: false, tickfont: { color: c.ink, size: 13 }, ticklabelstandoff: 8 });
    const cell = (row, motion) => row.cell.motions[motion];
    const z = rows.map((row) => data.motions.map((motion) => (cell(row, motion) ? scale * cell(row, motion).value : null)));
    return {
      data: [{
        type: "heatmap", x: data.motions, y: rows.map((row) => strong(row, row.title)), z,
        zmin: 0, zmax: Math.max(scale === 100 ? 20 : 1e-9, ...z.flat().filter((v) => v !== null)), colorscale: [[0, c.panel], [1, c.pos]], showscale: false,
        xgap: 2, ygap: 2, texttemplate: scale === 100 ? "%{z:.0f}" : "%{z:.2f}", textfont: { size: 12.5 },
        text: rows.map((row) => data.motions.map((motion) => (cell(row, motion) || { text: "" }).text)), hovertemplate: "%{y}<br>%{x}: %{text}<extra></extra>",
      }],
      layout,
    };
  }

  function chosen(c, width) {
    const rows = data.conditions.filter((row) => row.clips), narrow = width < NARROW;
    const layout = base(c, rows.length * 32 + 84);
    layout.barmode = "stack";
    layout.legend.traceorder = "normal";
    layout.xaxis = axis(c, { range: [0, 100], title: { text: "% of the chosen clips", font: { color: c.muted, size: 12 } } });
    layout.yaxis = axis(c, { autorange: "reversed", showgrid: false, tickfont: { color: c.ink, size: narrow ? 11 : 13 }, ticklabelstandoff: 8 });
    const part = (name, of, colour) => ({
      type: "bar", orientation: "h", name, y: rows.map((row) => strong(row, row.title)), x: rows.map((row) => 100 * of(row)),
      marker: { color: colour, line: { color: c.bg, width: 1 } }, hovertemplate: `%{y}<br>${name}: %{x:.0f} %<extra></extra>`,
    });
    return {
      data: [
        part("the wanted motion", (row) => row.wanted || 0, c.pos),
        part("another motion", (row) => Math.max(0, 1 - (row.wanted || 0) - row.still), c.bar),
        part("no motion of its own", (row) => row.still, c.line),
      ],
      layout,
    };
  }

  function losses(c) {
    const rows = data.conditions.filter((row) => row.losses.length > 1);
    const layout = base(c, 400);
    layout.legend = { ...layout.legend, y: -0.24, yanchor: "top" };
    layout.margin.b = 150;
    layout.xaxis = axis(c, { title: { text: "updates", font: { color: c.muted, size: 12 } } });
    layout.yaxis = axis(c, {});
    const inks = [c.faint, c.neg, c.third, c.ink, c.bar], dashes = ["solid", "dot", "dash"];
    const other = rows.filter((row) => !isMain(row));
    return {
      data: rows.map((row) => {
        const k = other.indexOf(row);
        return {
          type: "scatter", mode: "lines", name: row.title, x: row.losses.map((p) => p[0]), y: row.losses.map((p) => p[1]),
          line: isMain(row) ? { color: c.pos, width: 3 } : { color: inks[k % inks.length], width: 1.6, dash: dashes[Math.floor(k / inks.length) % 3] },
          hovertemplate: `${row.title}<br>%{x:.0f}: %{y:.4f}<extra></extra>`,
        };
      }),
      layout,
    };
  }

  const CHARTS = { "chart-values": values, "chart-differences": differences, "chart-motions": motions, "chart-chosen": chosen, "chart-losses": losses };
  const widths = new Map();
  function draw(node) {
    const drawn = CHARTS[node.id](theme(), node.clientWidth);
    widths.set(node, node.clientWidth);
    Plotly.react(node, drawn.data, { ...drawn.layout, width: node.clientWidth }, { displayModeBar: false, scrollZoom: false });
  }
  const charts = Object.keys(CHARTS).map((id) => document.getElementById(id)).filter(Boolean);
  charts.forEach(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach(draw));
  let waiting = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => charts.filter((n) => widths.get(n) !== n.clientWidth).forEach(draw));
  });

  // --- playing in step ------------------------------------------------------------------------
  // A video has a source only near the viewport: browsers refuse to hold hundreds of them.
  const live = new Set();
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const state = { playing: !calm.matches, speed: 1, seed: String(data.seeds[0]) };
  const play = document.getElementById("play");
  const viewer = document.getElementById("viewer");
  const playable = () => [...live].filter((v) => v.readyState >= 2 && (!viewer.open || viewer.contains(v)));

  function tick() {
    if (!state.playing || document.hidden) return;
    const videos = playable();
    const going = videos.filter((v) => !v.ended);
    if (!going.length) {
      if (videos.length) videos.forEach((v) => { v.currentTime = 0; start(v); });
      return;
    }
    // The furthest leads; one that has just come into view joins it.
    const lead = Math.max(...going.map((v) => v.currentTime));
    for (const video of going) {
      if (Math.abs(video.currentTime - lead) > 1.5 / data.fps) video.currentTime = lead;
      if (video.paused) start(video);
    }
  }
  function start(video) {
    video.playbackRate = state.speed;
    video.play().catch(() => {}); // interrupted by a pause: nothing to do
  }
  setInterval(tick, 120);

  function setPlaying(on) {
    state.playing = on;
    play.textContent = on ? "Pause" : "Play";
    play.setAttribute("aria-pressed", on);
    if (on) tick(); else live.forEach((v) => v.pause());
  }
  function oneFrame(step) {
    const videos = playable();
    const now = Math.max(0, ...videos.map((v) => v.currentTime));
    const end = Math.max(0, ...videos.map((v) => v.duration || 0));
    const to = Math.min(Math.max(0, now + step / data.fps), Math.max(0, end - 0.5 / data.fps));
    videos.forEach((v) => { v.currentTime = to; });
  }

  function attach(video) {
    if (video.hasAttribute("src")) return;
    video.src = video.dataset.src;
    live.add(video);
  }
  function detach(video) {
    live.delete(video);
    if (!video.hasAttribute("src")) return;
    video.pause();
    video.removeAttribute("src");
    video.load();
  }
  const near = new IntersectionObserver((entries) => entries.forEach((entry) => {
    for (const video of entry.target.querySelectorAll("video")) (entry.isIntersecting ? attach : detach)(video);
    if (entry.isIntersecting && state.playing) tick();
  }), { rootMargin: "40% 0px" });

  // --- rows -----------------------------------------------------------------------------------
  const CHUNK = 8; // rows that are added at once
  const list = document.getElementById("rows");
  const control = (id) => document.getElementById(id);
  const make = (tag, options, ...children) => {
    const node = Object.assign(document.createElement(tag), options);
    node.append(...children);
    return node;
  };
  let fitting = [], shown = 0, here = -1;

  const hidden = new Set();
  const columns = () => data.conditions.filter((c) => !hidden.has(c.name));
  const entry = (prompt, condition) => (prompt.videos[condition.name] || {})[state.seed];
  const saw = (prompt, condition) => { const e = entry(prompt, condition); return e ? e[1] : null; };

  const OUTCOMES = {
    "": () => true,
    differ: (p) => new Set(columns().map((c) => saw(p, c)).filter((s) => s !== null)).size > 1,
    main: (p) => saw(p, data.conditions.find(isMain)) === true,
    "not-main": (p) => saw(p, data.conditions.find(isMain)) === false,
    "only-main": (p) => {
      const others = columns().filter((c) => !isMain(c)).map((c) => saw(p, c)).filter((s) => s !== null);
      return OUTCOMES.main(p) && others.filter((s) => s).length * 2 < others.length;
    },
  };

  function figure(prompt, condition, enlarged) {
    const found = entry(prompt, condition);
    const says = found && found[1] !== null ? (found[1] ? "shows the motion" : "does not show the motion") : "";
    const label = `${condition.title}${says ? ", " + says : ""}`;
    let frame;
    if (found && found[0]) {
      const video = make("video", { muted: true, playsInline: true, preload: "auto", tabIndex: -1, className: data.tiny ? "px" : "" });
      video.dataset.src = found[0];
      video.addEventListener("error", () => {
        if (video.hasAttribute("src")) frame.replaceWith(make("div", { className: "frame missing" }, make("b", { textContent: "No video" }), make("span", { textContent: "this browser cannot play it" })));
      });
      frame = enlarged ? make("div", { className: "frame" }, video) : make("button", { type: "button", className: "frame" }, video);
      frame.setAttribute("aria-label", enlarged ? label : `${label}: enlarge`);
      if (enlarged) frame.setAttribute("role", "img");
    } else {
      frame = make("div", { className: "frame missing" }, make("b", { textContent: "No video" }));
    }
    const caption = make("figcaption", {}, make("span", { className: "name", textContent: condition.title }));
    if (found && (says || found[2])) {
      const mark = found[1] === null ? "" : found[1] ? "✓ " : "✗ ";
      const chip = make("span", { className: `saw${found[1] ? " yes" : ""}`, textContent: mark + found[2] });
      if (says) chip.title = says;
      caption.append(chip);
    }
    return make("figure", { className: isMain(condition) ? "main" : "" }, frame, caption);
  }

  function row(prompt, number) {
    const title = make("h3", {}, make("span", { textContent: prompt.text }));
    if (prompt.motion) title.append(make("span", { className: "badge", textContent: prompt.motion }));
    const side = make("div", { className: "side" }, ...columns().map((c) => figure(prompt, c, false)));
    const item = make("li", { className: "row", tabIndex: -1 }, title, side);
    side.addEventListener("click", (e) => { if (e.target.closest("button.frame")) enlarge(number); });
    item.addEventListener("focusin", () => mark(number));
    near.observe(item);
    return item;
  }

  function grow() {
    const next = fitting.slice(shown, shown + CHUNK);
    list.append(...next.map((prompt, i) => row(prompt, shown + i)));
    shown += next.length;
  }
  function refresh() {
    const words = control("by-text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const motion = control("by-motion") ? control("by-motion").value : "";
    const outcome = OUTCOMES[control("by-outcome").value];
    fitting = data.prompts.filter((p) => (!motion || p.motion === motion) && outcome(p) && words.every((w) => p.text.toLowerCase().includes(w)));
    near.disconnect();
    list.querySelectorAll("video").forEach(detach);
    list.replaceChildren();
    shown = 0;
    here = -1;
    control("nothing").hidden = fitting.length > 0;
    control("count").textContent = `${fitting.length} of ${data.prompts.length} prompts`;
    grow();
    more.unobserve(control("more-rows"));
    more.observe(control("more-rows")); // says at once whether the end is in view
  }
  const more = new IntersectionObserver((entries) => {
    if (entries.some((e) => e.isIntersecting) && shown < fitting.length) {
      grow();
      more.unobserve(control("more-rows"));
      more.observe(control("more-rows"));
    }
  }, { rootMargin: "100% 0px" });

  function mark(number) {
    here = number;
    list.querySelectorAll(".row.here").forEach((r) => r.classList.remove("here"));
    if (list.children[number]) list.children[number].classList.add("here");
  }
  function go(step) {
    const to = Math.min(Math.max(0, here + step), fitting.length - 1);
    while (shown <= to) grow();
    if (!list.children[to]) return;
    list.children[to].focus({ preventScroll: true });
    list.children[to].scrollIntoView({ block: "start", behavior: calm.matches ? "auto" : "smooth" });
    mark(to);
  }

  // --- enlarged ---------------------------------------------------------------------------------
  function enlarge(number) {
    const prompt = fitting[number];
    if (!prompt) return;
    mark(number);
    const side = control("viewer-side");
    side.querySelectorAll("video").forEach(detach);
    control("viewer-title").textContent = prompt.text;
    side.replaceChildren(...columns().map((c) => figure(prompt, c, true)));
    live.forEach((v) => v.pause());
    side.querySelectorAll("video").forEach(attach);
    control("previous").disabled = number === 0;
    control("next").disabled = number === fitting.length - 1;
    if (!viewer.open) { viewer.showModal(); control("viewer-title").focus(); }
  }
  viewer.addEventListener("close", () => {
    control("viewer-side").querySelectorAll("video").forEach(detach);
    control("viewer-side").replaceChildren();
    while (shown <= here) grow();
    if (list.children[here]) { list.children[here].focus({ preventScroll: true }); list.children[here].scrollIntoView({ block: "nearest" }); }
  });
  viewer.addEventListener("click", (e) => { if (e.target === viewer) viewer.close(); });
  control("close").addEventListener("click", () => viewer.close());
  control("previous").addEventListener("click", () => enlarge(here - 1));
  control("next").addEventListener("click", () => enlarge(here + 1));

  // --- controls ---------------------------------------------------------------------------------
  for (const id of ["by-motion", "by-outcome"]) if (control(id)) control(id).addEventListener("change", refresh);
  control("by-text").addEventListener("input", refresh);
  control("tools").addEventListener("submit", (e) => e.preventDefault());
  control("speed").addEventListener("change", (e) => {
    state.speed = Number(e.target.value);
    live.forEach((v) => { v.playbackRate = state.speed; });
  });
  for (const radio of document.querySelectorAll("input[name=seed]")) {
    radio.addEventListener("change", () => { state.seed = radio.value; refresh(); });
  }
  for (const box of control("choose").querySelectorAll("input")) {
    box.addEventListener("change", () => { if (box.checked) hidden.delete(box.value); else hidden.add(box.value); refresh(); });
  }
  play.addEventListener("click", () => setPlaying(!state.playing));
  calm.addEventListener("change", () => setPlaying(!calm.matches));

  function nextSeed() {
    const radios = [...document.querySelectorAll("input[name=seed]")];
    if (!radios.length) return;
    const at = here;
    const to = radios[(radios.findIndex((r) => r.checked) + 1) % radios.length];
    to.checked = true;
    state.seed = to.value;
    refresh();
    if (viewer.open) { if (fitting.length) enlarge(Math.min(at, fitting.length - 1)); } else if (at >= 0 && fitting.length) { here = at; go(0); }
  }
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.target.closest("input[type=search], select, textarea")) return;
    const button = e.target.closest("button, summary, a, input");
    const key = e.key.toLowerCase();
    if (key === " ") {
      if (button && !button.classList.contains("frame")) return; // the button's own key
      setPlaying(!state.playing);
    } else if (key === "j" || key === "k") {
      const step = key === "j" ? 1 : -1;
      if (viewer.open) enlarge(here + step); else go(here < 0 ? 1 : step);
    } else if (key === "s") nextSeed();
    else if (key === "enter" && !viewer.open && !button && e.target.closest(".row")) enlarge(here);
    else if ((key === "arrowleft" || key === "arrowright") && !state.playing && !(button && button.type === "radio")) oneFrame(key === "arrowright" ? 1 : -1);
    else return;
    e.preventDefault();
  });

  for (const id of ["tools", "choose", "keys"]) control(id).hidden = false;
  document.body.classList.toggle("tiny", data.tiny);
  const [w, h] = data.size;
  document.body.style.setProperty("--ar", String(Math.min(1.78, Math.max(0.56, w / h))));
  setPlaying(state.playing);
  refresh();
})();
