// Networks in the page: the forward passes of what `stn-course export-web` wrote.
//
// Python puts the pure functions of warp_playground.js before this text: a transformer reads its
// picture by the same grid and the same bilinear samples.  A map is a flat Float64Array, channel by
// channel and row by row, with its shape [C, H, W].

// ---------------------------------------------------------------- networks

/** The float32 value of the 16 bits `h`. */
export function fromHalf(h) {
  const sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
  if (exponent === 31) throw new RangeError("weights: a number is not finite");
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

/** Stored numbers as a Float64Array: float16, or int8 with a scale a row. */
export function unpack({ dtype, shape, data, scale }) {
  const bytes = bytesOf(data), length = shape.reduce((a, b) => a * b, 1);
  if (!["int8", "float16"].includes(dtype)) throw new TypeError(`weights: int8 or float16 wanted, ${dtype} came`);
  if (bytes.length !== length * (dtype === "int8" ? 1 : 2))
    throw new TypeError(`weights: ${length} numbers of ${dtype} wanted, ${bytes.length} bytes came`);
  const view = new DataView(bytes.buffer);
  if (dtype === "float16") return Float64Array.from({ length }, (_, k) => fromHalf(view.getUint16(2 * k, true)));
  const scales = new DataView(bytesOf(scale).buffer), row = length / shape[0];
  // a product in float32, as where the weights were rounded
  return Float64Array.from({ length }, (_, k) => Math.fround(view.getInt8(k) * scales.getFloat32(4 * Math.floor(k / row), true)));
}

let inked = new Int32Array(0); // where the numbers of `products` are that are not 0

/** out[at + o * step] = bias[o] + the products of row o of `weight` with `x`, four rows at once.
 *
 * Paper and what a ReLU has cut off are 0, more than half of all, and are passed over. */
function products(weight, bias, x, out, at, step) {
  const n = x.length, rows = bias.length;
  if (inked.length < n) inked = new Int32Array(n);
  let o = 0, m = 0;
  for (let k = 0; k < n; k++) if (x[k] !== 0) inked[m++] = k;
  for (; o + 4 <= rows; o += 4) {
    let a = bias[o], b = bias[o + 1], c = bias[o + 2], d = bias[o + 3];
    for (let t = 0, p = o * n, q = p + n, r = q + n, s = r + n; t < m; t++) {
      const k = inked[t], v = x[k];
      a += weight[p + k] * v; b += weight[q + k] * v; c += weight[r + k] * v; d += weight[s + k] * v;
    }
    const to = at + o * step;
    out[to] = a; out[to + step] = b; out[to + 2 * step] = c; out[to + 3 * step] = d;
  }
  for (; o < rows; o++) {
    let sum = bias[o];
    for (let t = 0; t < m; t++) sum += weight[o * n + inked[t]] * x[inked[t]];
    out[at + o * step] = sum;
  }
}

function dense({ weight, bias }, x) {
  const n = x.length, out = new Float64Array(bias.length);
  if (weight.length !== n * bias.length) throw new TypeError(`dense: ${weight.length / bias.length} numbers wanted, ${n} came`);
  products(weight, bias, x, out, 0, 1);
  return { x: out, shape: [out.length] };
}

/** `x` with `p` zeros around each channel. */
function padded(x, [C, H, W], p) {
  if (!p) return x;
  const h = H + 2 * p, w = W + 2 * p, out = new Float64Array(C * h * w);
  for (let c = 0; c < C; c++)
    for (let i = 0; i < H; i++) out.set(x.subarray((c * H + i) * W, (c * H + i + 1) * W), (c * h + i + p) * w + p);
  return out;
}

function conv({ weight, bias, kernel, stride, padding }, x, [C, H, W]) {
  const O = bias.length, [kh, kw] = kernel, h = H + 2 * padding, w = W + 2 * padding;
  const oh = Math.floor((h - kh) / stride) + 1, ow = Math.floor((w - kw) / stride) + 1;
  if (weight.length !== O * C * kh * kw) throw new TypeError(`conv: ${weight.length / (O * kh * kw)} channels wanted, ${C} came`);
  const from = padded(x, [C, H, W], padding), out = new Float64Array(O * oh * ow), patch = new Float64Array(C * kh * kw);
  for (let i = 0; i < oh; i++)
    for (let j = 0; j < ow; j++) {
      for (let c = 0, q = 0; c < C; c++)
        for (let a = 0; a < kh; a++)
          for (let b = 0, src = (c * h + i * stride + a) * w + j * stride; b < kw; b++) patch[q++] = from[src + b];
      products(weight, bias, patch, out, i * ow + j, oh * ow);
    }
  return { x: out, shape: [O, oh, ow] };
}

function pool(x, [C, H, W]) {
  const h = H >> 1, w = W >> 1, out = new Float64Array(C * h * w);
  for (let c = 0, k = 0; c < C; c++)
    for (let i = 0; i < h; i++)
      for (let j = 0, at = (c * H + 2 * i) * W; j < w; j++, at += 2) out[k++] = Math.max(x[at], x[at + 1], x[at + W], x[at + W + 1]);
  return { x: out, shape: [C, h, w] };
}

/** The mean of each cell of an n x n grid; cells overlap where the sizes do not divide. */
function cells(n, x, [C, H, W]) {
  const ends = (size) => Array.from({ length: n }, (_, k) => [Math.floor((k * size) / n), Math.ceil(((k + 1) * size) / n)]);
  const rows = ends(H), columns = ends(W), out = new Float64Array(C * n * n);
  for (let c = 0, k = 0; c < C; c++)
    for (const [i0, i1] of rows)
      for (const [j0, j1] of columns) {
        let sum = 0;
        for (let i = i0; i < i1; i++) for (let j = j0; j < j1; j++) sum += x[(c * H + i) * W + j];
        out[k++] = sum / ((i1 - i0) * (j1 - j0));
      }
  return { x: out, shape: [C, n, n] };
}

function transform(layer, x, shape, seen) {
  const [C, H, W] = shape, size = layer.size ?? [H, W], theta = Array.from(run(layer.layers, x, shape, {}).x);
  const grid = affineGrid(theta, size), out = new Float64Array(C * size[0] * size[1]);
  for (let c = 0; c < C; c++) out.set(bilinearSample(x.subarray(c * H * W, (c + 1) * H * W), [H, W], grid), c * size[0] * size[1]);
  Object.assign(seen, { theta, crop: out });
  return { x: out, shape: [C, ...size] };
}

const ACTS = { relu: (v) => (v > 0 ? v : 0), tanh: Math.tanh };

/** Sends a map through `layers`; what a transformer finds on the way is put into `seen`. */
function run(layers, x, shape, seen) {
  let now = { x, shape };
  for (const layer of layers) {
    const { kind } = layer, before = now;
    if (kind === "dense") now = dense(layer, before.x);
    else if (kind === "conv") now = conv(layer, before.x, before.shape);
    else if (kind === "pool") now = pool(before.x, before.shape);
    else if (kind === "cells") now = cells(layer.count, before.x, before.shape);
    else if (kind === "flatten") now = { x: before.x, shape: [before.x.length] };
    else if (kind === "transformer") now = transform(layer, before.x, before.shape, seen);
    else if (kind === "channels") {
      const size = before.x.length / before.shape[0];
      now = { x: before.x.map((v, k) => v * layer.scale[Math.floor(k / size)] + layer.shift[Math.floor(k / size)]), shape: before.shape };
    } else now = { x: before.x.map(ACTS[kind]), shape: before.shape };
  }
  return now;
}

const KINDS = ["dense", "conv", "pool", "cells", "flatten", "transformer", "channels", ...Object.keys(ACTS)];

function ready(layer) {
  if (!KINDS.includes(layer.kind)) throw new TypeError(`layers: ${JSON.stringify(layer.kind)} came; wanted one of ${KINDS.join(", ")}`);
  const made = { ...layer };
  if (layer.weight) Object.assign(made, { weight: unpack(layer.weight), bias: unpack(layer.bias), kernel: layer.weight.shape.slice(2) });
  if (layer.layers) made.layers = layer.layers.map(ready);
  return made;
}

export function softmax(logits) {
  const top = Math.max(...logits), powers = Array.from(logits, (v) => Math.exp(v - top)), sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((v) => v / sum);
}

/**
 * A function of what `stn-course export-web` wrote: from one grey picture in [0, 1], row by row, to
 * its logits, and to the theta and the crop of a transformer.
 */
export function network(stored) {
  const layers = stored.layers.map(ready), [h, w] = stored.size;
  const read = (picture) => {
    if (picture.length !== h * w) throw new TypeError(`picture: ${h * w} numbers wanted, ${picture.length} came`);
    const seen = {}, { x } = run(layers, Float64Array.from(picture), [1, h, w], seen);
    return { logits: x, ...seen };
  };
  return Object.assign(read, { record: stored.record });
}
