"use strict";
// Filters and sorts the clips that are in the page, and plays overlay videos that lie beside it.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const list = document.getElementById("clips");
  const clips = all(".clip", list).map((node, order) => ({ node, order }));
  const tools = document.querySelector(".tools");
  const find = document.getElementById("find");
  const sort = document.getElementById("sort");
  const reset = document.getElementById("reset");
  const shown = document.getElementById("shown");
  const none = document.getElementById("none");
  const drop = document.getElementById("drop");
  const chips = all("button.chip", tools);
  const DROPPABLE = ["static", "camera-only", "micro-motion", "cut", "duplicate"];
  tools.hidden = false;

  const pressed = (kind) => chips.filter((c) => c.getAttribute("aria-pressed") === "true" && c.dataset[kind]).map((c) => c.dataset[kind]);

  // Within a row of chips any may hold; flags, camera and text must all hold.
  function filter() {
    const groups = pressed("group");
    const cameras = pressed("camera");
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { node } of clips) {
      const own = node.dataset.groups.split(" ");
      const text = node.dataset.text.toLowerCase();
      const fits = (!groups.length || groups.some((g) => own.includes(g)))
        && (!cameras.length || cameras.includes(node.dataset.camera))
        && words.every((word) => text.includes(word));
      node.hidden = !fits;
      if (!fits) stop(node);
      count += fits;
    }
    shown.textContent = `${count} of ${clips.length} shown`;
    none.hidden = count > 0;
    reset.disabled = !(groups.length || cameras.length || words.length);
    const flags = groups.filter((g) => DROPPABLE.includes(g));
    if (drop) {
      drop.hidden = !flags.length;
      const code = drop.querySelector("code");
      code.textContent = `${code.dataset.base} --drop ${flags.join(",")}`;
    }
  }

  function order() {
    const key = sort.value;
    const first = sort.options[0].value;
    const names = new Intl.Collator(undefined, { numeric: true });
    const value = (clip) => (clip.node.dataset[key] === undefined ? -Infinity : Number(clip.node.dataset[key]));
    const compare = key === "name" ? (a, b) => names.compare(a.node.dataset.name, b.node.dataset.name)
      : key === first ? () => 0 : (a, b) => value(b) - value(a) || 0;
    list.append(...[...clips].sort((a, b) => compare(a, b) || a.order - b.order).map((clip) => clip.node));
  }

  function showAll() {
    chips.forEach((chip) => chip.setAttribute("aria-pressed", "false"));
    find.value = "";
    filter();
  }

  for (const chip of chips) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      filter();
    });
  }
  tools.addEventListener("submit", (event) => event.preventDefault());
  find.addEventListener("input", filter);
  find.addEventListener("keydown", (event) => { if (event.key === "Escape") { find.value = ""; filter(); } });
  sort.addEventListener("change", order);
  reset.addEventListener("click", () => { showAll(); find.focus(); });
  none.querySelector("button").addEventListener("click", () => { showAll(); find.focus(); });

  // --- overlay videos -------------------------------------------------------------------------
  function stop(node) {
    const button = node.querySelector(".play[aria-pressed=true]");
    if (!button) return;
    button.setAttribute("aria-pressed", "false");
    all("video, .gone", button).forEach((part) => part.remove());
  }
  function play(button) {
    const video = document.createElement("video");
    video.muted = video.loop = video.playsInline = video.autoplay = true;
    video.addEventListener("error", () => {
      const gone = document.createElement("span");
      gone.className = "gone";
      gone.textContent = "overlays/ is not beside this page";
      video.replaceWith(gone);
    });
    video.src = button.dataset.video;
    button.prepend(video);
    button.setAttribute("aria-pressed", "true");
  }
  for (const button of all(".play", list)) {
    button.addEventListener("click", () => (button.getAttribute("aria-pressed") === "true" ? stop(button.closest(".clip")) : play(button)));
  }
  filter();
})();
