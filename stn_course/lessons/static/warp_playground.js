// Warp playground: a picture, a transform and what comes out, drawn in the page.
//
// First the pure functions (no page needed; `node --test` runs them), then `mount`, which
// builds the figure inside an element, then `render`, which ties it to a widget model.
// Conventions: a transform maps output -> input, x first, [-1, 1] at pixel edges; points are
// flat arrays x0, y0, x1, y1, ...; images are flat, row by row.

// ---------------------------------------------------------------- pure functions

/** Coordinates of n pixel centres in [-1, 1], or from edge to edge with alignCorners. */
export function axis(n, alignCorners = false) {
  const at = alignCorners ? (i) => (n > 1 ? (2 * i) / (n - 1) - 1 : 0) : (i) => (2 * i + 1) / n - 1;
  return Float64Array.from({ length: n }, (_, i) => at(i));
}

/** The points x, y of a [rows, cols] lattice, row by row. */
export function lattice([rows, cols], alignCorners = false) {
  const xs = axis(cols, alignCorners), ys = axis(rows, alignCorners);
  const points = new Float64Array(2 * rows * cols);
  for (let i = 0, k = 0; i < rows; i++)
    for (let j = 0; j < cols; j++) { points[k++] = xs[j]; points[k++] = ys[i]; }
  return points;
}

function numbers(name, values, length) {
  if (values?.length !== length) throw new TypeError(`${name}: ${length} numbers wanted, ${values?.length} came`);
  for (const v of values) if (!Number.isFinite(v)) throw new RangeError(`${name}: ${v} is not a finite number`);
  return values;
}

/** theta: six numbers, row by row. */
export function applyAffine(theta, points) {
  const [a, b, c, d, e, f] = numbers("theta", theta, 6);
  const out = new Float64Array(points.length);
  for (let k = 0; k < out.length; k += 2) {
    const x = points[k], y = points[k + 1];
    out[k] = a * x + b * y + c;
    out[k + 1] = d * x + e * y + f;
  }
  return out;
}

/** H: nine numbers, row by row. */
export function applyHomography(H, points) {
  const [a, b, c, d, e, f, g, h, i] = numbers("homography", H, 9);
  const out = new Float64Array(points.length);
  for (let k = 0; k < out.length; k += 2) {
    const x = points[k], y = points[k + 1], w = g * x + h * y + i;
    out[k] = (a * x + b * y + c) / w;
    out[k + 1] = (d * x + e * y + f) / w;
  }
  return out;
}

/** Solves A X = B in place by elimination with row pivoting; A is n x n, B is n x m. */
export function solve(A, B) {
  const n = A.length;
  for (let k = 0; k < n; k++) {
    let p = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(A[i][k]) > Math.abs(A[p][k])) p = i;
    if (Math.abs(A[p][k]) < 1e-12) throw new RangeError("solve: the matrix is singular");
    [A[k], A[p]] = [A[p], A[k]];
    [B[k], B[p]] = [B[p], B[k]];
    for (let i = 0; i < n; i++) {
      if (i === k) continue;
      const f = A[i][k] / A[k][k];
      if (f === 0) continue;
      for (let j = k; j < n; j++) A[i][j] -= f * A[k][j];
      for (let j = 0; j < B[i].length; j++) B[i][j] -= f * B[k][j];
    }
  }
  return B.map((row, k) => Array.from(row, (v) => v / A[k][k]));
}

export const CORNERS = [-1, -1, 1, -1, 1, 1, -1, 1]; // clockwise from the top left
const CORNER_NAMES = ["top left", "top right", "bottom right", "bottom left"];

/** How far four corners, clockwise from the top left, turn to the right: the least of them. */
export function leastTurn(corners) {
  const p = (i) => [corners[2 * (i % 4)], corners[2 * (i % 4) + 1]];
  return Math.min(...[0, 1, 2, 3].map((i) => {
    const [a, b, c] = [p(i), p(i + 1), p(i + 2)];
    return (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0]);
  }));
}

/** True when four corners, clockwise from the top left, make a convex quadrilateral. */
export const isConvex = (corners, margin = 0.02) => leastTurn(corners) > margin;

/** `margin`, or less where `corners` keep less already: they must not be stuck for that. */
export const marginNow = (corners, margin) => Math.min(margin, leastTurn(corners) - 1e-9);

/** `corners` with corner k moved towards `to`, in hundredths, as far as they stay convex. */
export function towards(corners, k, to, wanted = 0.02) {
  const margin = marginNow(corners, wanted);
  const part = (t) => corners.map((v, i) => (i >> 1 === k ? Math.round(100 * (v + t * (to[i & 1] - v))) / 100 || 0 : v));
  if (isConvex(part(1), margin)) return part(1);
  let [low, high] = [0, 1];
  for (let n = 0; n < 12; n++) {
    const middle = (low + high) / 2;
    if (isConvex(part(middle), margin)) low = middle; else high = middle;
  }
  return low ? part(low) : [...corners];
}

/** The H (nine numbers, the last 1) that takes the corners of the output to `corners`. */
export function homographyFromCorners(corners) {
  numbers("corners", corners, 8);
  if (!isConvex(corners, 1e-9)) throw new RangeError("corners: they must make a convex quadrilateral");
  const A = [], B = [];
  for (let k = 0; k < 8; k += 2) {
    const [x, y, u, v] = [CORNERS[k], CORNERS[k + 1], corners[k], corners[k + 1]];
    A.push([x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]);
    B.push([u], [v]);
  }
  return [...solve(A, B).flat(), 1];
}

/** Control points of a thin-plate spline: a [rows, cols] lattice from edge to edge. */
export const controlPoints = (shape) => lattice(shape, true);

const tpsCache = new Map();

/** [n, K] matrix of a thin-plate spline: how much each control point's offset moves each point. */
export function tpsMatrix(shape, points, key = null) {
  const name = key && `${shape} ${key}`;
  if (name && tpsCache.has(name)) return tpsCache.get(name);
  const c = controlPoints(shape), K = c.length / 2, N = K + 3;
  const row = (x, y) => {
    const r = new Float64Array(N);
    for (let k = 0; k < K; k++) {
      const d = (x - c[2 * k]) ** 2 + (y - c[2 * k + 1]) ** 2;
      r[k] = d > 0 ? d * Math.log(d) : 0;
    }
    r[K] = 1; r[K + 1] = x; r[K + 2] = y;
    return r;
  };
  const L = Array.from({ length: K }, (_, k) => row(c[2 * k], c[2 * k + 1]));
  for (let e = 0; e < 3; e++) L.push(Float64Array.from({ length: N }, (_, k) => (k < K ? L[k][K + e] : 0)));
  const weights = solve(L, Array.from({ length: N }, (_, i) => Float64Array.from({ length: K }, (_, k) => +(i === k))));
  const M = new Float64Array((points.length / 2) * K);
  for (let n = 0; n < points.length / 2; n++) {
    const r = row(points[2 * n], points[2 * n + 1]);
    for (let k = 0; k < K; k++) for (let i = 0; i < N; i++) M[n * K + k] += r[i] * weights[i][k];
  }
  if (name) tpsCache.set(name, M);
  return M;
}

/** offsets: dx, dy of each control point, row by row. */
export function applyTps(offsets, shape, points, key = null) {
  const K = shape[0] * shape[1], M = tpsMatrix(shape, points, key), out = Float64Array.from(points);
  numbers("offsets", offsets, 2 * K);
  for (let n = 0; n < out.length / 2; n++)
    for (let k = 0; k < K; k++) {
      out[2 * n] += M[n * K + k] * offsets[2 * k];
      out[2 * n + 1] += M[n * K + k] * offsets[2 * k + 1];
    }
  return out;
}

/** Grids: where each pixel of an output of size [h, w] is read, as x, y pairs. */
export const affineGrid = (theta, size, alignCorners = false) => applyAffine(theta, lattice(size, alignCorners));
export const homographyGrid = (H, size, alignCorners = false) => applyHomography(H, lattice(size, alignCorners));
export const tpsGrid = (offsets, shape, size, alignCorners = false) =>
  applyTps(offsets, shape, lattice(size, alignCorners), `grid ${size} ${alignCorners}`);

/** Median of the outermost pixels: what a picture of size [h, w] shows beyond its edge. */
export function borderMedian(image, [h, w]) {
  const ring = [];
  for (let i = 0; i < h; i++)
    for (let j = 0; j < w; j++) if (i === 0 || j === 0 || i === h - 1 || j === w - 1) ring.push(image[i * w + j]);
  ring.sort((a, b) => a - b);
  return ring[(ring.length - 1) >> 1]; // the lower of the two middle ones, as torch.median
}

/** Bilinear samples of one channel of size [h, w] at the points of a grid. */
export function bilinearSample(image, [h, w], grid, { padding = "background", fill, alignCorners = false } = {}) {
  if (!["background", "zeros", "border"].includes(padding))
    throw new RangeError(`padding: "background", "zeros" or "border" wanted, ${JSON.stringify(padding)} came`);
  if (image.length !== h * w) throw new TypeError(`image: ${h * w} numbers wanted, ${image.length} came`);
  const outside = padding === "background" ? fill ?? borderMedian(image, [h, w]) : 0;
  const clamp = (i, n) => Math.min(Math.max(i, 0), n - 1);
  const tap = padding === "border"
    ? (i, j) => image[clamp(i, h) * w + clamp(j, w)]
    : (i, j) => (i >= 0 && j >= 0 && i < h && j < w ? image[i * w + j] : outside);
  const pixel = alignCorners ? (c, n) => ((c + 1) * (n - 1)) / 2 : (c, n) => ((c + 1) * n - 1) / 2;
  const out = new Float64Array(grid.length / 2);
  for (let k = 0; k < out.length; k++) {
    const u = pixel(grid[2 * k], w), v = pixel(grid[2 * k + 1], h);
    const j = Math.floor(u), i = Math.floor(v), a = u - j, b = v - i;
    out[k] = (1 - b) * ((1 - a) * tap(i, j) + a * tap(i, j + 1)) + b * ((1 - a) * tap(i + 1, j) + a * tap(i + 1, j + 1));
  }
  return out;
}

/** The inverse of an affine map of six numbers. */
export function invertAffine([a, b, c, d, e, f]) {
  const det = a * e - b * d;
  if (Math.abs(det) < 1e-12) throw new RangeError("theta: its 2 x 2 part has no inverse");
  return [e / det, -b / det, (b * f - e * c) / det, -d / det, a / det, (d * c - a * f) / det];
}

/**
 * Theta from what the picture does: shift after rotation after shear after scale.
 * rotate, shear: degrees, counter-clockwise and to the right below the centre; scale above 1
 * enlarges; shifts go right and down, in units where the picture is 2 wide. `aspect` is how much
 * more it grows along y than along x, negative when mirrored. Theta is the inverse of the motion.
 * `size` (height, width): pixels turn and shear, of pictures that are not square too.
 */
export function thetaFromParts({ rotate, scale, shear, shiftX, shiftY, aspect = 1 }, [h, w] = [1, 1]) {
  const r = (rotate * Math.PI) / 180, k = Math.tan((shear * Math.PI) / 180), [c, s] = [Math.cos(r), Math.sin(r)];
  const q = Math.sqrt(Math.abs(aspect)), sx = scale / q, sy = scale * q * Math.sign(aspect);
  const ratio = h / w; // 1 changes no bit of what follows
  return invertAffine([c * sx, (c * k + s) * sy * ratio, shiftX, (-s * sx) / ratio, (c - s * k) * sy, shiftY]);
}

/** The inverse of thetaFromParts; null where theta's 2 x 2 part has no inverse. */
export function partsFromTheta(theta, [h, w] = [1, 1]) {
  if (Math.abs(theta[0] * theta[4] - theta[1] * theta[3]) < 1e-9) return null;
  const [a, across, shiftX, down, e, shiftY] = invertAffine(theta), b = across / (h / w), d = down * (h / w);
  const det = a * e - b * d, sx = Math.hypot(a, d), sy = det / sx;
  const shear = (Math.atan((a * b + d * e) / det) * 180) / Math.PI, rotate = (Math.atan2(-d, a) * 180) / Math.PI;
  return { rotate, scale: Math.sqrt(Math.abs(det)), shear, shiftX, shiftY, aspect: sy / sx };
}

/** Where the handles of theta's box lie on the output: its centre, the middles of its right and lower side, its upper right corner. */
export const BOX = [0, 0, 1, 0, 0, 1, 1, -1];

/**
 * Theta when handle k of its box goes to [x, y]. The centre is theta's third column; from there the
 * right side is its first column and the lower side its second. The corner turns and scales the box,
 * in pixels of a picture of `size` (height, width).
 */
export function thetaByHandle(theta, k, [x, y], [h, w] = [1, 1]) {
  const [a, b, c, d, e, f] = numbers("theta", theta, 6), [u, v] = [x - c, y - f], r = h / w;
  if (k === 0) return [a, b, x, d, e, y];
  if (k === 1) return [u, b, c, v, e, f];
  if (k === 2) return [a, u, c, d, v, f];
  const [p, q] = [a - b, (d - e) * r], n = p * p + q * q; // the corner now, in pixels from the centre
  if (n < 1e-12) throw new RangeError("theta: its corner lies on its centre");
  const cos = (p * u + q * v * r) / n, sin = (p * v * r - q * u) / n; // what turns it to the new one
  return [a * cos - d * r * sin, b * cos - e * r * sin, c, (a / r) * sin + d * cos, (b / r) * sin + e * cos, f];
}

/** The four pixels between which x, y is read in a picture of size [h, w], and their weights, row by row. */
export function neighbours([x, y], [h, w]) {
  const u = ((x + 1) * w - 1) / 2, v = ((y + 1) * h - 1) / 2, j = Math.floor(u), i = Math.floor(v), a = u - j, b = v - i;
  return { u, v, row: i, column: j, weights: [(1 - b) * (1 - a), (1 - b) * a, b * (1 - a), b * a] };
}

/** How far a slider goes: from `min` to `max`, further where a value set elsewhere lies beyond. */
export function reach(value, min, max, step) {
  const round = (v) => Number((v * step).toFixed(6));
  return [Math.min(min, round(Math.floor(value / step + 1e-9))), Math.max(max, round(Math.ceil(value / step - 1e-9)))];
}

// ---------------------------------------------------------------- the notebook's keys

/**
 * Keeps the notebook's own keys (dd deletes a cell, b makes one) off the controls in `root`, or
 * of those the ones `within` a selector; returns what takes it back.
 *
 * JupyterLab asks the focused element for the mark before it looks for its keys there, and never
 * gets to a mark further up. Others listen where keys bubble to.
 */
export function guardKeys(root, within = "*") {
  const mark = (e) => { if (e.target.closest?.(within)) e.target.setAttribute("data-lm-suppress-shortcuts", "true"); };
  const stop = (e) => {
    const plain = e.key.length === 1 && !e.ctrlKey && !e.metaKey && !e.altKey;
    if ((plain || e.key.startsWith("Arrow")) && e.target.closest?.(within)) e.stopPropagation();
  };
  root.addEventListener("focusin", mark);
  root.addEventListener("keydown", stop);
  return () => { root.removeEventListener("focusin", mark); root.removeEventListener("keydown", stop); };
}

// ---------------------------------------------------------------- parts of a figure

const tidy = (v) => Math.round(v * 1e6) / 1e6 || 0; // no 0.30000000000000004, no -0
const show = (v, digits = 2) => tidy(v.toFixed(digits)).toFixed(digits).replace("-", "−");
const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

function node(tag, attributes = {}, ...children) {
  const e = ["svg", "path", "polygon"].includes(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  const { style = "", ...rest } = attributes;
  e.style.cssText = style; // as an attribute a strict policy of the page forbids it
  for (const [k, v] of Object.entries(rest)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

/** Words, and attributes, that stand already are left alone: put anew they would be laid out anew. */
function setText(element, text) {
  if (element.textContent === text) return;
  if (element.firstChild?.nodeType === 3) element.firstChild.data = text; else element.textContent = text;
}

function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

function slider(label, min, max, step, unit, onInput) {
  const input = node("input", { type: "range", min, max, step, "aria-label": label });
  const value = node("span", { class: "wp-value" });
  input.addEventListener("input", () => onInput(+input.value));
  const set = (v) => {
    const text = show(v, step < 1 ? 2 : 0) + unit;
    reach(v, min, max, step).forEach((end, k) => setAttribute(input, k ? "max" : "min", String(end)));
    if (input.value !== String(v)) input.value = v;
    setText(value, text);
    setAttribute(input, "aria-valuetext", text);
  };
  return { element: node("label", { class: "wp-slider" }, node("span", {}, label), input, value), set };
}

/** A slider over what is listed, from 0 to `last`: `set` gets the place and what to say of it. */
function stepper(label, last, onInput) {
  const input = node("input", { type: "range", min: 0, max: last, step: 1, "aria-label": label }), value = node("span", { class: "wp-value" });
  input.addEventListener("input", () => onInput(+input.value));
  const set = (v, text) => { input.value = v; setText(value, text); setAttribute(input, "aria-valuetext", text); };
  return { element: node("label", { class: "wp-slider" }, node("span", {}, label), input, value), set };
}

function choice(legend, options, onPick) {
  // Not a count: in JupyterLab each widget has this module anew, and one document has them all.
  const name = `wp-${Math.random().toString(36).slice(2)}`, radios = {};
  const parts = Object.entries(options).map(([key, text]) => {
    radios[key] = node("input", { type: "radio", name, value: key });
    radios[key].addEventListener("change", () => onPick(key));
    return node("label", {}, radios[key], node("span", {}, text));
  });
  const element = node("fieldset", { class: "wp-choice" }, node("legend", {}, legend), node("div", {}, ...parts));
  return { element, set: (key) => { if (radios[key]) radios[key].checked = true; } };
}

function matrix(name, values, columns, digits = 3) {
  const cells = Array.from(values, (v) => show(v, digits));
  const rows = cells.map((c, i) => (i && i % columns === 0 ? "; " : " ") + c).join("").trim();
  const grid = node("span", { class: "wp-cells", style: `grid-template-columns:repeat(${columns},auto)` });
  grid.append(...cells.map((c) => node("span", {}, c)));
  return node("div", { class: "wp-matrix", role: "img", "aria-label": `${name} = ${rows}` }, node("span", {}, `${name} =`), grid);
}

function paint(canvas, values, [h, w]) {
  const data = new ImageData(w, h);
  for (let k = 0; k < values.length; k++) {
    data.data[4 * k] = data.data[4 * k + 1] = data.data[4 * k + 2] = values[k]; // clamped and rounded
    data.data[4 * k + 3] = 255;
  }
  canvas.getContext("2d").putImageData(data, 0, 0);
}

// ---------------------------------------------------------------- a view and its model
/** What of `patch` is not so in `state` yet. */
function news(patch, state) {
  const found = Object.entries(patch).filter(([k, v]) => JSON.stringify(v) !== JSON.stringify(state[k]));
  return found.length ? Object.fromEntries(found) : null;
}

/** What takes values from outside into `state`; what is already so is not drawn again. */
const taking = (state, draw) => (patch) => {
  const changed = news(patch, state);
  if (!changed) return;
  Object.assign(state, changed);
  draw();
};

/** `n` numbers of an address, none beyond `most`. Throws RangeError for other text. */
export function readNumbers(text, n, most = 100) {
  const found = text.split(",").map((t) => (t.trim() ? Number(t) : NaN));
  if (found.length !== n || !found.every((v) => Math.abs(v) <= most)) throw new RangeError(`${n} numbers wanted`);
  return found;
}

/** The one of `list` that an address names. Throws RangeError for other text. */
export function readOne(text, list) {
  const found = list.find((v) => String(v) === text);
  if (found === undefined) throw new RangeError(`one of ${list.join(", ")} wanted`);
  return found;
}

/**
 * How the values named in `kinds` stand in an address: `key=value`, where they are not as the figure
 * opened. Each kind reads a text, given all values, and throws for what its figure cannot show.
 */
export const keyed = (kinds) => ({
  keys: Object.keys(kinds),
  read(said, values) {
    const found = {}, refused = [];
    for (const key of Object.keys(kinds).filter((k) => said.has(k)))
      try { found[key] = kinds[key](said.get(key), values); } catch { refused.push(key); }
    return { found, refused };
  },
  write: (values, opening) => Object.keys(news(Object.fromEntries(Object.keys(kinds).map((k) => [k, values[k]])), opening) ?? {})
    .map((k) => `${k}=${[values[k]].flat().map((v) => (typeof v === "number" ? Number(v.toFixed(4)) : v)).join(",")}`).join("&"),
});

const BAD_ADDRESS = "The address asks for what this figure cannot show, and that is left out: ";

/**
 * Keeps what a figure shows in the address of its page, where it is number `place`, and hears of
 * others. `now()` gives its values, `show(values, refused)` takes values; `refused` are names of ours,
 * nothing that the address says. Returns `hear`, which is true for an address of this figure, `note`,
 * after a change, and `end`.
 */
function share(place, address, opening, now, show) {
  let timer = 0;
  const hear = () => {
    const said = new URLSearchParams(location.hash.slice(1));
    if (Number(said.get("figure") ?? 1) !== place) return false;
    const { found, refused } = address.read(said), any = Object.keys(found).length + refused.length > 0;
    if (any) show({ ...opening, ...found }, refused);
    return any; // what the page's own headings are called is none of ours
  };
  const write = () => {
    const values = now(), same = address.keys.every((k) => !news({ [k]: values[k] }, opening));
    const text = same ? "" : `#${place > 1 ? `figure=${place}&` : ""}${address.write(values, opening)}`;
    try { history.replaceState(history.state, "", text || location.pathname + location.search); } catch { /* a page that has no address */ }
  };
  addEventListener("hashchange", hear);
  const note = () => { clearTimeout(timer); timer = setTimeout(write, 250); }; // browsers refuse addresses that change too often
  return { hear, note, end: () => { clearTimeout(timer); removeEventListener("hashchange", hear); } };
}

/** Below a figure: a button that takes it back to how it opened, if it has none of its own, and a word on the address. */
function foot(own, onBack) {
  const back = node("button", { type: "button", class: "wp-reset" }, "As it opened"), word = node("span", { role: "status" });
  back.addEventListener("click", onBack);
  const set = (moved, refused) => {
    back.style.visibility = moved ? "" : "hidden";
    word.textContent = refused.length ? `${BAD_ADDRESS}${refused.join(", ")}.` : "";
  };
  return { element: node("div", { class: "wp-foot" }, ...(own ? [word] : [back, word])), set };
}

/**
 * The view that `mount(el, values, save)` makes, kept equal to `model` in `keys`; returns what ends it.
 * `given`: more of the model, which does not change. The model may be a live one or one kept alive in
 * a static page; there it has its `place` among the figures, and stands in the address as `address`
 * says (see `keyed`). `own`: the figure has a button of its own that takes it back.
 */
function follow({ model, el }, keys, given, mount, address, own = false) {
  const read = (names) => Object.fromEntries(names.map((k) => [k, model.get(k)])), opening = read(keys);
  const set = (patch) => { for (const [k, v] of Object.entries(patch)) model.set(k, v); };
  const below = foot(own, () => { set(opening); model.save_changes(); changed(); });
  const word = (refused = []) => below.set(news(read(address.keys), opening), refused);
  const told = { ...address, read: (said) => address.read(said, read([...keys, ...given])) };
  const shared = model.place ? share(model.place, told, opening, () => read(keys), (values, refused) => { set(values); word(refused); }) : null;
  const changed = () => { shared?.note(); word(); };
  word();
  const view = mount(el, read([...keys, ...given]), (patch) => { set(patch); model.save_changes(); changed(); });
  const listeners = keys.map((k) => [`change:${k}`, () => { view.update({ [k]: model.get(k) }); }]);
  for (const [name, f] of listeners) model.on(name, f);
  el.firstElementChild.append(below.element);
  if (shared?.hear()) requestAnimationFrame(() => el.scrollIntoView({ block: "center" }));
  return () => { for (const [name, f] of listeners) model.off(name, f); shared?.end(); view.destroy(); };
}

// ---------------------------------------------------------------- the figure

const MODES = { affine: "affine", homography: "homography", tps: "thin-plate spline" };
const PADDINGS = { background: "background", zeros: "zeros", border: "border" };
const THETA = ["θ₁₁", "θ₁₂", "θ₁₃", "θ₂₁", "θ₂₂", "θ₂₃"];
const PARTS = [ // key, label, min, max, step, unit
  ["rotate", "rotate", -180, 180, 1, "°"], ["scale", "scale", 0.4, 2.5, 0.01, ""], ["shear", "shear", -45, 45, 1, "°"],
  ["shiftX", "shift x", -1, 1, 0.01, ""], ["shiftY", "shift y", -1, 1, 0.01, ""],
];
const KEYS = ["mode", "padding", "picture", "pictures", "names", "size", "theta", "corners", "shape", "offsets"];
const BOX_NAMES = ["centre: θ's third column", "right side: θ's first column", "lower side: θ's second column", "corner: turn and scale"];
const BOX_LOOKS = ["wp-ring", "wp-square", "wp-square", ""], FLAT = 0.01; // least area that a box may have, of the picture's
const LINES = 8, STEPS = 16; // the drawn grid: lines each way, pieces a line

const identity = (shape) => ({ theta: [1, 0, 0, 0, 1, 0], corners: [...CORNERS], offsets: new Array(2 * shape[0] * shape[1]).fill(0) });
/** Builds the figure in `el`. `given` holds the values named in KEYS; `onChange` hears of changes. */
export function mount(el, given, onChange = () => {}) {
  const state = { mode: "affine", padding: "background", shape: [4, 4], picture: 0 };
  Object.assign(state, identity(given.shape ?? state.shape), given);
  const [h, w] = state.size, my = Math.ceil(h / 4), mx = Math.ceil(w / 4), [H, W] = [h + 2 * my, w + 2 * mx];
  const limit = [W / w, H / h]; // how far the view of the input reaches
  const linePoints = [];
  for (let i = 0; i < LINES; i++) // even lines run along x, odd ones along y
    for (const along of [0, 1])
      for (let s = 0; s <= STEPS; s++) {
        const p = [(2 * s) / STEPS - 1, (2 * i) / (LINES - 1) - 1];
        linePoints.push(...(along ? p.reverse() : p));
      }

  const warp = (points, key) => {
    if (state.mode === "affine") return applyAffine(state.theta, points);
    if (state.mode === "homography") return applyHomography(homographyFromCorners(state.corners), points);
    return applyTps(state.offsets, state.shape, points, key);
  };
  const centres = lattice([h, w]);
  let parts = partsFromTheta(state.theta, state.size) ?? partsFromTheta(identity([1, 1]).theta);

  const change = (patch) => { Object.assign(state, patch); draw(); onChange(patch); };
  const setTheta = (theta) => change({ theta: theta.map(tidy) });

  // -- the parts of the page
  const input = node("canvas", { width: W, height: H, role: "img", "aria-label": "input, with the place that is read drawn over it" });
  const output = node("canvas", { class: "wp-output", width: w, height: h, role: "img", "aria-label": `output, ${h} by ${w} pixels` });
  const paths = ["halo", "lines", "box", "top"].map((c) => node("path", { class: `wp-${c}` }));
  const edge = node("path", { class: "wp-edge", d: `M${mx} ${my}h${w}v${h}h${-w}z` });
  const taps = Array.from({ length: 4 }, () => node("path", { class: "wp-tap" })), probe = node("path", { class: "wp-probe" });
  const overlay = node("svg", { viewBox: `0 0 ${W} ${H}`, "aria-hidden": "true" }, edge, ...paths, ...taps, probe);
  const well = node("div", { class: "wp-well", style: `aspect-ratio:${W}/${H}` }, input, overlay);
  const chosen = node("path", { class: "wp-probe" });
  const result = node("div", { class: "wp-well wp-result wp-choose", style: `aspect-ratio:${w}/${h}`, tabindex: 0, role: "application", "aria-roledescription": "pixel chooser",
    "aria-label": "Choose a pixel of the output: arrow keys, or touch it; Escape chooses none" }, output, node("svg", { viewBox: `0 0 ${w} ${h}`, "aria-hidden": "true" }, chosen));
  const numbersShown = node("div", { class: "wp-numbers" });
  const say = node("p", { class: "wp-say", "aria-live": "polite" });
  const hint = node("p", { class: "wp-hint" }), reads = node("p", { class: "wp-reads", "aria-live": "polite" });
  const reset = node("button", { type: "button", class: "wp-reset" }, "Reset to identity");
  reset.addEventListener("click", () => { say.textContent = ""; parts = partsFromTheta([1, 0, 0, 0, 1, 0]); change(identity(state.shape)); });
  const mode = choice("Transform", MODES, (key) => { say.textContent = ""; change({ mode: key }); });
  const picture = choice("Picture", Object.fromEntries(state.names.map((n, i) => [i, n])), (key) => change({ picture: +key }));
  const padding = choice("Outside", PADDINGS, (key) => change({ padding: key }));
  const partSliders = PARTS.map(([key, ...rest]) => slider(...rest, (v) => {
    parts = { ...parts, [key]: v };
    setTheta(thetaFromParts(parts, state.size));
    say.textContent = "";
  }));
  const thetaSliders = THETA.map((name, k) => slider(name, k % 3 === 2 ? -1 : -2, k % 3 === 2 ? 1 : 2, 0.01, "", (v) => {
    const theta = state.theta.map((t, i) => (i === k ? v : t)), own = partsFromTheta(theta, state.size);
    parts = own ?? parts;
    setTheta(theta);
    say.textContent = own ? "" : "These six numbers read a line or a point: no turn, scale and shear has them, and the upper sliders stay behind.";
  }));
  const group = (text, list) => node("div", { role: "group", "aria-label": text }, node("div", { class: "wp-title" }, text), ...list.map((s) => s.element));
  const sliders = node("div", { class: "wp-sliders" }, group("What the picture does", partSliders), group("The six numbers of θ", thetaSliders));
  const figure = (content, text) => node("figure", {}, content, node("figcaption", {}, text));
  el.style.minWidth = "min(320px, 100%)"; // beside another widget it would be given no room
  const root = node("div", { class: "warp-playground" },
    node("div", { class: "wp-bar" }, mode.element, picture.element, padding.element),
    node("div", { class: "wp-stage", style: `--wp-in:${W}fr;--wp-out:${w}fr` },
      figure(well, "Input, and where it is read"),
      figure(result, "Output: choose a pixel, and see where it is read"),
      node("div", { class: "wp-side" }, numbersShown, reads, hint, say, reset)),
    sliders);
  guardKeys(root);
  el.replaceChildren(root);

  // -- the handles: corners or control points
  let handles = [];
  const homes = () => (state.mode === "homography" ? CORNERS : state.mode === "tps" ? controlPoints(state.shape) : BOX);
  const places = () => (state.mode === "homography" ? state.corners : state.mode === "affine" ? applyAffine(state.theta, BOX)
    : Array.from(homes(), (c, k) => c + state.offsets[k]));
  const handleName = (k) => (state.mode === "homography" ? `${CORNER_NAMES[k]} corner` : state.mode === "affine" ? BOX_NAMES[k]
    : `control point, row ${1 + Math.floor(k / state.shape[1])}, column ${1 + (k % state.shape[1])}`);
  /** Where the Home key takes handle k: of a box its sides, seen from where its centre is. */
  const homeOf = (k) => Array.from(homes().slice(2 * k, 2 * k + 2), (v, i) => v + (state.mode === "affine" && k ? state.theta[3 * i + 2] : 0));
  function moveBox(k, to) {
    const theta = thetaByHandle(state.theta, k, to, state.size).map((v) => tidy(Math.round(1000 * v) / 1000));
    const own = Math.abs(theta[0] * theta[4] - theta[1] * theta[3]) < FLAT ? null : partsFromTheta(theta, state.size);
    say.textContent = own ? "" : "Stopped: the box must not become a line.";
    if (!own) return;
    parts = own;
    setTheta(theta);
  }
  function moveTo(k, x, y) {
    const to = [x, y].map((v, i) => tidy(Math.round(Math.min(Math.max(v, -limit[i]), limit[i]) * 100) / 100));
    if (state.mode === "affine") return moveBox(k, to);
    const home = homes(), aim = Array.from(places(), (v, i) => (i >> 1 === k ? to[i & 1] : v));
    if (state.mode !== "homography") return change({ offsets: aim.map((v, i) => tidy(v - home[i])) });
    const margin = marginNow(state.corners, 0.02);
    change({ corners: towards(state.corners, k, to) }); // a fast pointer jumps: go as far as it may
    say.textContent = isConvex(aim, margin) ? "" : "Stopped: the four corners must stay convex.";
  }
  function addHandle(k) {
    const b = node("button", { type: "button", class: `wp-handle ${state.mode === "affine" ? BOX_LOOKS[k] : ""}` });
    let grab = null;
    b.addEventListener("pointerdown", (e) => {
      if (e.button || e.ctrlKey) return; // that opens a menu
      const r = well.getBoundingClientRect(), [x, y] = places().slice(2 * k, 2 * k + 2);
      grab = { id: e.pointerId, dx: x - (e.clientX / r.width) * 2 * limit[0], dy: y - (e.clientY / r.height) * 2 * limit[1], r };
      b.setPointerCapture(e.pointerId);
      b.focus({ preventScroll: true });
      e.preventDefault();
    });
    b.addEventListener("pointermove", (e) => {
      if (grab?.id !== e.pointerId) return;
      moveTo(k, grab.dx + (e.clientX / grab.r.width) * 2 * limit[0], grab.dy + (e.clientY / grab.r.height) * 2 * limit[1]);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) b.addEventListener(end, () => { grab = null; });
    b.addEventListener("keydown", (e) => {
      const step = e.shiftKey ? 0.01 : 0.05, [x, y] = places().slice(2 * k, 2 * k + 2);
      const d = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[e.key];
      if (!d && e.key !== "Home") return;
      e.preventDefault();
      if (d) moveTo(k, x + d[0], y + d[1]);
      else moveTo(k, ...homeOf(k));
    });
    well.append(b);
    return b;
  }

  // -- one pixel of the output, and the four of the input between which it is read
  let pixel = null; // row, column
  const choose = (row, column) => { pixel = [Math.min(Math.max(row, 0), h - 1), Math.min(Math.max(column, 0), w - 1)]; drawPixel(); };
  const touch = (e) => { const r = result.getBoundingClientRect(); choose(Math.floor(((e.clientY - r.top) / r.height) * h), Math.floor(((e.clientX - r.left) / r.width) * w)); };
  result.addEventListener("pointerdown", (e) => { if (!e.button && !e.ctrlKey) { touch(e); result.setPointerCapture(e.pointerId); } });
  result.addEventListener("pointermove", (e) => { if (result.hasPointerCapture(e.pointerId)) touch(e); });
  result.addEventListener("keydown", (e) => {
    const d = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[e.key];
    if (!d && e.key !== "Escape") return;
    e.preventDefault();
    if (!d) { pixel = null; return drawPixel(); }
    const [row, column] = pixel ?? [h >> 1, w >> 1];
    choose(row + d[0], column + d[1]);
  });
  function drawPixel() {
    const square = (i, j) => `M${j} ${i}h1v1h-1z`;
    chosen.setAttribute("d", pixel ? square(...pixel) : "");
    probe.setAttribute("d", "");
    taps.forEach((tap) => tap.setAttribute("d", ""));
    reads.textContent = "";
    if (!pixel) return;
    const at = centres.slice(2 * (pixel[0] * w + pixel[1]), 2 * (pixel[0] * w + pixel[1]) + 2), there = warp(at, null);
    const { u, v, row, column, weights } = neighbours(there, [h, w]), value = (i, j) => bilinearSample(image, [h, w], [(2 * j + 1) / w - 1, (2 * i + 1) / h - 1], { padding: state.padding, fill })[0] / 255;
    weights.forEach((weight, k) => {
      taps[k].setAttribute("d", square(row + (k >> 1) + my, column + (k & 1) + mx));
      taps[k].style.fillOpacity = weight;
    });
    probe.setAttribute("d", `M${u + 0.5 + mx - 0.6} ${v + 0.5 + my}h1.2m-.6 -.6v1.2`);
    const terms = weights.map((weight, k) => `${show(weight)} × ${show(value(row + (k >> 1), column + (k & 1)))}`).join(" + ");
    reads.textContent = `Row ${pixel[0]}, column ${pixel[1]} is read at row ${show(v)}, column ${show(u)}: ${terms} = ${show(bilinearSample(image, [h, w], there, { padding: state.padding, fill })[0] / 255)}`;
  }

  // -- drawing
  const drawn = {};
  let image, fill;
  const once = (name, key, f) => { if (drawn[name] !== key) { drawn[name] = key; f(); } };
  function draw() {
    once("image", state.pictures[state.picture], () => {
      image = fromBase64(state.pictures[state.picture]);
      fill = borderMedian(image, [h, w]);
    });
    const look = { padding: state.padding, fill };
    once("input", `${state.picture} ${state.padding}`, () => {
      const view = lattice([H, W]).map((v, k) => v * limit[k & 1]);
      paint(input, bilinearSample(image, [h, w], view, look), [H, W]);
    });
    paint(output, bilinearSample(image, [h, w], warp(centres, `centres ${h},${w}`), look), [h, w]);

    const p = warp(linePoints, "lines"), stride = state.mode === "tps" ? 1 : STEPS; // straight lines stay straight
    const line = (i) => "M" + Array.from({ length: STEPS / stride + 1 }, (_, s) => {
      const k = 2 * (i * (STEPS + 1) + s * stride);
      return `${(((p[k] + 1) * w) / 2 + mx).toFixed(2)} ${(((p[k + 1] + 1) * h) / 2 + my).toFixed(2)}`;
    }).join("L");
    const all = Array.from({ length: 2 * LINES }, (_, i) => line(i)), last = all.length - 2;
    const box = [1, last, last + 1].map((i) => all[i]).join("");
    [all[0] + box, all.slice(2, last).join(""), box, all[0]].forEach((d, i) => paths[i].setAttribute("d", d));

    once("handles", `${state.mode} ${state.shape}`, () => {
      handles.forEach((b) => b.remove());
      handles = Array.from({ length: homes().length / 2 }, (_, k) => addHandle(k));
      sliders.hidden = state.mode !== "affine";
      hint.textContent = state.mode === "affine" ? "Drag the box: its ring shifts it, the squares are θ's columns, the dot turns and scales it. Or focus a handle and use the arrow keys."
        : "Drag a point, or focus it and use the arrow keys (Shift: small steps, Home: back).";
    });
    const at = places();
    handles.forEach((b, k) => {
      const [x, y] = [at[2 * k], at[2 * k + 1]];
      const inView = (v, i) => Math.min(Math.max(v, -limit[i]), limit[i]); // Python may set any
      b.style.left = `${50 + (50 * inView(x, 0)) / limit[0]}%`;
      b.style.top = `${50 + (50 * inView(y, 1)) / limit[1]}%`;
      b.setAttribute("aria-label", `${handleName(k)}, x ${show(x)}, y ${show(y)}`);
    });

    const even = (start) => state.offsets.filter((_, k) => k % 2 === start);
    numbersShown.replaceChildren(...(state.mode === "affine" ? [matrix("θ", state.theta, 3)]
      : state.mode === "homography" ? [matrix("H", homographyFromCorners(state.corners), 3)]
        : [matrix("Δx", even(0), state.shape[1], 2), matrix("Δy", even(1), state.shape[1], 2)]));
    mode.set(state.mode); picture.set(state.picture); padding.set(state.padding);
    thetaSliders.forEach((s, k) => s.set(state.theta[k]));
    partSliders.forEach((s, k) => s.set(parts[PARTS[k][0]]));
    drawPixel();
  }
  draw();

  const update = taking(state, () => { parts = partsFromTheta(state.theta, state.size) ?? parts; draw(); });
  return { state, update, destroy: () => root.remove() };
}

const convex = (corners) => { if (!isConvex(corners, 1e-6)) throw new RangeError("convex corners wanted"); return corners; };
const ADDRESS = keyed({
  mode: (text) => readOne(text, Object.keys(MODES)), padding: (text) => readOne(text, Object.keys(PADDINGS)),
  picture: (text, { names }) => readOne(text, [...names.keys()]), theta: (text) => readNumbers(text, 6),
  corners: (text) => convex(readNumbers(text, 8)), offsets: (text, { shape }) => readNumbers(text, 2 * shape[0] * shape[1]),
});

/** The widget's view. */
const render = (page) => follow(page, KEYS, [], mount, ADDRESS);

export default { render };
