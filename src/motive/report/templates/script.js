"use strict";
// Plays what is on screen and nothing else: browsers refuse to hold many dozens of videos at once,
// so a video has a source only while it is near the viewport.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const state = { playing: !calm.matches, motion: false };
  const frames = all("button.frame");

  // --- one clip -------------------------------------------------------------------------------
  const clips = new Map(frames.map((frame) => {
    const video = frame.querySelector("video");
    return [frame, { frame, video, source: video.getAttribute("src"), over: null, shown: video, near: false, seen: false, swapped: false }];
  }));

  const run = (video) => video.play().catch(() => {}); // interrupted by a pause: nothing to do

  function attach(clip) {
    if (clip.video.getAttribute("src")) return;
    clip.video.src = clip.source;
  }

  function detach(clip) {
    unload(clip.video);
    if (clip.over) { unload(clip.over); clip.over.remove(); clip.over = null; }
    clip.shown = clip.video;
  }

  function unload(video) {
    if (!video.hasAttribute("src")) return;
    video.pause();
    video.removeAttribute("src");
    video.load();
  }

  function overlay(clip) {
    if (!clip.over) {
      const over = document.createElement("video");
      over.className = clip.video.className + " over";
      over.muted = over.loop = over.playsInline = true;
      over.preload = "auto";
      over.tabIndex = -1;
      over.setAttribute("aria-hidden", "true");
      over.addEventListener("loadeddata", () => { over.classList.add("ready"); settle(clip); }, { once: true });
      over.src = clip.frame.dataset.overlay;
      clip.frame.append(over);
      clip.over = over;
    }
    return clip.over;
  }

  // Brings one clip in line with the switches, the pointer and the viewport.
  function settle(clip) {
    if (!clip.near) { detach(clip); return; }
    attach(clip);
    const moving = Boolean(clip.frame.dataset.overlay) && state.motion !== clip.swapped;
    clip.frame.classList.toggle("moving", moving);
    // The plain video goes on until its overlay has loaded, then the overlay takes over in step.
    const over = moving && clip.seen ? overlay(clip) : clip.over;
    const shown = moving && over && over.classList.contains("ready") ? over : clip.video;
    if (clip.shown !== shown) {
      if (clip.shown && clip.shown.currentTime) shown.currentTime = clip.shown.currentTime;
      clip.shown = shown;
    }
    const play = clip.seen && state.playing && !document.hidden && !viewer.open;
    for (const video of [clip.video, over]) {
      if (!video) continue;
      if (play && video === shown) { if (video.paused) run(video); } else if (!video.paused) video.pause();
    }
  }
  const settleAll = () => clips.forEach(settle);

  const viewer = document.getElementById("viewer");
  const near = new IntersectionObserver((entries) => entries.forEach((e) => {
    const clip = clips.get(e.target); clip.near = e.isIntersecting; settle(clip);
  }), { rootMargin: "50% 0px" });
  const seen = new IntersectionObserver((entries) => entries.forEach((e) => {
    const clip = clips.get(e.target); clip.seen = e.isIntersecting; settle(clip);
  }), { threshold: 0.15 });

  for (const clip of clips.values()) {
    clip.video.muted = true;
    clip.video.addEventListener("error", () => {
      if (!clip.video.getAttribute("src")) return;
      const note = document.createElement("div");
      note.className = "frame missing";
      const name = document.getElementById(clip.frame.dataset.clip).dataset.name;
      ["No video", name, "this browser cannot play it"].forEach((text, i) => {
        note.append(Object.assign(document.createElement(i ? "span" : "b"), { textContent: text }));
      });
      clip.frame.replaceWith(note);
      near.unobserve(clip.frame); seen.unobserve(clip.frame); clips.delete(clip.frame);
    });
    if (clip.frame.dataset.overlay) {
      const swap = (on) => () => { clip.swapped = on; settle(clip); };
      clip.frame.addEventListener("pointerenter", (e) => { if (e.pointerType === "mouse") swap(true)(); });
      clip.frame.addEventListener("pointerleave", swap(false));
      clip.frame.addEventListener("focus", () => { if (clip.frame.matches(":focus-visible")) swap(true)(); });
      clip.frame.addEventListener("blur", swap(false));
    }
    clip.frame.addEventListener("click", () => show(clip.frame));
    near.observe(clip.frame); seen.observe(clip.frame);
  }
  document.addEventListener("visibilitychange", settleAll);

  // --- switches -------------------------------------------------------------------------------
  const motion = document.getElementById("motion");
  const play = document.getElementById("play");
  function apply() {
    if (motion) motion.setAttribute("aria-pressed", state.motion);
    play.setAttribute("aria-pressed", state.playing);
    play.querySelector(".text").textContent = state.playing ? "Pause" : "Play";
    settleAll();
  }
  if (motion) motion.addEventListener("click", () => { state.motion = !state.motion; apply(); });
  play.addEventListener("click", () => { state.playing = !state.playing; apply(); });
  calm.addEventListener("change", () => { state.playing = !calm.matches; apply(); });
  document.querySelector(".switches").hidden = false;
  apply();

  // --- enlarged view --------------------------------------------------------------------------
  let current = null;
  const siblings = (frame) => all("button.frame", frame.closest(".tiles, .chosen tbody, .teaser, .pair") || document).filter((f) => f.offsetParent);

  function pane(heading, key) {
    const record = document.getElementById(key);
    const box = document.createElement("div");
    box.className = "pane";
    const title = document.createElement("h3");
    title.textContent = heading + record.dataset.name;
    const videos = document.createElement("div");
    videos.className = "videos";
    for (const [source, name] of [[record.dataset.video, "clip"], [record.dataset.overlay, "its motion"]]) {
      if (!source) continue;
      const video = document.createElement("video");
      video.src = source;
      video.muted = video.loop = video.playsInline = true;
      video.controls = true;
      video.autoplay = state.playing;
      video.className = "tiny" in record.dataset ? "px" : "";
      video.setAttribute("aria-label", record.dataset.name + ", " + name);
      videos.append(video);
    }
    box.append(title, videos, ...[...record.children].map((child) => child.cloneNode(true)));
    return box;
  }

  function show(frame) {
    current = frame;
    const panes = viewer.querySelector(".panes");
    all("video", panes).forEach(unload);
    const { clip, query } = frame.dataset;
    panes.replaceChildren(...(query ? [pane("Query: ", query)] : []), pane("", clip));
    document.getElementById("viewer-title").textContent = frame.getAttribute("aria-label").replace(/: [^]*$|\. Enlarge\.$/, "");
    const list = siblings(frame);
    for (const button of all("[data-step]", viewer)) button.disabled = !list[list.indexOf(frame) + Number(button.dataset.step)];
    if (!viewer.open) viewer.showModal();
    settleAll();
  }
  function step(by) {
    const list = siblings(current);
    const next = list[list.indexOf(current) + by];
    if (next) show(next);
  }
  viewer.addEventListener("close", () => {
    all(".panes video", viewer).forEach(unload);
    viewer.querySelector(".panes").replaceChildren();
    if (current) current.focus({ preventScroll: false });
    settleAll();
  });
  viewer.addEventListener("click", (event) => {
    if (event.target === viewer || event.target.closest("[data-close]")) viewer.close();
    const button = event.target.closest("[data-step]");
    if (button) step(Number(button.dataset.step));
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, video")) return;
    if (viewer.open && event.key === "ArrowLeft") step(-1);
    else if (viewer.open && event.key === "ArrowRight") step(1);
    else if (event.key === "m" && motion && !viewer.open) motion.click();
    else if (event.key === " " && !viewer.open && !event.target.closest?.("button, summary, a, [tabindex]")) { event.preventDefault(); play.click(); }
  });

  // --- where the reader is --------------------------------------------------------------------
  const links = new Map(all(".rail a").map((a) => [a.getAttribute("href").slice(1), a]));
  const rail = document.querySelector(".rail");
  const spy = new IntersectionObserver((entries) => entries.forEach((e) => {
    if (!e.isIntersecting) return;
    links.forEach((a) => a.removeAttribute("aria-current"));
    const link = links.get(e.target.id);
    link.setAttribute("aria-current", "location");
    const box = link.getBoundingClientRect(), port = rail.getBoundingClientRect();
    rail.scrollBy({ left: box.left - port.left - port.width / 3, top: box.top - port.top - port.height / 2 });
  }), { rootMargin: "-25% 0px -70% 0px" });
  all(".query").forEach((query) => spy.observe(query));

  // --- table of selected clips ----------------------------------------------------------------
  const table = document.getElementById("chosen");
  if (table) {
    const PAGE = 100;
    const body = table.tBodies[0];
    const filter = document.getElementById("filter");
    const more = document.getElementById("more");
    let limit = PAGE;
    const rows = () => [...body.rows];
    function refresh() {
      const wanted = filter.value.trim().toLowerCase();
      let matches = 0;
      for (const row of rows()) {
        const match = !wanted || row.textContent.toLowerCase().includes(wanted) || row.querySelector("code").title.includes(wanted);
        matches += match;
        row.hidden = !match || matches > limit;
      }
      document.getElementById("shown").textContent = wanted ? matches + " of " + body.rows.length : "";
      more.hidden = matches <= limit;
      more.textContent = "Show all " + matches;
    }
    for (const head of all("th[data-sort]", table)) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const down = now ? now === "ascending" : head.dataset.sort === "down";
        all("th[aria-sort]", table).forEach((th) => th.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const at = head.cellIndex;
        const value = (row) => row.cells[at].dataset.v;
        const numeric = rows().every((row) => value(row) !== "" && !isNaN(value(row)));
        const order = (a, b) => (numeric ? value(a) - value(b) : value(a).localeCompare(value(b)));
        const rank = (row) => Number(row.cells[0].dataset.v);
        body.append(...rows().sort((a, b) => (down ? -1 : 1) * order(a, b) || rank(a) - rank(b)));
        refresh();
      });
    }
    filter.addEventListener("input", () => { limit = PAGE; refresh(); });
    more.addEventListener("click", () => { limit = Infinity; refresh(); });
    document.querySelector(".table-tools").hidden = body.rows.length < 12;
    refresh();
  }

  // --- copy buttons ---------------------------------------------------------------------------
  for (const button of all(".copy")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
})();
