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

const LOOK_KEYS = ["step", "picture"];
const LOOK_GIVEN = ["pictures", "size", "thetas", "crops", "crop", "steps", "word", "pens", "beliefs", "labels", "captions", "margin"];
const PASS = 4000, SLOWEST = 1200; // milliseconds that playing takes; and at most so many a step

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
function lookCard(state, index, alone) {
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
    image = fromBase64(state.pictures[k]);
    paint(seen, image, [h, w]);
    const t = Math.min(state.step, state.thetas[k].length - 1), theta = state.thetas[k][t], now = outline(theta, [h, w]);
    const crop = state.crops.length ? fromBase64(state.crops[k][t]) : bilinearSample(image, [h, w], (theta.length === 9 ? homographyGrid : affineGrid)(theta, [H, W]));
    paint(got, crop, [H, W]);
    halo.setAttribute("d", now.edge);
    top.setAttribute("d", state.pens.length ? "" : now.top);
    paths.forEach((path, s) => {
      const shown = s === t || (state.pens.length && s < t && s < state.thetas[k].length);
      path.setAttribute("d", shown ? outline(state.thetas[k][s], [h, w]).edge : "");
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
  const state = { ...given }, alone = state.picture >= 0, last = state.steps.length - 1;
  let timer = 0;
  const change = (patch) => { Object.assign(state, patch); draw(); onChange(patch); };
  const input = (label, max, onInput) => {
    const range = node("input", { type: "range", min: 0, max, step: 1, "aria-label": label }), value = node("span", { class: "wp-value" });
    range.addEventListener("input", () => { stop(); onInput(+range.value); });
    const set = (v, text) => { range.value = v; value.textContent = text; range.setAttribute("aria-valuetext", text); };
    return { element: node("label", { class: "wp-slider" }, node("span", {}, label), range, value), set };
  };
  const step = input(state.word, last, (v) => change({ step: v })), row = input("row", state.pictures.length - 1, (v) => change({ picture: v }));
  const play = node("button", { type: "button", class: "wp-reset lk-play" }, "Play");
  const cards = alone ? [lookCard(state, 0, true)] : state.pictures.map((_, k) => lookCard(state, k, false));
  const bars = state.beliefs.length ? tenBars() : null, say = node("p", { class: "wp-say", "aria-live": "polite" });
  const stage = node("div", { class: `lk-stage${alone ? " lk-alone" : ""}` }, ...cards.map((c) => c.element));
  if (bars) stage.append(node("div", { class: "lk-side" }, bars.element, say));
  const root = node("div", { class: "warp-playground" }, node("div", { class: "wp-sliders" }, ...(alone ? [row.element] : []), step.element), node("div", { class: "wp-bar" }, play), stage);

  /** What the page says of the step: the digit that is read, and whether it is the true one. */
  function told() {
    const p = state.beliefs[state.picture][state.step], truth = state.labels[state.picture][state.step], best = bars.set(p);
    return `Digit ${state.step + 1}: it says ${best} (${Math.round(100 * p[best])} %), and it is a ${truth} ${best === truth ? "✓" : "✗"}`;
  }
  function draw() {
    cards.forEach((c) => c.draw());
    step.set(state.step, String(state.steps[state.step]));
    if (alone) row.set(state.picture, `${state.picture + 1} of ${state.pictures.length}`);
    if (bars) say.textContent = told();
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

  /** Takes values from outside. */
  function update(patch) {
    const changed = news(patch, state);
    if (!changed) return;
    Object.assign(state, changed);
    draw();
  }
  return { state, update, destroy: () => { stop(); root.remove(); } };
}

/** The widget's view. */
const render = ({ model, el }) => follow(model, LOOK_KEYS, LOOK_GIVEN, (values, save) => mount(el, values, save));

export default { render };
