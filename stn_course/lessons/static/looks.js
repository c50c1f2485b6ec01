// Where a transformer looks, and what it gets: step by step.
//
// Python puts the pure functions, the key guard and the parts of a figure of warp_playground.js
// before this text.  Of N pictures and T steps: thetas[n][t] are six numbers of an affine map, or nine
// of a homography, output -> input.
// What is read is drawn from them, or comes as pictures of its own (`crops`).

// ---------------------------------------------------------------- looks

/** Where theta's output lies in a picture of size [h, w], in pixels: its edge, and its top edge. */
export function outline(theta, [h, w]) {
  const p = (theta.length === 9 ? applyHomography : applyAffine)(theta, CORNERS);
  const at = (k) => `${(((p[2 * k] + 1) * w) / 2).toFixed(2)} ${(((p[2 * k + 1] + 1) * h) / 2).toFixed(2)}`;
  return { edge: `M${at(0)}L${at(1)}L${at(2)}L${at(3)}z`, top: `M${at(0)}L${at(1)}` };
}

/** The next step, and after the last the first. */
export const after = (step, steps) => (step + 1) % steps;

const DIGIT = 28; // pixels of a side

/**
 * A row of `digits` (which of the pool, x, y: flat) with `scraps` on it (which, its corner there x, y,
 * and where it goes x, y), as `put_together` makes it: a later scrap covers an earlier one, digits are
 * added. In whole 255ths, of size [h, w].
 */
export function putTogether(pool, digits, scraps, side, [h, w]) {
  const below = new Uint8Array(h * w), above = new Uint8Array(h * w);
  const paste = (onto, from, left, top, x, y, n) => {
    for (let i = 0; i < n; i++) onto.set(from.subarray((top + i) * DIGIT + left, (top + i) * DIGIT + left + n), (y + i) * w + x);
  };
  for (let k = 0; k < scraps.length; k += 5) paste(below, pool[scraps[k]], scraps[k + 1], scraps[k + 2], scraps[k + 3], scraps[k + 4], side);
  for (let k = 0; k < digits.length; k += 3) paste(above, pool[digits[k]], 0, 0, digits[k + 1], digits[k + 2], DIGIT);
  return above.map((v, k) => Math.min(v + below[k], 255));
}

const LOOK_KEYS = ["step", "picture", "clutter", "scattering"];
const LOOK_GIVEN = ["scene", "pictures", "size", "thetas", "crops", "crop", "steps", "word", "pens", "beliefs", "labels", "captions", "margin"];
const PASS = 4000, SLOWEST = 1200; // milliseconds that playing takes; and at most so many a step

/** Nested lists of the numbers that Python packed; what is a list already (an older notebook's) stays. */
export function unpacked(stored) {
  if (Array.isArray(stored)) return stored;
  const flat = Array.from(new Float32Array(fromBase64(stored.data).buffer));
  const inRuns = (list, n) => Array.from({ length: list.length / n }, (_, k) => list.slice(n * k, n * k + n));
  return stored.shape.slice(1).reduceRight(inRuns, flat);
}

/** How many pictures there are, and which of what is stored is shown of the picture `k`. */
function shelves(state) {
  const { digits, scraps, levels } = state.scene ?? {}; // notebooks of before have none
  if (!digits) return { count: state.pictures.length, ways: 1, at: (k) => k, picture: (k) => fromBase64(state.pictures[k]) };
  const ways = scraps.length / digits.length, [pool, rows, scattered] = [state.scene.pool, digits, scraps].map((texts) => texts.map(fromBase64));
  const at = (k) => (k * ways + state.scattering) * levels.length + Math.max(0, levels.indexOf(state.clutter));
  const picture = (k) => putTogether(pool, rows[k], scattered[k * ways + state.scattering].subarray(0, 5 * state.clutter), state.scene.side, state.size);
  return { count: digits.length, ways, at, picture };
}

/** Ten bars, the largest marked: what is believed of a digit. */
function tenBars() {
  const bars = Array.from({ length: 10 }, (_, k) => node("i", { "data-digit": k }));
  const element = node("div", { class: "lk-bars", role: "img" }, ...bars);
  function set(p) {
    const best = p.indexOf(Math.max(...p));
    bars.forEach((b, k) => { b.style.setProperty("--p", p[k].toFixed(3)); b.classList.toggle("lk-best", k === best); });
    element.setAttribute("aria-label", `the reader says ${best}, ${Math.round(100 * p[best])} percent`);
    return best;
  }
  return { element, set };
}

/** One picture with its boxes, and what is read of it. */
function lookCard(state, index, alone, shelf) {
  const [h, w] = state.size, m = state.margin, [H, W] = state.crop;
  const seen = node("canvas", { width: w, height: h, role: "img" }), got = node("canvas", { width: W, height: H, role: "img", class: "lk-got" });
  const paths = state.steps.map(() => node("path", { class: "wp-box" })), top = node("path", { class: "wp-top" }), halo = node("path", { class: "wp-halo" });
  const all = node("svg", { viewBox: `${-m} ${-m} ${w + 2 * m} ${h + 2 * m}`, "aria-hidden": "true" }, halo, ...paths, top);
  const well = node("div", { class: "wp-well lk-seen", style: `aspect-ratio:${w + 2 * m}/${h + 2 * m}` }, seen, all);
  const result = node("div", { class: "wp-well lk-result", style: `aspect-ratio:${W}/${H}` }, got);
  Object.assign(seen.style, { position: "absolute", left: `${(100 * m) / (w + 2 * m)}%`, top: `${(100 * m) / (h + 2 * m)}%`,
    width: `${(100 * w) / (w + 2 * m)}%`, height: `${(100 * h) / (h + 2 * m)}%` });
  const element = node("div", { class: "lk-card" }, well, result);
  if (state.captions.length) element.append(node("div", { class: "lk-caption" }, state.captions[index]));
  let image;
  /** Draws picture `k` at the step of `state`; of pens there is one a step, and what came before stays. */
  function draw(k) {
    image = shelf.picture(k);
    paint(seen, image, [h, w]);
    const thetas = state.thetas[shelf.at(k)], t = Math.min(state.step, thetas.length - 1), theta = thetas[t], now = outline(theta, [h, w]);
    const crop = state.crops.length ? fromBase64(state.crops[shelf.at(k)][t]) : bilinearSample(image, [h, w], (theta.length === 9 ? homographyGrid : affineGrid)(theta, [H, W]));
    paint(got, crop, [H, W]);
    halo.setAttribute("d", now.edge);
    top.setAttribute("d", state.pens.length ? "" : now.top);
    paths.forEach((path, s) => {
      const shown = s === t || (state.pens.length && s < t && s < thetas.length);
      path.setAttribute("d", shown ? outline(thetas[s], [h, w]).edge : "");
      if (!state.pens.length) return;
      path.style.stroke = state.pens[s][0];
      const width = s === t ? 3.5 : 1.5;
      path.style.strokeWidth = width;
      path.style.strokeDasharray = state.pens[s][1].split(" ").map((v) => v * width).join(" "); // in widths of the line
    });
    if (state.pens.length) result.style.outlineColor = state.pens[t][0];
    seen.setAttribute("aria-label", `picture ${k + 1}, with what is read at ${state.word} ${state.steps[t]}`);
    got.setAttribute("aria-label", `what is read of picture ${k + 1}`);
  }
  return { element, draw: () => draw(alone ? state.picture : index) };
}

/** Builds the figure in `el`; `given` holds the values named in LOOK_KEYS and LOOK_GIVEN, `onChange` hears of changes. */
export function mount(el, given, onChange = () => {}) {
  const state = { ...given, thetas: unpacked(given.thetas), beliefs: unpacked(given.beliefs) }, alone = state.picture >= 0, last = state.steps.length - 1, shelf = shelves(state), levels = state.scene?.levels ?? [];
  let timer = 0;
  const change = (patch) => { Object.assign(state, patch); draw(); onChange(patch); };
  const input = (label, max, onInput) => stepper(label, max, (v) => { stop(); onInput(v); });
  const step = input(state.word, last, (v) => change({ step: v })), row = input("row", shelf.count - 1, (v) => change({ picture: v }));
  const clutter = input("scraps", levels.length - 1, (v) => change({ clutter: levels[v] }));
  const play = node("button", { type: "button", class: "wp-reset lk-play" }, "Play");
  const anew = node("button", { type: "button", class: "wp-reset lk-anew" });
  anew.addEventListener("click", () => { stop(); change({ scattering: after(state.scattering, shelf.ways) }); });
  const cards = Array.from({ length: alone ? 1 : shelf.count }, (_, k) => lookCard(state, k, alone, shelf));
  const bars = state.beliefs.length ? tenBars() : null, say = node("p", { class: "wp-say", "aria-live": "polite" }), whole = node("p", { class: "lk-whole", "aria-live": "polite" });
  const stage = node("div", { class: `lk-stage${alone ? " lk-alone" : ""}` }, ...cards.map((c) => c.element));
  if (bars) stage.append(node("div", { class: "lk-side" }, bars.element, say, whole));
  const sliders = [...(alone ? [row] : []), step, ...(levels.length ? [clutter] : [])].map((s) => s.element);
  const root = node("div", { class: "warp-playground" }, node("div", { class: "wp-sliders" }, ...sliders),
    node("div", { class: "wp-bar" }, play, ...(shelf.ways > 1 ? [anew] : [])), stage);

  /** What the page says of the step and of the whole row: the digits that are read, and whether they are the true ones. */
  function tell() {
    const beliefs = state.beliefs[shelf.at(state.picture)], truths = state.labels[state.picture], truth = truths[state.step];
    const p = beliefs[state.step], best = bars.set(p), said = beliefs.map((q) => q.indexOf(Math.max(...q)));
    say.textContent = `Digit ${state.step + 1}: it says ${best} (${Math.round(100 * p[best])} %), and it is a ${truth} ${best === truth ? "✓" : "✗"}`;
    whole.textContent = `The row: it says ${said.join(" ")}, and it is ${truths.join(" ")} ${said.join() === truths.join() ? "✓" : "✗"}`;
  }
  function draw() {
    cards.forEach((c) => c.draw());
    step.set(state.step, String(state.steps[state.step]));
    if (alone) row.set(state.picture, `${state.picture + 1} of ${shelf.count}`);
    anew.textContent = `Scatter anew (${(state.scattering ?? 0) + 1} of ${shelf.ways})`;
    if (levels.length) clutter.set(levels.indexOf(state.clutter), String(state.clutter));
    if (bars) tell();
  }
  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  }
  play.addEventListener("click", () => {
    if (timer) return stop();
    play.textContent = "Stop";
    change({ step: state.step === last ? 0 : after(state.step, last + 1) });
    timer = setInterval(() => {
      if (state.step === last) return stop();
      change({ step: after(state.step, last + 1) });
    }, Math.min(PASS / (last + 1), SLOWEST));
  });
  guardKeys(root);
  el.style.minWidth = "min(320px, 100%)";
  el.replaceChildren(root);
  draw();

  return { state, update: taking(state, draw), destroy: () => { stop(); root.remove(); } };
}

const places = (list) => [...list.keys()];
const ADDRESS = keyed({
  step: (text, { steps }) => readOne(text, places(steps)),
  picture: (text, state) => readOne(text, state.picture < 0 ? [] : places(Array(shelves(state).count))),
  clutter: (text, { scene }) => readOne(text, scene?.levels ?? []),
  scattering: (text, state) => readOne(text, places(Array(shelves(state).ways))),
});

/** The widget's view. */
const render = (page) => follow(page, LOOK_KEYS, LOOK_GIVEN, mount, ADDRESS);

export default { render };
