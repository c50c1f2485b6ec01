// Word lab: the control points of a spline over a bent word, and what the spline reads there.
//
// Python puts the pure functions, the key guard and the parts of warp_playground.js before this text.
// Conventions are the same: output -> input, x first, [-1, 1] at pixel edges, points row by row.

// ---------------------------------------------------------------- pure functions

/** How far from their true places a spline reads, in pixels of [h, w], on average. */
export function meanMiss(offsets, shape, checked, places, [h, w]) {
  const read = applyTps(offsets, shape, lattice(checked), `checked ${checked}`);
  let sum = 0;
  for (let k = 0; k < read.length; k += 2) sum += Math.hypot(((read[k] - places[k]) * w) / 2, ((read[k + 1] - places[k + 1]) * h) / 2);
  return (2 * sum) / read.length;
}

/** The offsets when control point k is read at (x, y), no further out than `limit` (x, y). */
export function withPoint(offsets, shape, k, [x, y], limit) {
  const c = controlPoints(shape), to = [x, y].map((v, i) => Math.min(Math.max(v, -limit[i]), limit[i]));
  return offsets.map((v, i) => (i >> 1 === k ? tidy(to[i & 1] - c[i]) : v));
}

// ---------------------------------------------------------------- the figure

const LAB_KEYS = ["offsets", "picture", "pictures", "names", "size", "shape", "truths", "checked", "places"];
const ALONG = 24; // pieces of each drawn line

/** Builds the lab in `el`; `given` holds the values named in LAB_KEYS, `onChange` hears of changes. */
export function mount(el, given, onChange = () => {}) {
  const state = { picture: 0, ...given };
  const [h, w] = state.size, [rows, columns] = state.shape, points = controlPoints(state.shape), K = rows * columns;
  const my = Math.ceil(h / 8), mx = Math.ceil(w / 24), [H, W] = [h + 2 * my, w + 2 * mx];
  const limit = [W / w, H / h], centres = lattice([h, w]), view = lattice([H, W]).map((v, k) => v * limit[k & 1]);
  const t = Array.from({ length: ALONG + 1 }, (_, i) => (2 * i) / ALONG - 1);
  const line = (at) => t.flatMap(at);
  const top = line((v) => [v, -1]), around = [top, line((v) => [1, v]), line((v) => [-v, 1]), line((v) => [-1, -v])];
  const lines = [line((v) => [v, 0]), ...[-0.5, 0, 0.5].map((x) => line((v) => [x, v]))];

  const label = (text) => ({ role: "img", "aria-label": text });
  const input = node("canvas", { width: W, height: H, ...label("the scene, with the spline's control points over it") });
  const output = node("canvas", { class: "wp-output", width: w, height: h, ...label(`what the spline reads, ${h} by ${w} pixels`) });
  const svg = (tag, attributes) => {
    const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    return e;
  };
  const paths = ["halo", "lines", "box", "top"].map((c) => svg("path", { class: `wp-${c}` }));
  const overlay = svg("svg", { viewBox: `0 0 ${W} ${H}`, "aria-hidden": "true" });
  overlay.append(svg("path", { class: "wp-edge", d: `M${mx} ${my}h${w}v${h}h${-w}z` }), ...paths);
  const well = node("div", { class: "wp-well", style: `aspect-ratio:${W}/${H}` }, input, overlay);
  const result = node("div", { class: "wp-well wp-result", style: `aspect-ratio:${w}/${h}` }, output);
  const figure = (content, text) => node("figure", {}, content, node("figcaption", {}, text));
  const off = node("p", { class: "wl-off", "aria-live": "polite" });
  const hint = node("p", { class: "wp-hint" }, "Drag a point, or focus it and use the arrow keys (Shift: small steps, Home: back). Put the corners of the frame on the corners of the label and the middle points on the middles of its upper and lower edge.");
  const move = (offsets) => { state.offsets = offsets; draw(); onChange({ offsets }); };
  const button = (text, act) => {
    const b = node("button", { type: "button", class: "wp-reset" }, text);
    b.addEventListener("click", act);
    return b;
  };
  const whole = () => new Array(2 * K).fill(0);
  const bar = node("div", { class: "wp-bar", role: "group", "aria-label": "Where the points are" },
    button("Whole picture", () => move(whole())),
    button("Where the label is", () => move([...state.truths[state.picture]])),
    button("Other word", () => {
      state.picture = (state.picture + 1) % state.pictures.length;
      onChange({ picture: state.picture });
      move(whole());
    }));
  el.style.minWidth = "min(320px, 100%)"; // beside another widget it would be given no room
  const root = node("div", { class: "warp-playground word-lab" }, bar,
    node("div", { class: "wp-stage", style: `--wp-in:${W}fr;--wp-out:${w}fr` },
      figure(well, "The scene, and where the spline reads"), figure(result, "What it reads"),
      node("div", { class: "wp-side" }, off, hint)));
  guardKeys(root);
  el.replaceChildren(root);

  const place = (k) => [0, 1].map((i) => points[2 * k + i] + state.offsets[2 * k + i]);
  const handles = Array.from({ length: K }, (_, k) => {
    const b = node("button", { type: "button", class: "wp-handle" });
    const moveTo = (to) => move(withPoint(state.offsets, state.shape, k, to.map((v) => Math.round(v * 100) / 100), limit));
    let grab = null;
    const at = (e, r) => [(e.clientX / r.width) * 2 * limit[0], (e.clientY / r.height) * 2 * limit[1]];
    b.addEventListener("pointerdown", (e) => {
      if (e.button || e.ctrlKey) return; // that opens a menu
      const r = well.getBoundingClientRect(), [x, y] = at(e, r), [px, py] = place(k);
      grab = { id: e.pointerId, r, dx: px - x, dy: py - y };
      b.setPointerCapture(e.pointerId);
      b.focus({ preventScroll: true });
      e.preventDefault();
    });
    b.addEventListener("pointermove", (e) => {
      if (grab?.id !== e.pointerId) return;
      const [x, y] = at(e, grab.r);
      moveTo([grab.dx + x, grab.dy + y]);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) b.addEventListener(end, () => { grab = null; });
    b.addEventListener("keydown", (e) => {
      const step = e.shiftKey ? 0.01 : 0.05, [x, y] = place(k);
      const d = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[e.key];
      if (!d && e.key !== "Home") return;
      e.preventDefault();
      moveTo(d ? [x + d[0], y + d[1]] : [points[2 * k], points[2 * k + 1]]);
    });
    well.append(b);
    return b;
  });

  let shown = null, image, outside;
  function draw() {
    if (shown !== state.pictures[state.picture]) {
      shown = state.pictures[state.picture];
      image = fromBase64(shown);
      outside = { fill: borderMedian(image, [h, w]) };
      paint(input, bilinearSample(image, [h, w], view, outside), [H, W]);
    }
    paint(output, bilinearSample(image, [h, w], applyTps(state.offsets, state.shape, centres, `grid ${h} ${w}`), outside), [h, w]);
    const drawn = (way) => {
      const p = applyTps(state.offsets, state.shape, way);
      const pieces = Array.from({ length: p.length / 2 }, (_, i) => `${(((p[2 * i] + 1) * w) / 2 + mx).toFixed(2)} ${(((p[2 * i + 1] + 1) * h) / 2 + my).toFixed(2)}`);
      return `M${pieces.join("L")}`;
    };
    const edge = around.map(drawn).join("");
    [edge, lines.map(drawn).join(""), edge, drawn(top)].forEach((d, i) => paths[i].setAttribute("d", d));
    handles.forEach((b, k) => {
      const [x, y] = place(k);
      b.hidden = Math.abs(x) > limit[0] + 1e-9 || Math.abs(y) > limit[1] + 1e-9; // out of sight
      b.style.left = `${50 + (50 * x) / limit[0]}%`;
      b.style.top = `${50 + (50 * y) / limit[1]}%`;
      b.setAttribute("aria-label", `control point row ${1 + Math.floor(k / columns)}, column ${1 + (k % columns)}, x ${show(x)}, y ${show(y)}`);
    });
    const miss = meanMiss(state.offsets, state.shape, state.checked, state.places[state.picture], [h, w]);
    off.textContent = `${state.names[state.picture]}: off by ${show(miss, 1)} pixels on average`;
  }
  draw();

  return { state, update: taking(state, draw), destroy: () => root.remove() };
}

const ADDRESS = keyed({
  picture: (text, { names }) => readOne(text, [...names.keys()]),
  offsets: (text, { shape }) => readNumbers(text, 2 * shape[0] * shape[1], 10),
});

/** The widget's view. */
const render = (page) => follow(page, LAB_KEYS, [], mount, ADDRESS);

export default { render };
