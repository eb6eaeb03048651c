"use strict";
// The gallery: a list of clips of which only those in view are in the document, their films in step, and marks.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { clips, motions, classes } = data;
  const find = (id) => document.getElementById(id);
  const list = find("clips"), detail = find("detail"), help = find("help");
  const GAP = 14, LEAST = 380, WORDS = 108, SPARE = 500; // pixels: between cards, a card's width, below its film, around the view

  // ---- marks: kept by the browser until they are saved; names of other pages' lists are kept as they are
  const store = `synthaug-gallery-${data.id}`;
  const marks = { motion: new Set(data.excluded.motions), clip: new Set(data.excluded.clips) };
  let saved = true;
  try {
    const kept = JSON.parse(localStorage.getItem(store));
    if (kept) {
      marks.motion = new Set(kept.motion);
      marks.clip = new Set(kept.clip);
      saved = kept.saved;
    }
  } catch { /* a browser that keeps nothing still marks and saves */ }

  function remember() {
    try {
      localStorage.setItem(store, JSON.stringify({ motion: [...marks.motion], clip: [...marks.clip], saved }));
    } catch { /* as above */ }
  }

  const isMarked = (clip) => marks.clip.has(clip.id) || marks.motion.has(motions[clip.motion].key);

  function toggle(kind, name) {
    if (!marks[kind].delete(name)) marks[kind].add(name);
    saved = false;
    remember();
    refresh();
  }

  function writeList() {
    const of = new Map(motions.map((motion) => [motion.key, classes[motion.class]]));
    const by = new Map(clips.map((clip) => [clip.id, classes[clip.class]]));
    const line = (kind, name, label) => JSON.stringify(label === undefined ? { [kind]: name } : { [kind]: name, class: label });
    const lines = [...marks.motion].sort().map((name) => line("motion", name, of.get(name)));
    lines.push(...[...marks.clip].sort().map((name) => line("clip", name, by.get(name))));
    return lines.map((one) => `${one}\n`).join("");
  }

  function save() {
    const link = make("a", { href: URL.createObjectURL(new Blob([writeList()], { type: "application/x-ndjson" })), download: "exclude.jsonl" });
    link.click();
    URL.revokeObjectURL(link.href);
    saved = true;
    remember();
    refresh();
  }

  async function load(file) {
    const names = [];
    try {
      for (const line of (await file.text()).replace(/^\uFEFF/, "").split("\n").filter((one) => one.trim())) {
        const entry = JSON.parse(line);
        const kind = typeof entry.motion === "string" ? "motion" : "clip";
        if (typeof entry[kind] !== "string") throw new Error(line);
        names.push([kind, entry[kind]]);
      }
    } catch {
      count.textContent = `${file.name} is not a list that this page saved: every line must be {"motion": …} or {"clip": …}.`;
      return;
    }
    for (const [kind, name] of names) marks[kind].add(name);
    remember();
    refresh();
  }

  // ---- making elements: text is only ever set as text
  function make(tag, properties = {}, ...children) {
    const { data: attributes = {}, ...rest } = properties;
    const element = Object.assign(document.createElement(tag), rest);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  // ---- choosing
  const graded = (clip) => motions[clip.motion].quality;
  const GRADES = [
    ["any", () => true],
    ["below 0.5", (grade) => grade !== null && grade < 0.5],
    ["0.5 to 0.7", (grade) => grade !== null && grade >= 0.5 && grade < 0.7],
    ["0.7 to 0.85", (grade) => grade !== null && grade >= 0.7 && grade < 0.85],
    ["0.85 and more", (grade) => grade !== null && grade >= 0.85],
    ["known motion", (grade) => grade === null],
  ];
  const MARKED = [["any", () => true], ["bad", isMarked], ["not bad", (clip) => !isMarked(clip)]];
  const byKey = (one, other) => (motions[one.motion].key < motions[other.motion].key ? -1 : motions[one.motion].key > motions[other.motion].key ? 1 : 0);
  const ORDERS = [
    ["lowest grade first", (one, other) => (graded(one) ?? 2) - (graded(other) ?? 2) || one.motion - other.motion],
    ["by class", (one, other) => one.class - other.class || (graded(one) ?? 2) - (graded(other) ?? 2) || one.motion - other.motion],
    ["by motion", byKey],
  ];
  const FACETS = {
    class: (clip) => [classes[clip.class]],
    person: (clip) => [motions[clip.motion].person],
    who: (clip) => clip.who,
    place: (clip) => [clip.place],
  };
  for (const clip of clips) {
    const motion = motions[clip.motion];
    const words = [classes[clip.class], motion.key, motion.person, motion.camera, clip.place, clip.id, clip.partner, ...clip.who];
    clip.words = words.join(" ").normalize("NFC").toLowerCase();
  }
  for (const [name, values] of Object.entries(FACETS)) {
    const counts = new Map();
    for (const clip of clips) for (const value of values(clip)) counts.set(value, (counts.get(value) ?? 0) + 1);
    const names = [...counts.keys()].sort((one, other) => one.localeCompare(other, undefined, { numeric: true }));
    find(name).append(make("option", { value: "" }, "any"));
    // The value is a number: the empty text is a person's name where nobody is named.
    names.forEach((value, place) => find(name).append(make("option", { value: `${place + 1}` }, `${value || "not named"} (${counts.get(value)})`)));
    find(name).names = names;
  }
  for (const [id, choices] of [["grade", GRADES], ["marked", MARKED], ["order", ORDERS]]) {
    choices.forEach(([name], place) => find(id).append(make("option", { value: `${place}` }, name)));
  }

  let shown = [], active = 0;

  function choose() {
    const words = find("search").value.normalize("NFC").toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = Object.entries(FACETS).filter(([name]) => find(name).value).map(([name, values]) => [find(name).names[find(name).value - 1], values]);
    const [, fits] = GRADES[find("grade").value], [, kept] = MARKED[find("marked").value], [, order] = ORDERS[find("order").value];
    const before = shown[active];
    shown = clips.filter((clip) => words.every((word) => clip.words.includes(word)) && wanted.every(([name, values]) => values(clip).includes(name)) && fits(graded(clip)) && kept(clip)).sort(order);
    active = Math.max(0, shown.indexOf(before));
    for (const card of cards.values()) drop(card);
    cards.clear();
    layOut();
    refresh();
  }

  // ---- the list: cards of one size at places that are computed, those in view and the active one in the document
  const cards = new Map(), videos = new Set();
  let columns = 1, width = LEAST, height = 1;

  function layOut() {
    const room = list.clientWidth;
    columns = Math.max(1, Math.floor((room + GAP) / (LEAST + GAP)));
    width = Math.min((room - GAP * (columns - 1)) / columns, 640);
    height = Math.ceil(width / 3) + WORDS;
    list.style.height = shown.length ? `${Math.ceil(shown.length / columns) * (height + GAP)}px` : "";
    list.querySelector(".none")?.remove();
    if (!shown.length) list.append(make("p", { className: "none" }, "No clip is like that. Press “Show all”."));
    for (const [place, card] of cards) put(card, place);
    fill();
  }

  function put(card, place) {
    const row = Math.floor(place / columns), column = place % columns;
    card.style.width = `${width}px`;
    card.style.height = `${height}px`;
    card.style.transform = `translate(${column * (width + GAP)}px, ${row * (height + GAP)}px)`;
  }

  function fill() {
    const top = -list.getBoundingClientRect().top, step = height + GAP;
    const first = Math.max(0, Math.floor((top - SPARE) / step)) * columns;
    const last = Math.min(shown.length, Math.ceil((top + innerHeight + SPARE) / step) * columns);
    for (const [place, card] of cards) {
      if ((place < first || place >= last) && place !== active) {
        drop(card);
        cards.delete(place);
      }
    }
    for (let place = first; place < last; place++) if (!cards.has(place)) add(place);
    if (shown.length && !cards.has(active)) add(active);
  }

  function add(place) {
    const card = makeCard(shown[place], place);
    put(card, place);
    // In the order of the list, as a screen reader reads it.
    const after = [...cards.keys()].filter((other) => other > place).sort((one, other) => one - other)[0];
    list.insertBefore(card, cards.get(after) ?? null);
    cards.set(place, card);
    mark(card, shown[place]);
  }

  function drop(card) {
    const video = card.querySelector("video");
    videos.delete(video);
    video.removeAttribute("src"); // or the browser goes on loading it
    video.load();
    card.remove();
  }

  const gradeOf = (motion) => (motion.quality === null ? "known" : motion.quality.toFixed(2));

  function describe(clip) {
    const motion = motions[clip.motion];
    return `${classes[clip.class]}, filmed ${motion.person || "somebody"}, shown ${clip.who.join(" and ")}, ${clip.place}, grade ${gradeOf(motion)}`;
  }

  function tagsOf(clip) {
    const tags = [];
    if (motions[clip.motion].stranger) tags.push("stranger");
    if (clip.mirrored) tags.push("mirrored");
    if (clip.partner) tags.push("blended");
    return tags;
  }

  function makeVideo(clip) {
    const video = make("video", { muted: true, loop: true, playsInline: true, preload: "auto", disablePictureInPicture: true, data: { "aria-hidden": "true" } });
    video.addEventListener("loadedmetadata", () => {
      video.playbackRate = speed;
      const lead = videos.values().next().value;
      if (lead && lead !== video) video.currentTime = lead.currentTime % video.duration;
    });
    video.addEventListener("error", () => { video.title = "The film is missing or cannot be played."; });
    video.src = `${data.films}/${clip.id}.mp4`;
    if (playing) video.play().catch(() => {});
    return video;
  }

  function makeMarks(clip, tab) {
    const motion = motions[clip.motion];
    const button = (kind, name, words, key) => {
      const made = make("button", { type: "button", className: "mark", tabIndex: tab, title: `${words} (${key})`, data: { "data-kind": kind } }, words);
      made.addEventListener("click", (event) => { event.stopPropagation(); toggle(kind, name); });
      return made;
    };
    return make("div", { className: "marks" }, button("motion", motion.key, "Motion is bad", "m"), button("clip", clip.id, "Clip is bad", "x"));
  }

  function makeCard(clip, place) {
    const motion = motions[clip.motion], video = makeVideo(clip);
    videos.add(video);
    video.addEventListener("click", () => open(clip));
    const grade = make("span", { className: motion.quality !== null && motion.quality < 0.5 ? "grade low" : "grade", title: "Grade of the motion, 0 to 1" }, gradeOf(motion));
    const words = make("div", { className: "words" },
      make("div", { className: "first" }, make("b", {}, classes[clip.class]), ...tagsOf(clip).map((tag) => make("span", { className: "tag" }, tag)), grade),
      make("div", {}, `${motion.person || "somebody"} → ${clip.who.join(", ")}`, make("span", { className: "small" }, ` · ${clip.place}`)),
      make("div", { className: "small", title: motion.key }, motion.key));
    const card = make("div", { className: "clip", tabIndex: place === active ? 0 : -1, data: {
      role: "listitem", "aria-label": describe(clip), "aria-posinset": place + 1, "aria-setsize": shown.length } },
    video, make("div", { className: "bad motion" }), make("div", { className: "bad clip-mark" }), words, makeMarks(clip, place === active ? 0 : -1));
    card.clip = clip;
    card.addEventListener("focusin", () => activate(place));
    return card;
  }

  function mark(card, clip) {
    const bad = { motion: marks.motion.has(motions[clip.motion].key), clip: marks.clip.has(clip.id) };
    for (const button of card.querySelectorAll(".mark")) button.setAttribute("aria-pressed", bad[button.dataset.kind]);
    card.classList.toggle("bad-motion", bad.motion);
    card.classList.toggle("bad-clip", bad.clip);
    if (card.classList.contains("clip")) card.setAttribute("aria-label", describe(clip) + (bad.motion ? ", motion marked as bad" : "") + (bad.clip ? ", clip marked as bad" : ""));
  }

  const count = find("count");

  function refresh() {
    for (const card of cards.values()) mark(card, card.clip);
    if (detail.open) mark(detail, detail.clip);
    const plural = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
    const others = [...marks.motion].filter((name) => !known.motion.has(name)).length + [...marks.clip].filter((name) => !known.clip.has(name)).length;
    const total = data.of > clips.length ? ` (the run has ${data.of})` : "";
    const parts = [`${shown.length} of ${plural(clips.length, "clip")}${total}`, `${plural(marks.motion.size, "motion")} and ${plural(marks.clip.size, "clip")} marked as bad`];
    if (others) parts.push(`${others} of them are not on this page`);
    if (!saved) parts.push("not saved");
    count.textContent = parts.join(" · ");
    find("save").disabled = !(marks.motion.size + marks.clip.size) && saved;
  }
  const known = { motion: new Set(motions.map((motion) => motion.key)), clip: new Set(clips.map((clip) => clip.id)) };

  // ---- going from clip to clip
  function activate(place) {
    if (place === active) return;
    const tab = (at, value) => cards.get(at)?.querySelectorAll(".mark").forEach((one) => { one.tabIndex = value; });
    if (cards.has(active)) cards.get(active).tabIndex = -1;
    tab(active, -1);
    active = place;
    cards.get(active).tabIndex = 0;
    tab(active, 0);
  }

  function go(place) {
    if (!shown.length) return;
    const to = Math.min(Math.max(place, 0), shown.length - 1);
    if (!cards.has(to)) add(to);
    activate(to);
    const card = cards.get(to), bar = find("bar").getBoundingClientRect();
    card.focus({ preventScroll: true });
    const covered = Math.max(0, bar.top <= 1 ? bar.bottom : 0), box = card.getBoundingClientRect();
    if (box.top < covered + 8) scrollBy({ top: box.top - covered - 12, behavior: "instant" });
    else if (box.bottom > innerHeight - 8) scrollBy({ top: box.bottom - innerHeight + 12, behavior: "instant" });
    fill();
  }

  // ---- playing: all films in step with the first one
  let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches, speed = 1;
  const films = () => [...videos, ...(detail.open ? detail.querySelectorAll("video") : [])];

  function setPlaying(value) {
    playing = value;
    for (const video of films()) {
      if (playing) video.play().catch(() => {});
      else video.pause();
    }
    if (!playing) keepStep(0.001);
    find("play").textContent = playing ? "Pause" : "Play";
    find("play").setAttribute("aria-pressed", playing);
  }

  function keepStep(tolerance = 0.12) {
    const [lead, ...rest] = films();
    for (const video of rest) {
      if (!(lead.duration > 0 && video.duration > 0)) continue;
      const off = Math.abs(video.currentTime - (lead.currentTime % video.duration));
      if (Math.min(off, video.duration - off) > tolerance) video.currentTime = lead.currentTime % video.duration;
    }
  }
  setInterval(() => { if (playing && !document.hidden) keepStep(); }, 1000);

  function stepFrame(direction) {
    if (playing) setPlaying(false);
    const lead = films()[0], fps = (detail.open ? detail.clip : shown[active]).fps;
    if (!(lead?.duration > 0)) return;
    const frames = Math.round(lead.duration * fps), now = Math.floor(lead.currentTime * fps + 1e-3);
    lead.currentTime = ((now + direction + frames) % frames + 0.5) / fps; // the middle of a frame: its edges are rounded
    keepStep(0.001);
  }

  // ---- one clip, closely
  function open(clip) {
    const motion = motions[clip.motion], video = makeVideo(clip);
    const row = (name, ...value) => [make("dt", {}, name), make("dd", {}, ...value)];
    const bar = (value) => [make("meter", { min: 0, max: 1, low: 0.5, high: 0.7, optimum: 1, value }), ` ${value.toFixed(2)}`];
    const parts = Object.entries(motion.parts).sort(([, one], [, other]) => one - other);
    const rows = [
      ...row("class", classes[clip.class] + (motion.class === clip.class ? "" : `, mirror image of ${classes[motion.class]}`)),
      ...row("motion", motion.key + (motion.stranger ? ", a stranger's: no film shows it" : "")),
      ...row("filmed", (motion.person || "not named") + (motion.camera ? `, camera ${motion.camera}` : "")),
      ...row("grade", ...(motion.quality === null ? ["none: the motion is known"] : bar(motion.quality))),
      ...parts.flatMap(([name, value]) => row(`· ${name}`, ...bar(value))),
      ...row("shown", clip.who.join(", ")), ...row("place", clip.place),
      ...row("instants", `from ${clip.start.toFixed(2)} s of ${motion.seconds.toFixed(2)} s, ${clip.frames} frames, ${clip.fps} a second`),
      ...(clip.partner ? row("blended with", `${clip.partner}, ${Math.round(100 * clip.share)} %`) : []),
      ...row("clip", clip.id, " · ", make("a", { href: `${data.films}/${clip.id}.json`, target: "_blank", rel: "noopener" }, "recipe"), " · ",
        make("a", { href: `${data.films}/${clip.id}.mp4`, target: "_blank", rel: "noopener" }, "film")),
    ];
    const close = make("button", { type: "button" }, "Close (Esc)");
    close.addEventListener("click", () => detail.close());
    const buttons = makeMarks(clip, 0);
    buttons.append(close);
    detail.replaceChildren(make("h2", { id: "detail-title" }, describe(clip)), video,
      make("div", { className: "columns" }, make("span", {}, "film"), make("span", {}, "motion found in it"), make("span", {}, "re-enacted")),
      make("dl", {}, ...rows), buttons);
    detail.clip = clip;
    detail.showModal();
    mark(detail, clip);
  }
  detail.addEventListener("close", () => {
    detail.replaceChildren();
    cards.get(active)?.focus({ preventScroll: true });
  });

  // ---- what the person does
  let waiting = 0;
  find("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(choose, 80); // after the last letter of a word typed fast
  });
  for (const name of [...Object.keys(FACETS), "grade", "marked", "order"]) find(name).addEventListener("change", choose);
  find("bar").addEventListener("submit", (event) => { event.preventDefault(); choose(); go(active); });
  find("clear").addEventListener("click", () => {
    for (const name of Object.keys(FACETS)) find(name).value = "";
    find("grade").value = find("marked").value = "0";
    find("search").value = "";
    choose();
  });
  find("play").addEventListener("click", () => setPlaying(!playing));
  find("speed").addEventListener("change", () => {
    speed = Number(find("speed").value);
    for (const video of films()) video.playbackRate = speed;
  });
  find("save").addEventListener("click", save);
  find("keys").addEventListener("click", () => help.showModal());
  find("load").addEventListener("change", async (event) => {
    for (const file of event.target.files) await load(file);
    event.target.value = "";
  });

  const MOVES = { ArrowLeft: () => active - 1, ArrowRight: () => active + 1, ArrowUp: () => active - columns, ArrowDown: () => active + columns, Home: () => 0, End: () => shown.length - 1 };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const at = event.target, typing = at.matches("input, select, textarea");
    if (at.id === "search" && (event.key === "Escape" || event.key === "ArrowDown")) {
      event.preventDefault();
      go(active);
      return;
    }
    if (typing) return;
    const clip = detail.open ? detail.clip : shown[active];
    const pressing = at.matches("button, a") && (event.key === " " || event.key === "Enter"); // these press what has the focus
    const moves = !detail.open && MOVES[event.key];
    if (pressing) return;
    if (moves) go(moves());
    else if (event.key === " ") setPlaying(!playing);
    else if (event.key === "," || event.key === ".") stepFrame(event.key === "." ? 1 : -1);
    else if (event.key === "x" && clip) toggle("clip", clip.id);
    else if (event.key === "m" && clip) toggle("motion", motions[clip.motion].key);
    else if (event.key === "s") save();
    else if (event.key === "/" && !detail.open) find("search").focus();
    else if (event.key === "?") help.showModal();
    else if (event.key === "Enter" && !detail.open && at.classList.contains("clip")) open(clip);
    else return;
    event.preventDefault();
  });
  addEventListener("scroll", fill, { passive: true });
  new ResizeObserver(() => { if (list.clientWidth !== layOut.room) { layOut.room = list.clientWidth; layOut(); } }).observe(list);

  find("play").textContent = playing ? "Pause" : "Play";
  find("play").setAttribute("aria-pressed", playing);
  choose();
})();
