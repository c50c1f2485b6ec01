// Corner lab: four corners, the homography that they make, and how near it is to breaking.
//
// Python puts the pure functions, the key guard and the parts of warp_playground.js before this text, so that
// the figure computes with what is tested there.  Conventions are the same: output -> input, x first,
// [-1, 1] at pixel edges, corners clockwise from the top left.

// ---------------------------------------------------------------- pure functions

/** w at the four corners of the output; w is linear, so its smallest value is among them. */
export const wAtCorners = (H) => [0, 2, 4, 6].map((k) => H[6] * CORNERS[k] + H[7] * CORNERS[k + 1] + H[8]);

/** Largest over smallest singular value of a 3 x 3 matrix: Jacobi rotations of its columns. */
export function conditionNumber(H) {
  const columns = [0, 1, 2].map((j) => [H[j], H[3 + j], H[6 + j]]);
  const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
  for (let sweep = 0; sweep < 12; sweep++)
    for (const [p, q] of [[0, 1], [0, 2], [1, 2]]) {
      const [a, b] = [columns[p], columns[q]], off = dot(a, b);
      if (Math.abs(off) <= 1e-15 * Math.sqrt(dot(a, a) * dot(b, b))) continue;
      const tau = (dot(b, b) - dot(a, a)) / (2 * off);
      const t = (tau < 0 ? -1 : 1) / (Math.abs(tau) + Math.hypot(1, tau)), c = 1 / Math.hypot(1, t), s = c * t;
      columns[p] = a.map((v, i) => c * v - s * b[i]);
      columns[q] = a.map((v, i) => s * v + c * b[i]);
    }
  const lengths = columns.map((v) => Math.sqrt(dot(v, v)));
  return Math.max(...lengths) / Math.min(...lengths);
}

/** What the lab says of four corners. */
export function measures(corners) {
  const H = homographyFromCorners(corners), w = wAtCorners(H), least = Math.min(...w);
  return { H, condition: conditionNumber(H), smallestW: least, at: [0, 1, 2, 3].filter((k) => w[k] - least < 1e-6), greatestW: Math.max(...w) };
}

/**
 * The corners when number k of their H moves towards `value`, as far as it may: w stays above 0,
 * the quadrangle convex, and no corner leaves `limit` (x, y).
 */
export function withNumber(corners, k, value, limit, wanted = 0.01) {
  const H = homographyFromCorners(corners), margin = marginNow(corners, wanted);
  const part = (t) => {
    const moved = H.map((v, i) => (i === k ? v + t * (value - v) : v));
    if (Math.min(...wAtCorners(moved)) <= 0) return null;
    const places = Array.from(applyHomography(moved, CORNERS));
    const inside = places.every((v, i) => Math.abs(v) <= Math.max(limit[i & 1], Math.abs(corners[i])) + 1e-9);
    return inside && isConvex(places, margin) ? places : null;
  };
  const whole = part(1);
  if (whole) return { corners: whole, stopped: false };
  let [low, high, best] = [0, 1, corners];
  for (let n = 0; n < 12; n++) {
    const middle = (low + high) / 2, found = part(middle);
    if (found) [low, best] = [middle, found]; else high = middle;
  }
  return { corners: [...best], stopped: true };
}

// ---------------------------------------------------------------- the figure

const LAB_KEYS = ["corners", "picture", "pictures", "names", "size"];
const PRESETS = {
  "Straight": CORNERS,
  "Tilted back": [-0.5, -0.8, 0.5, -0.8, 1, 0.9, -1, 0.9],
  "Tilted sideways": [-0.9, -0.5, 0.9, -1, 0.9, 1, -0.9, 0.5],
  "Affine": [-0.6, -1, 1, -0.7, 0.6, 1, -1, 0.7],
  "Nearly folded": [-1, -1, 1, -1, 0.05, 0.05, -1, 1],
};
// The eight numbers that count: name, lowest and highest that a slider goes to.
const EIGHT = ["h11", "h12", "h13", "h21", "h22", "h23", "h31", "h32"].map((name, k) => (k === 0 || k === 4 ? [name, 0.2, 1.5] : k < 6 ? [name, -0.8, 0.8] : [name, -0.9, 0.9]));
const FAR = [5, 5]; // by the sliders a corner may leave the picture, up to here
const LINES = 8, MARGIN = 0.01; // lines each way; how near a line three corners may come
/** Builds the lab in `el`; `given` holds the values named in LAB_KEYS, `onChange` hears of changes. */
export function mount(el, given, onChange = () => {}) {
  const state = { picture: 0, ...given };
  const [h, w] = state.size, my = Math.ceil(h / 4), mx = Math.ceil(w / 4), [H, W] = [h + 2 * my, w + 2 * mx];
  const limit = [W / w, H / h], centres = lattice([h, w]), view = lattice([H, W]).map((v, k) => v * limit[k & 1]);
  const ends = Array.from({ length: 4 * LINES }, (_, i) => {
    const p = [(i & 1) * 2 - 1, (2 * (i >> 2)) / (LINES - 1) - 1];
    return i & 2 ? p.reverse() : p;
  }).flat();

  const label = (text) => ({ role: "img", "aria-label": text });
  const input = node("canvas", { width: W, height: H, ...label("input, with the four corners drawn over it") });
  const output = node("canvas", { class: "wp-output", width: w, height: h, ...label(`output, ${h} by ${w} pixels`) });
  const paths = ["halo", "lines", "box", "top"].map((c) => node("path", { class: `wp-${c}` }));
  const edge = node("path", { class: "wp-edge", d: `M${mx} ${my}h${w}v${h}h${-w}z` });
  const overlay = node("svg", { viewBox: `0 0 ${W} ${H}`, "aria-hidden": "true" }, edge, ...paths);
  const well = node("div", { class: "wp-well", style: `aspect-ratio:${W}/${H}` }, input, overlay);
  const result = node("div", { class: "wp-well wp-result", style: `aspect-ratio:${w}/${h}` }, output);
  const figure = (content, text) => node("figure", {}, content, node("figcaption", {}, text));
  const matrix = node("div", { class: "wp-matrix", role: "img" });
  const id = `corner-lab-${Math.random().toString(36).slice(2)}`;
  const meter = node("meter", { min: 0, max: 1, low: 0.2, high: 0.4, optimum: 1, "aria-labelledby": id });
  const least = node("output", { class: "cl-w" }), condition = node("span", { class: "cl-condition" });
  const facts = node("dl", { class: "cl-facts" },
    node("dt", { id }, "smallest w"), node("dd", {}, least, meter),
    node("dt", {}, "condition number"), node("dd", {}, condition));
  const say = node("p", { class: "wp-say", "aria-live": "polite" });
  const hint = node("p", { class: "wp-hint" }, "Drag a corner, or focus it and use the arrow keys (Shift: small steps, Home: back). Or move one number of H.");
  const move = (corners) => { state.corners = corners; draw(); onChange({ corners }); };
  const buttons = Object.entries(PRESETS).map(([name, corners]) => {
    const b = node("button", { type: "button", class: "wp-reset" }, name);
    b.addEventListener("click", () => { say.textContent = ""; move([...corners]); });
    return b;
  });
  const sliders = EIGHT.map(([name, min, max], k) => {
    const input = node("input", { type: "range", min, max, step: 0.01, "aria-label": name }), value = node("span", { class: "wp-value" });
    input.addEventListener("input", () => {
      const { corners, stopped } = withNumber(state.corners, k, +input.value, FAR, MARGIN);
      move(corners.map(tidy));
      say.textContent = stopped ? "Stopped: beyond this a corner is read from too far away, and soon w is 0 or less there." : "";
    });
    const set = (v) => {
      [input.min, input.max] = reach(v, min, max, 0.01);
      input.value = v;
      value.textContent = show(v, 2);
      input.setAttribute("aria-valuetext", value.textContent);
    };
    return { element: node("label", { class: "wp-slider" }, node("span", {}, name), input, value), set };
  });
  const group = (text, list) => node("div", { role: "group", "aria-label": text }, node("div", { class: "wp-title" }, text), ...list.map((s) => s.element));
  const numbersSet = node("div", { class: "wp-sliders" }, group("As in an affine map", sliders.slice(0, 6)), group("The two more", sliders.slice(6)));
  const pictures = node("button", { type: "button", class: "wp-reset" }, "Other picture");
  pictures.hidden = state.names.length < 2;
  pictures.addEventListener("click", () => {
    state.picture = (state.picture + 1) % state.names.length;
    draw();
    onChange({ picture: state.picture });
  });
  el.style.minWidth = "min(320px, 100%)"; // beside another widget it would be given no room
  const root = node("div", { class: "warp-playground corner-lab" },
    node("div", { class: "wp-bar", role: "group", "aria-label": "Corners to start from" }, ...buttons, pictures),
    node("div", { class: "wp-stage", style: `--wp-in:${W}fr;--wp-out:${w}fr` },
      figure(well, "Input, and the four corners that are read"), figure(result, "Output"),
      node("div", { class: "wp-side" }, node("div", { class: "wp-numbers" }, matrix), facts, hint, say)),
    numbersSet);
  guardKeys(root);
  el.replaceChildren(root);

  function moveTo(k, x, y) {
    const to = [x, y].map((v, i) => tidy(Math.round(Math.min(Math.max(v, -limit[i]), limit[i]) * 100) / 100));
    const aim = state.corners.map((v, i) => (i >> 1 === k ? to[i & 1] : v));
    const margin = marginNow(state.corners, MARGIN);
    move(towards(state.corners, k, to, MARGIN)); // a fast pointer jumps: go as far as it may
    say.textContent = isConvex(aim, margin) ? "" : "Stopped: beyond this, w is 0 or less in the opposite corner.";
  }
  const handles = [0, 1, 2, 3].map((k) => {
    const b = node("button", { type: "button", class: "wp-handle" });
    let grab = null;
    const at = (e, r) => [(e.clientX / r.width) * 2 * limit[0], (e.clientY / r.height) * 2 * limit[1]];
    b.addEventListener("pointerdown", (e) => {
      if (e.button || e.ctrlKey) return; // that opens a menu
      const r = well.getBoundingClientRect(), [x, y] = at(e, r);
      grab = { id: e.pointerId, r, dx: state.corners[2 * k] - x, dy: state.corners[2 * k + 1] - y };
      b.setPointerCapture(e.pointerId);
      b.focus({ preventScroll: true });
      e.preventDefault();
    });
    b.addEventListener("pointermove", (e) => {
      if (grab?.id !== e.pointerId) return;
      const [x, y] = at(e, grab.r);
      moveTo(k, grab.dx + x, grab.dy + y);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) b.addEventListener(end, () => { grab = null; });
    b.addEventListener("keydown", (e) => {
      const step = e.shiftKey ? 0.01 : 0.05, [x, y] = state.corners.slice(2 * k, 2 * k + 2);
      const d = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[e.key];
      if (!d && e.key !== "Home") return;
      e.preventDefault();
      moveTo(k, ...(d ? [x + d[0], y + d[1]] : CORNERS.slice(2 * k, 2 * k + 2)));
    });
    well.append(b);
    return b;
  });

  let shown = null, image, outside;
  function draw() {
    if (shown !== state.pictures[state.picture]) {
      shown = state.pictures[state.picture];
      image = Uint8Array.from(atob(shown), (c) => c.charCodeAt(0));
      outside = { fill: borderMedian(image, [h, w]) };
      paint(input, bilinearSample(image, [h, w], view, outside), [H, W]);
    }
    const found = measures(state.corners);
    paint(output, bilinearSample(image, [h, w], applyHomography(found.H, centres), outside), [h, w]);
    const p = applyHomography(found.H, ends); // straight lines stay straight: their ends will do
    const place = (k) => `${(((p[2 * k] + 1) * w) / 2 + mx).toFixed(2)} ${(((p[2 * k + 1] + 1) * h) / 2 + my).toFixed(2)}`;
    const all = Array.from({ length: 2 * LINES }, (_, i) => `M${place(2 * i)}L${place(2 * i + 1)}`), last = all.length - 2;
    const box = [1, last, last + 1].map((i) => all[i]).join("");
    [all[0] + box, all.slice(2, last).join(""), box, all[0]].forEach((d, i) => paths[i].setAttribute("d", d));
    handles.forEach((b, k) => {
      const [x, y] = state.corners.slice(2 * k, 2 * k + 2);
      b.hidden = Math.abs(x) > limit[0] || Math.abs(y) > limit[1]; // out of sight
      b.style.left = `${50 + (50 * x) / limit[0]}%`;
      b.style.top = `${50 + (50 * y) / limit[1]}%`;
      b.setAttribute("aria-label", `${CORNER_NAMES[k]} corner, x ${show(x, 2)}, y ${show(y, 2)}`);
    });
    const cells = found.H.map((v) => show(v, 3));
    const grid = node("span", { class: "wp-cells", style: "grid-template-columns:repeat(3,auto)" });
    grid.append(...cells.map((c) => node("span", {}, c)));
    sliders.forEach((s, k) => s.set(found.H[k]));
    matrix.replaceChildren(node("span", {}, "H ="), grid);
    matrix.setAttribute("aria-label", `H = ${[0, 3, 6].map((k) => cells.slice(k, k + 3).join(" ")).join("; ")}`);
    const flat = found.greatestW - found.smallestW < 1e-6; // no corner is smaller than another
    least.textContent = flat ? "1.00 everywhere" : `${show(found.smallestW, 2)}, ${found.at.map((k) => CORNER_NAMES[k]).join(" and ")}`;
    meter.value = found.smallestW;
    meter.textContent = show(found.smallestW, 2);
    condition.textContent = show(found.condition, 1);
  }
  draw();

  return { state, update: taking(state, draw), destroy: () => root.remove() };
}

const convex = (corners) => { if (!isConvex(corners, 1e-6)) throw new RangeError("convex corners wanted"); return corners; };
const ADDRESS = keyed({ corners: (text) => convex(readNumbers(text, 8)), picture: (text, { names }) => readOne(text, [...names.keys()]) });

/** The widget's view. */
const render = (page) => follow(page, LAB_KEYS, [], mount, ADDRESS);

export default { render };
