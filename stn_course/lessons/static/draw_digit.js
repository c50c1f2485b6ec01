// Draw a digit, turn it, and see what four networks read.
//
// Python puts the pure functions, the key guard and the parts of a figure of warp_playground.js and
// all of networks.js before this text.  Conventions are the same: a transform maps output -> input,
// x first, [-1, 1] at pixel edges.  A stroke is x0, y0, x1, y1, ... in [0, 1] of the pad, y down.

// ---------------------------------------------------------------- a digit from strokes

export const SIDE = 28; // pixels of a digit's picture
const INK = 20, PEN = 1.25, MOST = 100; // MNIST's longer side; the pen's radius; at most so many pixels to the pad: a dot stays one
const PAD_PEN = 0.045; // the pen's radius on the pad

/** Soft lines through strokes in pixels: 1 within half a pixel less than `radius`, 0 beyond half a pixel more. */
export function ink(strokes, radius = PEN, size = SIDE) {
  const out = new Float32Array(size * size), reach = radius + 0.5;
  for (const s of strokes)
    for (let k = 0; k < Math.max(1, s.length / 2 - 1); k++) {
      const x0 = s[2 * k], y0 = s[2 * k + 1], dx = (s[2 * k + 2] ?? x0) - x0, dy = (s[2 * k + 3] ?? y0) - y0, square = dx * dx + dy * dy;
      const [left, right] = [Math.min(x0, x0 + dx) - reach, Math.max(x0, x0 + dx) + reach].map((v) => Math.min(Math.max(v, 0), size - 1));
      const [top, bottom] = [Math.min(y0, y0 + dy) - reach, Math.max(y0, y0 + dy) + reach].map((v) => Math.min(Math.max(v, 0), size - 1));
      for (let i = Math.floor(top); i <= Math.ceil(bottom); i++)
        for (let j = Math.floor(left); j <= Math.ceil(right); j++) {
          const t = square ? Math.min(Math.max(((j - x0) * dx + (i - y0) * dy) / square, 0), 1) : 0;
          const v = Math.min(reach - Math.hypot(j - x0 - t * dx, i - y0 - t * dy), 1);
          if (v > out[i * size + j]) out[i * size + j] = v;
        }
    }
  return out;
}

/**
 * Strokes laid out as MNIST's digits are: the longer side of the ink 20 pixels, its centre of mass
 * on pixel 14, 14. Null without ink; else `picture` (28 x 28 in [0, 1]) and, in [0, 1] of the pad,
 * the `box` of the ink, the `frame` that became the picture (x0, y0, x1, y1 each) and the `centre`.
 */
export function layOut(strokes) {
  const xs = strokes.flatMap((s) => s.filter((_, k) => k % 2 === 0)), ys = strokes.flatMap((s) => s.filter((_, k) => k % 2 === 1));
  if (!xs.length) return null;
  const box = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  const scale = Math.min((INK - 2 * PEN) / Math.max(box[2] - box[0], box[3] - box[1], 1e-9), MOST);
  const at = (right, down) => strokes.map((s) => s.map((v, k) => (v - box[k & 1]) * scale + PEN - 0.5 + (k & 1 ? down : right)));
  const first = ink(at(0, 0)), mass = [0, 0, 0];
  first.forEach((v, k) => { mass[0] += v * (k % SIDE); mass[1] += v * Math.floor(k / SIDE); mass[2] += v; });
  const centre = [mass[0] / mass[2], mass[1] / mass[2]];
  const far = [0, 1].map((k) => Math.ceil((box[2 + k] - box[k]) * scale + 2 * PEN)); // pixels of ink
  const [right, down] = [0, 1].map((k) => Math.max(0, Math.min(Math.round(SIDE / 2 - centre[k]), SIDE - far[k])));
  const corner = [box[0] - (PEN + right) / scale, box[1] - (PEN + down) / scale];
  return {
    picture: ink(at(right, down)), box: box.map((v, k) => v + (k < 2 ? -PAD_PEN : PAD_PEN)),
    frame: [...corner, corner[0] + SIDE / scale, corner[1] + SIDE / scale],
    centre: centre.map((c, k) => corner[k] + (c + 0.5 + [right, down][k]) / scale),
  };
}

// ---------------------------------------------------------------- moving it

const UPRIGHT = { rotate: 0, scale: 1, shear: 0, shiftX: 0, shiftY: 0, tilt: 0 };
const EYE = 2.5; // how far off the eye is that sees a tilted digit, where the digit is 2 wide

/** Where a moved picture is read: nine numbers, output -> input. Tilted first, then as thetaFromParts has it. */
export function reading({ tilt, ...parts }) {
  const t = (tilt * Math.PI) / 180, [a, b, c, d, e, f] = thetaFromParts(parts), up = 1 / Math.cos(t), w = -Math.tan(t) / EYE;
  return [a, b, c, up * d, up * e, up * f, w * d, w * e, w * f + 1];
}

/** The inverse of a 3 x 3 matrix. */
export function invert3(H) {
  const inverse = solve([[...H.slice(0, 3)], [...H.slice(3, 6)], [...H.slice(6)]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]);
  return inverse.flat();
}

const CENTRES = lattice([SIDE, SIDE]), BEHIND = 0.05; // w below which a point lies behind the eye

/** A 28 x 28 picture as `H` reads it; what lies outside, or behind the eye, is background. */
export function moved(picture, H) {
  const grid = new Float64Array(CENTRES.length);
  for (let k = 0; k < grid.length; k += 2) {
    const x = CENTRES[k], y = CENTRES[k + 1], w = H[6] * x + H[7] * y + H[8];
    grid[k] = w > BEHIND ? (H[0] * x + H[1] * y + H[2]) / w : 9;
    grid[k + 1] = w > BEHIND ? (H[3] * x + H[4] * y + H[5]) / w : 9;
  }
  return bilinearSample(picture, [SIDE, SIDE], grid);
}

// ---------------------------------------------------------------- clutter

export const MOST_SCRAPS = 20;
const SCRAP = 5, USUAL = 6; // pixels of a scrap's side, as in the published sets of single digits; as many as the button scatters
const INNER = 4; // pixels: a digit's margin, of which no scrap is cut, for it would be black

/** Whole numbers from 0 to below n, the same ones for the same seed in every browser. */
export function dice(seed) {
  let now = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
  const step = () => { now = (Math.imul(now, 1664525) + 1013904223) >>> 0; };
  step();
  return (n) => { step(); return Math.floor((now / 2 ** 32) * n); };
}

/**
 * `picture` (SIDE x SIDE in [0, 1]) with `count` scraps of the digits in `pool` added to it, at most to 1. Of one
 * `scattering` the first scraps stay where they are when there are more.
 */
export function cluttered(picture, pool, count, scattering) {
  if (!count) return picture;
  const draw = dice(scattering), below = new Float64Array(SIDE * SIDE);
  for (let n = 0; n < count; n++) {
    const from = pool[draw(pool.length)], [left, top] = [0, 0].map(() => INNER + draw(SIDE - 2 * INNER - SCRAP + 1));
    const [x, y] = [0, 0].map(() => draw(SIDE - SCRAP + 1));
    for (let i = 0; i < SCRAP; i++)
      for (let j = 0; j < SCRAP; j++) below[(y + i) * SIDE + x + j] = from[(top + i) * SIDE + left + j]; // a later one covers an earlier one
  }
  return below.map((v, k) => Math.min(v + picture[k], 1));
}

// ---------------------------------------------------------------- a view to share

/** Strokes as text, hundredths of the pad, two digits each; and back. */
export const inkText = (strokes) => strokes.map((s) => s.map((v) => String(Math.min(Math.max(Math.round(v * 100), 0), 99)).padStart(2, "0")).join("")).join(".");
export const inkFrom = (text) => text.split(".").filter((s) => /^(\d{4})+$/.test(s)).map((s) => s.match(/\d\d/g).map((v) => v / 100));

/** The part of an address after #: theta (six numbers), the tilt, the sample or the strokes, and the clutter. */
export function toAddress({ parts, sample, strokes, clutter = 0, scattering = 0 }) {
  const theta = thetaFromParts(parts).map((v) => tidy(v.toFixed(4)));
  return `theta=${theta.join(",")}&tilt=${tidy(parts.tilt)}&${sample < 0 ? `ink=${inkText(strokes)}` : `digit=${sample}`}`
    + (clutter ? `&clutter=${clutter}&scattering=${scattering}` : "");
}

/** What an address (as URLSearchParams) says; null where it says nothing of this figure, or nothing that can be. */
export function fromAddress(said) {
  const theta = (said.get("theta") ?? "").split(",").map(Number);
  if (theta.length !== 6 || !theta.every(Number.isFinite)) return null;
  const found = partsFromTheta(theta), tilt = Number(said.get("tilt") ?? 0), digit = Number(said.get("digit") ?? 2), strokes = inkFrom(said.get("ink") ?? "");
  const [clutter, scattering] = ["clutter", "scattering"].map((k) => Number(said.get(k) ?? 0)), whole = (v, most) => Number.isInteger(v) && v >= 0 && v <= most;
  if (!whole(clutter, MOST_SCRAPS) || !whole(scattering, 1e6)) return null;
  if (!found || !(Math.abs(tilt) <= 60) || !Number.isInteger(digit) || digit < 0 || digit > 9) return null;
  const parts = { ...UPRIGHT, tilt };
  for (const [key, , min, max, step] of MOTIONS) if (key !== "tilt") parts[key] = Math.min(Math.max(tidy(Math.round(found[key] / step) * step), min), max);
  return { parts, sample: strokes.length ? -1 : digit, strokes, clutter, scattering };
}

// ---------------------------------------------------------------- the figure

const MOTIONS = [ // key, label, min, max, step, unit
  ["rotate", "turn", -180, 180, 1, "°"], ["scale", "scale", 0.5, 1.5, 0.01, ""], ["shiftX", "shift x", -0.6, 0.6, 0.01, ""],
  ["shiftY", "shift y", -0.6, 0.6, 0.01, ""], ["shear", "shear", -45, 45, 1, "°"], ["tilt", "tilt", -60, 60, 1, "°"],
];
const DRAW_KEYS = ["sample", "strokes", "parts", "pixels", "clutter", "scattering"];
const MARGIN = 3, FRAME = 11 / 14; // pixels around the picture that are shown; half the frame that is dragged
const HINT = "Drag the ring to shift the digit, the dot to turn and scale it, the squares to shear and tilt it; or use the arrow keys there.";
const CLUTTER = "Scraps of other digits lie on the picture. None of the four networks has learned with any.";
const STORY = [[0, 0], [1.5, 0], [5.5, 60], [7, 60], [8.5, 0], [10, 0]]; // seconds, degrees
const VIEW = SIDE + 2 * MARGIN;

/** Follows a pointer that was put down on `element`: `begin(event)` gives what hears of its moves. */
function drag(element, begin) {
  let held = null;
  element.addEventListener("pointerdown", (e) => {
    if (e.button || e.ctrlKey) return; // that opens a menu
    held = { id: e.pointerId, move: begin(e) };
    element.setPointerCapture(e.pointerId);
    element.focus({ preventScroll: true });
    e.preventDefault();
  });
  element.addEventListener("pointermove", (e) => {
    if (held?.id === e.pointerId) for (const each of e.getCoalescedEvents?.().length ? e.getCoalescedEvents() : [e]) held.move(each);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) element.addEventListener(end, () => { held = null; });
}

/** One network's card: what it reads, how sure it is, and ten bars. */
function card(name) {
  const digit = node("span", { class: "dd-digit" }), sure = node("span", { class: "dd-sure" }), mark = node("span", { class: "dd-mark" });
  const bars = ["", "dd-best"].map((kind) => node("polygon", { class: kind })); // two change at less cost than ten boxes
  const feet = node("div", { class: "dd-feet" }, ...Array.from({ length: 10 }, (_, k) => node("i", { "data-digit": k })));
  const chart = node("div", { class: "dd-bars", role: "img" }, feet, node("svg", { viewBox: "0 0 10 1", preserveAspectRatio: "none" }, ...bars));
  const element = node("div", { class: "dd-card" }, node("div", { class: "dd-name" }, name), node("div", { class: "dd-verdict" }, digit, sure, mark), chart);
  function set(p, wanted) {
    const best = p ? p.indexOf(Math.max(...p)) : -1;
    setText(digit, p ? String(best) : "–");
    setText(sure, p ? `${Math.round(100 * p[best])} %` : "");
    setText(mark, p && wanted >= 0 ? (best === wanted ? "✓" : "✗") : "");
    setAttribute(element, "data-right", mark.textContent === "✓" ? "yes" : mark.textContent ? "no" : "");
    const high = (p ?? []).map((v, k) => { // in hundredths: of 34 pixels a third of one
      const [left, right, top] = [k + 0.04, k + 0.96, (1 - v).toFixed(2)];
      return `${left} 1 ${left} ${top} ${right} ${top} ${right} 1 `;
    });
    setAttribute(bars[0], "points", high.filter((_, k) => k !== best).join(""));
    setAttribute(bars[1], "points", high[best] ?? "");
    setAttribute(chart, "aria-label", p ? `${name} reads ${best}, ${Math.round(100 * p[best])} percent` : `${name}: nothing to read`);
    return best;
  }
  return { element, set };
}

/** The pad: strokes by mouse, touch and keyboard. `onStrokes(strokes)` hears of every change. */
function makePad(onStrokes) {
  const S = 280, canvas = node("canvas", { width: 2 * S, height: 2 * S });
  const marks = ["dd-frame", "wp-edge", "dd-cross", "dd-pen"].map((c) => node("path", { class: c }));
  const overlay = node("svg", { viewBox: "0 0 100 100", "aria-hidden": "true" }, ...marks);
  const element = node("div", { class: "wp-well dd-pad", tabindex: 0, role: "application", "aria-roledescription": "drawing pad",
    "aria-label": "Draw a digit: arrows move the pen (Shift: small steps), Space puts it down or lifts it, Backspace takes the last stroke back" }, canvas, overlay);
  let strokes = [], pen = [0.3, 0.3], down = false;
  const round = (v) => Math.round(Math.min(Math.max(v, 0), 0.99) * 100) / 100;
  const add = (x, y) => {
    const last = strokes.at(-1), p = [round(x), round(y)];
    if (last.length && last.at(-2) === p[0] && last.at(-1) === p[1]) return;
    strokes = [...strokes.slice(0, -1), [...last, ...p]];
    onStrokes(strokes);
  };
  drag(element, (e) => {
    const r = canvas.getBoundingClientRect(), to = (at) => add((at.clientX - r.left) / r.width, (at.clientY - r.top) / r.height);
    down = false;
    strokes = [...strokes, []];
    to(e);
    return to;
  });
  element.addEventListener("keydown", (e) => {
    const step = e.shiftKey ? 0.01 : 0.05, d = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[e.key];
    if (!d && ![" ", "Escape", "Backspace"].includes(e.key)) return;
    e.preventDefault();
    if (d) {
      pen = pen.map((v, k) => round(v + d[k]));
      if (down) add(...pen);
    } else if (e.key === " ") {
      down = !down;
      if (down) { strokes = [...strokes, []]; add(...pen); }
    } else if (e.key === "Backspace") { down = false; strokes = strokes.slice(0, -1); onStrokes(strokes); }
    else down = false;
    showPen();
  });
  const showPen = () => {
    const [x, y] = pen.map((v) => 100 * v);
    marks[3].setAttribute("d", `M${x - 4} ${y}h8M${x} ${y - 4}v8`);
    element.classList.toggle("dd-down", down);
  };
  showPen();
  /** Shows strokes with their layout, or a picture that was not drawn here. */
  function draw(now, laid, picture) {
    strokes = now;
    const c = canvas.getContext("2d"), px = 2 * S;
    c.fillStyle = "#000";
    c.fillRect(0, 0, px, px);
    if (!laid && picture) { // a sample lies in the middle, as large as its frame
      const small = node("canvas", { width: SIDE, height: SIDE });
      paint(small, picture.map((v) => 255 * v), [SIDE, SIDE]);
      c.imageSmoothingEnabled = false;
      c.drawImage(small, 0.1 * px, 0.1 * px, 0.8 * px, 0.8 * px);
    }
    Object.assign(c, { strokeStyle: "#fff", lineWidth: 2 * PAD_PEN * px, lineCap: "round", lineJoin: "round" });
    for (const s of strokes) {
      c.beginPath();
      for (let k = 0; k < s.length; k += 2) c.lineTo(s[k] * px, s[k + 1] * px);
      if (s.length === 2) c.lineTo(s[0] * px, s[1] * px + 0.1);
      c.stroke();
    }
    const square = (q) => `M${100 * q[0]} ${100 * q[1]}H${100 * q[2]}V${100 * q[3]}H${100 * q[0]}z`;
    const [x, y] = (laid?.centre ?? [0.5, 0.5]).map((v) => 100 * v);
    marks[0].setAttribute("d", laid ? square(laid.box) : "");
    marks[1].setAttribute("d", laid ? square(laid.frame) : "M10 10H90V90H10z");
    marks[2].setAttribute("d", laid ? `M${x - 3} ${y}h6M${x} ${y - 3}v6` : "");
  }
  return { element, draw, lift: () => { down = false; showPen(); } };
}

/** The moved digit with the four handles that move it, and the box that the transformer reads. */
function makeView(onParts) {
  const canvas = node("canvas", { class: "dd-seen", width: SIDE, height: SIDE, role: "img", "aria-label": "the 28 by 28 pixels that the networks see" });
  // polygons: of a path the `d` is style, and a new one costs Chromium a look at every rule of the page
  const [framed, edge, ...boxes] = ["dd-frame", "wp-edge", "wp-halo", "wp-box", "wp-top"].map((c) => node("polygon", { class: c }));
  const line = (p) => Array.from(p, (v) => (((v + 1) * SIDE) / 2 + MARGIN).toFixed(2)).join(" ");
  edge.setAttribute("points", line(CORNERS));
  const overlay = node("svg", { viewBox: `0 0 ${VIEW} ${VIEW}`, "aria-hidden": "true" }, framed, edge, ...boxes);
  const grips = node("div", { class: "dd-grips" });
  const element = node("div", { class: "wp-well dd-view" }, canvas, overlay, grips);
  let parts = UPRIGHT;
  const clip = (key, v) => { const [, , min, max, step] = MOTIONS.find((m) => m[0] === key); return tidy(Math.min(Math.max(Math.round(v / step) * step, min), max)); };
  const set = (patch) => { // known at once: the next key may come before the next frame is drawn
    const now = Object.entries(patch).map(([k, v]) => [k, k === "rotate" ? clip(k, ((v + 540) % 360) - 180) : clip(k, v)]);
    parts = { ...parts, ...Object.fromEntries(now) };
    onParts(parts);
  };
  const at = (e) => { // where the pointer is, in units of the picture
    const r = element.getBoundingClientRect();
    return [((2 * (e.clientX - r.left)) / r.width - 1) * (VIEW / SIDE), ((2 * (e.clientY - r.top)) / r.height - 1) * (VIEW / SIDE)];
  };
  const turned = ([x, y]) => { // seen from the digit, which is turned, enlarged and shifted
    const a = (parts.rotate * Math.PI) / 180, [u, v] = [x - parts.shiftX, y - parts.shiftY], [c, s] = [Math.cos(a), Math.sin(a)];
    return [(c * u - s * v) / parts.scale, (s * u + c * v) / parts.scale];
  };
  const HANDLES = [ // class, name, place, what the arrow keys change (across, along), what a drag does
    ["dd-move", "Move the digit", [0, 0], { shiftX: 0.05 }, { shiftY: 0.05 }, (from, was) => ([x, y]) => ({ shiftX: was.shiftX + x - from[0], shiftY: was.shiftY + y - from[1] })],
    ["dd-turn", "Turn and scale the digit", [FRAME, -FRAME], { rotate: -5 }, { scale: -0.05 }, (from, was) => ([x, y]) => {
      const [u, v, p, q] = [from[0] - was.shiftX, from[1] - was.shiftY, x - was.shiftX, y - was.shiftY];
      return { rotate: was.rotate + ((Math.atan2(v, u) - Math.atan2(q, p)) * 180) / Math.PI, scale: (was.scale * Math.hypot(p, q)) / Math.hypot(u, v) };
    }],
    ["dd-shear", "Shear the digit", [0, FRAME], { shear: 3 }, {}, (from, was) => (to) => ({ shear: was.shear + ((turned(to)[0] - turned(from)[0]) / FRAME) * 45 })],
    ["dd-tilt", "Tilt the digit", [0, -FRAME], {}, { tilt: 3 }, (from, was) => (to) => ({ tilt: was.tilt + (turned(to)[1] - turned(from)[1]) * 90 })],
  ];
  const handles = HANDLES.map(([kind, name, place, across, along, drags]) => {
    const b = node("button", { type: "button", class: `wp-handle ${kind}` });
    drag(b, (e) => {
      const dragged = drags(at(e), { ...parts });
      return (now) => set(dragged(at(now)));
    });
    b.addEventListener("keydown", (e) => {
      const [by, sign] = { ArrowLeft: [across, -1], ArrowRight: [across, 1], ArrowUp: [along, -1], ArrowDown: [along, 1] }[e.key] ?? [];
      if (!by && e.key !== "Home") return;
      e.preventDefault();
      const part = (e.shiftKey ? 0.2 : 1) * sign, keys = Object.keys({ ...across, ...along });
      set(by ? Object.fromEntries(Object.entries(by).map(([k, v]) => [k, parts[k] + part * v])) : Object.fromEntries(keys.map((k) => [k, UPRIGHT[k]])));
    });
    grips.append(b);
    return { b, name, place, keys: Object.keys({ ...across, ...along }) };
  });
  function draw(now, H, picture, theta) {
    parts = now;
    paint(canvas, picture.map((v) => 255 * v), [SIDE, SIDE]);
    const forward = invert3(H), frame = applyHomography(forward, CORNERS.map((v) => v * FRAME));
    setAttribute(framed, "points", line(frame));
    const box = theta ? applyAffine(theta, CORNERS) : [];
    boxes.forEach((each, k) => setAttribute(each, "points", line(k < 2 ? box : box.slice(0, 4))));
    for (const { b, name, place, keys } of handles) {
      const [x, y] = Array.from(applyHomography(forward, place), (v) => Math.min(Math.max((50 * v * SIDE) / VIEW + 50, 3), 97));
      b.style.left = `${x}%`;
      b.style.top = `${y}%`;
      setAttribute(b, "aria-label", `${name}: ${keys.map((k) => { const [, label, , , step, unit] = MOTIONS.find((m) => m[0] === k); return `${label} ${show(parts[k], step < 1 ? 2 : 0)}${unit}`; }).join(", ")}`);
    }
  }
  return { element, draw };
}

const ADDRESS = {
  keys: ["sample", "strokes", "parts", "clutter", "scattering"],
  read(said) {
    const found = fromAddress(said);
    return { found: found ?? {}, refused: !found && said.has("theta") ? ["the digit"] : [] };
  },
  write: toAddress,
};

/** Builds the figure in `el`; `given`: networks, samples (base64, 28 x 28) and values of DRAW_KEYS. */
export function mount(el, given, onChange = () => {}, { address = false } = {}) {
  const nets = given.networks.map(({ name, stored }) => ({ name, read: network(stored), card: card(name) }));
  const samples = given.samples.map((text) => Float32Array.from(fromBase64(text), (v) => v / 255));
  const start = () => ({ sample: given.sample ?? 2, strokes: given.strokes ?? [], parts: { ...UPRIGHT, ...given.parts }, clutter: given.clutter ?? 0, scattering: given.scattering ?? 0 });
  const state = start();
  const blank = new Float32Array(SIDE * SIDE);
  let laid, picture, onPad = null, frame = 0, playing = 0, telling = false;

  const pixels = () => Array.from(picture, (v) => Math.round(255 * v));
  const change = (patch, said = HINT) => {
    if (playing && !telling) stop();
    setText(say, said);
    Object.assign(state, patch);
    schedule();
    if ("sample" in patch) prepare();
    onChange("sample" in patch ? { ...patch, pixels: pixels() } : patch);
    shared?.note();
  };
  const schedule = () => { frame ||= requestAnimationFrame(() => { frame = 0; draw(); }); };
  function prepare() {
    laid = state.sample < 0 ? layOut(state.strokes) : null;
    picture = state.sample < 0 ? (laid?.picture ?? blank) : samples[state.sample];
  }

  const pad = makePad((strokes) => change({ strokes, sample: -1 }));
  const view = makeView((parts) => change({ parts }));
  const crop = node("canvas", { class: "dd-crop", width: SIDE, height: SIDE, role: "img", "aria-label": "what the spatial transformer reads" });
  const say = node("p", { class: "wp-say", "aria-live": "polite" }, HINT);
  const button = (text, f, more = {}) => { const b = node("button", { type: "button", class: "wp-reset", ...more }, text); b.addEventListener("click", f); return b; };
  const digits = samples.map((_, k) => button(String(k), () => change({ sample: k, strokes: [] }), { "aria-label": `take a sample ${k}`, class: "wp-reset dd-sample" }));
  const play = button("Play the story", () => (playing ? stop() : tell()), { class: "wp-reset dd-play" });
  const upright = button("Reset", () => change({ ...start(), parts: { ...UPRIGHT } }));
  const clear = button("Clear the pad", () => { pad.lift(); change({ strokes: [], sample: -1 }); });
  const scatter = button("", () => change(state.clutter ? { scattering: state.scattering + 1 } : { clutter: USUAL }, CLUTTER));
  const scraps = slider("clutter", 0, MOST_SCRAPS, 1, "", (clutter) => change({ clutter }, clutter ? CLUTTER : HINT));
  const sliders = MOTIONS.map(([key, ...rest]) => slider(...rest, (v) => change({ parts: { ...state.parts, [key]: v } })));
  const figure = (content, text) => node("figure", {}, content, node("figcaption", {}, text));
  const padNote = node("figcaption", {});
  el.style.minWidth = "min(300px, 100%)"; // beside another widget it would be given no room
  const root = node("div", { class: "warp-playground draw-digit" },
    node("div", { class: "dd-top" },
      node("div", { class: "dd-hand" }, node("figure", {}, pad.element, padNote)),
      node("div", { class: "dd-sight" },
        node("div", { class: "dd-pair" }, figure(view.element, "Seen by all, 28 × 28: drag it"),
          figure(node("div", { class: "wp-well wp-result" }, crop), "Read by the STN, in its box")),
        node("div", { class: "dd-cards" }, ...nets.map((n) => n.card.element)))),
    say,
    node("div", { class: "dd-bar" }, play, upright, clear, scatter, node("div", { class: "dd-samples", role: "group", "aria-label": "Take a sample" }, node("span", {}, "Or take a digit of MNIST"), ...digits)),
    node("div", { class: "dd-sliders", role: "group", "aria-label": "Move the digit, and scatter clutter" }, ...[...sliders, scraps].map((s) => node("div", {}, s.element))));
  guardKeys(root);
  prepare();
  el.replaceChildren(root);

  function draw() {
    const H = reading(state.parts), seen = cluttered(moved(picture, H), samples, state.clutter, state.scattering), empty = picture === blank;
    const found = nets.map((n) => (empty ? null : n.read(seen))), posed = found.find((f) => f?.theta);
    const read = found.map((f, k) => nets[k].card.set(f && softmax(f.logits), state.sample));
    if (onPad !== picture) pad.draw(state.strokes, laid, state.sample < 0 ? null : picture); // large, and a move changes nothing there
    onPad = picture;
    view.draw(state.parts, H, seen, posed?.theta);
    paint(crop, (posed?.crop ?? blank).map((v) => 255 * v), [SIDE, SIDE]);
    setText(padNote, state.sample >= 0 ? `A ${state.sample} of MNIST. Draw over it: mouse, finger, keys`
      : laid ? "Scaled to 20 pixels (box), centred by its mass (cross)" : "Draw a digit here: mouse, finger, keys");
    digits.forEach((b, k) => setAttribute(b, "aria-pressed", String(k === state.sample)));
    sliders.forEach((s, k) => s.set(state.parts[MOTIONS[k][0]]));
    scraps.set(state.clutter);
    setText(scatter, state.clutter ? "Scatter anew" : "Scatter clutter");
    return read;
  }

  // -- the story: a 2 is turned; what is said of it is what the networks have just read
  const still = () => globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches;
  const angle = (t) => {
    const k = Math.max(1, STORY.findIndex(([s]) => s >= t)), [[t0, a0], [t1, a1]] = [STORY[k - 1], STORY[k]], u = (t - t0) / (t1 - t0);
    return a0 + (a1 - a0) * u * u * (3 - 2 * u);
  };
  const words = (degrees) => {
    const told = nets.map((n) => `${n.name} reads ${n.card.element.querySelector(".dd-digit").textContent}`).join(", ");
    return degrees ? `The same 2, turned by ${Math.round(degrees)}°: ${told}.` : `A 2, upright: ${told}.`;
  };
  function tell() {
    play.textContent = "Stop";
    change({ sample: 2, strokes: [], parts: { ...UPRIGHT }, clutter: 0 });
    const began = performance.now();
    let spoken = -1;
    const tick = () => {
      const t = (performance.now() - began) / 1000, step = still() ? 2.5 : 0;
      if (t >= STORY.at(-1)[0]) return stop();
      const now = step ? [0, 20, 40, 60][Math.min(3, Math.floor(t / step))] : angle(t), scene = STORY.findIndex(([s]) => s > t);
      telling = true;
      if (now !== state.parts.rotate) change({ parts: { ...UPRIGHT, rotate: now } }, say.textContent);
      telling = false;
      if (spoken !== (step ? now : scene)) { draw(); spoken = step ? now : scene; say.textContent = words(now); }
      playing = requestAnimationFrame(tick);
    };
    playing = requestAnimationFrame(tick);
  }
  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    play.textContent = "Play the story";
    if (state.parts.rotate % 1) change({ parts: { ...state.parts, rotate: Math.round(state.parts.rotate) } }, say.textContent);
  }

  const shared = address ? share(1, ADDRESS, start(), () => state, (values, refused) => {
    Object.assign(state, values);
    if (refused.length) say.textContent = `${BAD_ADDRESS}${refused.join(", ")}.`;
    prepare();
    schedule();
  }) : null;
  shared?.hear();
  draw();

  /** Takes values from outside. */
  function update(patch) {
    const { pixels, ...told } = patch; // the figure makes the pixels itself
    const changed = news(told, state);
    if (!changed) return;
    Object.assign(state, changed);
    prepare();
    schedule();
  }
  const destroy = () => { cancelAnimationFrame(playing); cancelAnimationFrame(frame); shared?.end(); root.remove(); };
  return { state, update, destroy };
}

/** The widget's view. */
const render = (page) => follow(page, DRAW_KEYS, ["networks", "samples"], mount, ADDRESS, true);

export default { render };
