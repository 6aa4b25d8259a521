"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const base = location.pathname.replace(/\/$/, "");
  const token = new URLSearchParams(location.search).get("token");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const videos = [$("left"), $("right")];
  const choices = [...document.querySelectorAll(".choice")];
  const pages = ["welcome", "trial", "done", "problem"];
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));

  let standing = null; // what the server said last
  let busy = false; // an answer is on its way: nothing else may be chosen
  let watched = false; // both videos have been seen to the end
  let shownAt = 0;
  let earlier = null; // the answer that an undo took back

  // ---- memory of this browser; without it (private windows) the page works all the same

  const memory = {
    name: (what) => `motive-study:${base}:${what}`,
    get(what) {
      try { return JSON.parse(localStorage.getItem(this.name(what))); } catch { return null; }
    },
    set(what, value) {
      try {
        if (value === null) localStorage.removeItem(this.name(what));
        else localStorage.setItem(this.name(what), JSON.stringify(value));
      } catch { /* storage is off or full */ }
    },
  };

  // ---- talking to the server

  class Refused extends Error {
    constructor(status, text) { super(text); this.status = status; }
  }

  async function ask(path, options = {}) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), path.startsWith("/videos/") ? 300000 : 30000);
    const headers = { accept: "application/json" };
    if (token) headers.authorization = `Bearer ${token}`;
    try {
      const answer = await fetch(base + path, { ...options, headers, signal: stop.signal });
      if (answer.ok) return path.startsWith("/videos/") ? await answer.blob() : await answer.json();
      const told = await answer.json().catch(() => ({}));
      throw new Refused(answer.status, told.error || `The server answered ${answer.status}.`);
    } catch (error) {
      if (error instanceof Refused) throw error;
      throw new Refused(0, "The server does not answer.");
    } finally {
      clearTimeout(timer);
    }
  }

  // The same event until the server has it: its key makes sure that it counts once.
  async function deliver(event) {
    memory.set("pending", event);
    for (let pause = 500; ; pause = Math.min(2 * pause, 8000)) {
      try {
        const told = await ask(event.path, { method: "PUT", body: JSON.stringify(event.body) });
        memory.set("pending", null);
        return told;
      } catch (error) {
        if (error.status > 0 && error.status < 500) {
          memory.set("pending", null);
          throw error;
        }
        say("Not saved yet: the server does not answer. Trying again …", true);
        await wait(pause);
      }
    }
  }

  const newKey = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

  // ---- pages

  function show(name) {
    for (const page of pages) $(page).hidden = page !== name;
    $("going").hidden = !standing || name === "welcome" || name === "problem";
    if (name !== "trial") player.pause();
  }

  function say(text, trouble = false) {
    $("status").textContent = text;
    $("status").classList.toggle("trouble", trouble);
  }

  function fail(error) {
    $("problem-text").textContent = sentence(error.message);
    show("problem");
    $("again").focus();
  }

  const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");

  async function start() {
    try {
      standing = await ask("/standing"); // a server that is away is told at once
      const pending = memory.get("pending");
      if (pending) { // this page was closed before its last answer had arrived
        try { await deliver(pending); } catch (error) { if (error.status !== 409) throw error; }
        standing = await ask("/standing");
      }
    } catch (error) {
      fail(error);
      return;
    }
    if (standing.done > 0 || !standing.total) advance(standing);
    else {
      $("total").textContent = standing.total;
      show("welcome");
      $("begin").focus();
    }
    if (standing.current) loader.of(standing.current);
  }

  async function advance(next, told = "") {
    standing = next;
    const { done, total, current, following, last } = standing;
    $("count").textContent = `${done} of ${total} judged`;
    $("progress").max = Math.max(total, 1);
    $("progress").value = done;
    $("undo").disabled = $("undo-done").disabled = !last;
    loader.keep([current, following]);
    if (!current) {
      $("all").textContent = total;
      show("done");
      $("done-title").focus();
      return;
    }
    show("trial");
    $("prompt").textContent = current.prompt || "Two videos of the same description";
    $("motion").textContent = current.motion ? `Motion: ${current.motion}` : "";
    $("motion").hidden = !current.motion;
    const draft = memory.get("draft");
    $("comment").value = draft?.trial === current.id ? draft.text : "";
    $("remark").open = Boolean($("comment").value);
    for (const button of choices) {
      button.classList.remove("chosen");
      button.classList.toggle("earlier", earlier?.choice === button.dataset.choice);
    }
    setWatched(false);
    say(told || "Loading …");
    $("prompt").focus({ preventScroll: true }); // so that Space plays instead of pressing a button
    scrollTo(0, 0);
    try {
      await player.load(await loader.of(current));
    } catch (error) {
      if (standing.current?.id === current.id) fail(error);
      return;
    }
    if (standing.current?.id !== current.id) return;
    shownAt = performance.now();
    say(told || (calm.matches ? "Press Play to watch both videos." : "Watch both to the end once."));
    if (following) loader.of(following).catch(() => {}); // told when its turn comes
    if (!calm.matches) player.play();
  }

  function setWatched(value) {
    watched = value;
    for (const button of choices) button.setAttribute("aria-disabled", String(!value));
  }

  // ---- videos: both are loaded whole before either starts

  const loader = {
    kept: new Map(), // pair id -> promise of two object URLs
    of(trial) {
      if (!this.kept.has(trial.id)) {
        const both = Promise.all(
          ["left", "right"].map(async (side) =>
            URL.createObjectURL(await ask(`/videos/${trial.id}/${side}`)))
        );
        both.catch(() => this.kept.delete(trial.id)); // so that it can be tried again
        this.kept.set(trial.id, both);
      }
      return this.kept.get(trial.id);
    },
    keep(trials) {
      const wanted = new Set(trials.filter(Boolean).map((trial) => trial.id));
      for (const [id, both] of this.kept) {
        if (wanted.has(id)) continue;
        this.kept.delete(id);
        both.then((urls) => urls.forEach((url) => URL.revokeObjectURL(url)), () => {});
      }
    },
  };

  const once = (video, name) =>
    new Promise((done, failed) => {
      const heard = new AbortController();
      const listen = (event, then) =>
        video.addEventListener(event, () => { heard.abort(); then(); }, { signal: heard.signal });
      listen(name, done);
      listen("error", () => failed(new Refused(415, "A video cannot be played in this browser.")));
    });

  const player = {
    running: false,
    turn: 0, // changes with every play and pause: what waits for an older turn must not go on
    loads: 0,
    async load(urls) {
      const load = ++this.loads;
      this.pause();
      $("sides").classList.remove("ready");
      $("time").style.transform = "scaleX(0)";
      await Promise.all(
        videos.map((video, i) => {
          const loaded = once(video, "canplaythrough");
          video.src = urls[i];
          video.load();
          return loaded;
        })
      );
      if (load !== this.loads) return;
      const [{ videoWidth: width, videoHeight: height }] = videos;
      const sides = $("sides");
      sides.style.setProperty("--ar", Math.min(Math.max(width / height, 0.5), 2.2));
      sides.classList.toggle("wide", width > 1.15 * height);
      sides.classList.toggle("sharp", Math.max(width, height) <= 128);
      sides.classList.add("ready");
    },
    async play() {
      const turn = ++this.turn;
      this.running = true;
      this.shown();
      if (this.ended()) await this.rewind();
      if (turn !== this.turn) return;
      try {
        await Promise.all(videos.filter((video) => !video.ended).map((video) => video.play()));
      } catch {
        if (turn === this.turn) this.pause(); // the browser wants a press first
        return;
      }
      requestAnimationFrame(() => this.tick(turn));
    },
    pause() {
      this.turn++;
      this.running = false;
      for (const video of videos) video.pause();
      this.shown();
    },
    toggle() { return this.running ? this.pause() : this.play(); },
    async replay() {
      this.pause();
      const turn = this.turn;
      await this.rewind();
      if (turn === this.turn) this.play();
    },
    rewind: () =>
      Promise.all(
        videos.map((video) => {
          const there = once(video, "seeked");
          video.currentTime = 0;
          return there;
        })
      ),
    ended: () => videos.every((video) => video.ended),
    async tick(turn) {
      if (turn !== this.turn) return;
      const [left, right] = videos;
      const longest = left.duration >= right.duration ? left : right;
      $("time").style.transform = `scaleX(${longest.currentTime / longest.duration || 0})`;
      if (this.ended()) {
        if (!watched) {
          setWatched(true);
          say("");
        }
        await wait(450); // a breath, so that end and beginning are told apart
        if (turn === this.turn) this.play();
        return;
      }
      // The shorter one waits at its end; until then they keep step.
      const apart = left.currentTime - right.currentTime;
      if (Math.abs(apart) > 0.08 && !left.ended && !right.ended && !left.seeking && !right.seeking) {
        (apart < 0 ? left : right).currentTime = Math.max(left.currentTime, right.currentTime);
      }
      requestAnimationFrame(() => this.tick(turn));
    },
    shown() {
      $("play-text").textContent = this.running ? "Pause" : "Play";
      $("play").classList.toggle("running", this.running);
    },
  };

  // ---- answering

  async function choose(choice) {
    const trial = standing?.current;
    if (!trial || busy) return;
    if (!watched) {
      say("Watch both to the end once, then choose.");
      return;
    }
    busy = true;
    const pressed = choices.find((button) => button.dataset.choice === choice);
    pressed.classList.add("chosen");
    const body = {
      key: newKey(),
      choice,
      comment: $("comment").value,
      seconds: Math.round(performance.now() - shownAt) / 1000,
    };
    await settle({ path: `/votes/${trial.id}`, body }, (told) => {
      earlier = null;
      memory.set("draft", null);
      return [told.standing, ""];
    });
  }

  async function undo() {
    if (busy || !standing?.last) return;
    busy = true;
    await settle({ path: `/undos/${standing.last}`, body: { key: newKey() } }, (told) => {
      earlier = told.before;
      const back = told.standing.current;
      if (earlier && back) memory.set("draft", { trial: back.id, text: earlier.comment });
      return [told.standing, "Taken back. Choose again when you have watched both."];
    });
  }

  async function settle(event, done) {
    let next;
    try {
      next = done(await deliver(event));
    } catch (error) {
      if (error.status !== 409) {
        busy = false;
        fail(error);
        return;
      }
      // Judged in another window: go on from there.
      try {
        next = [await ask("/standing"), sentence(error.message)];
      } catch (lost) {
        busy = false;
        fail(lost);
        return;
      }
    }
    busy = false;
    advance(...next);
  }

  // ---- buttons and keys

  for (const button of choices) button.addEventListener("click", () => choose(button.dataset.choice));
  $("begin").addEventListener("click", () => advance(standing));
  $("again").addEventListener("click", start);
  $("play").addEventListener("click", () => player.toggle());
  $("replay").addEventListener("click", () => player.replay());
  $("undo").addEventListener("click", undo);
  $("undo-done").addEventListener("click", undo);
  $("help").addEventListener("click", () => { player.pause(); $("helper").showModal(); });
  $("close").addEventListener("click", () => $("helper").close());
  $("helper").addEventListener("click", (event) => { if (event.target === $("helper")) $("helper").close(); });
  $("comment").addEventListener("input", () =>
    memory.set("draft", { trial: standing.current.id, text: $("comment").value }));
  $("keys").checked = memory.get("keys") !== false;
  $("keys").addEventListener("change", () => memory.set("keys", $("keys").checked));
  document.addEventListener("visibilitychange", () => { if (document.hidden) player.pause(); });

  const keys = {
    arrowleft: () => choose("left"),
    arrowright: () => choose("right"),
    arrowdown: () => choose("tie"),
    t: () => choose("tie"),
    " ": () => player.toggle(),
    r: () => player.replay(),
    z: undo,
    c: () => { $("remark").open = true; $("comment").focus(); },
  };

  document.addEventListener("keydown", (event) => {
    const writing = event.target === $("comment");
    if (writing && event.key === "Escape") $("prompt").focus({ preventScroll: true });
    const key = event.key.toLowerCase();
    const onTrial = !$("trial").hidden;
    if (writing || !$("keys").checked || $("helper").open || !keys[key]) return;
    if (event.altKey || event.metaKey || event.ctrlKey || event.shiftKey) return;
    if (!onTrial && !(key === "z" && !$("done").hidden)) return;
    if (key === " " && event.target.closest("button, summary, a, input")) return;
    event.preventDefault();
    if (!event.repeat) keys[key]();
  });

  start();
})();
