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

/** `weight` [rows, n] column by column: what one input is multiplied with lies side by side. */
function byColumn(weight, rows) {
  const n = weight.length / rows, out = new Float32Array(weight.length); // float16 and scaled int8 fit
  for (let o = 0, q = 0; o < rows; o++) for (let k = 0; k < n; k++, q++) out[k * rows + o] = weight[q];
  return out;
}

// What of an input is not 0, and where its column of the weight begins. Paper and what a ReLU has cut
// off are 0, more than half of all, and are passed over.
let inked = { value: new Float64Array(0), column: new Int32Array(0) };

function inkFor(n) {
  if (inked.value.length < n) inked = { value: new Float64Array(n), column: new Int32Array(n) };
  return inked;
}

/** Room for `n` numbers that `layer` keeps for its next call: what each call made anew, each call would have to clear away. */
function room(layer, name, n, Kind = Float64Array) {
  if (layer[name]?.length !== n) layer[name] = new Kind(n);
  return layer[name];
}

/** out[at + o * step] = bias[o] + the products of row o of the weight with the first `m` of `inked`, eight rows at once. */
function products({ weight, bias }, { value, column }, m, out, at, step) {
  const rows = bias.length;
  let o = 0, to = at;
  for (; o + 8 <= rows; o += 8) {
    let a = bias[o], b = bias[o + 1], c = bias[o + 2], d = bias[o + 3], e = bias[o + 4], f = bias[o + 5], g = bias[o + 6], h = bias[o + 7];
    for (let t = 0; t < m; t++) {
      const p = column[t] + o, v = value[t];
      a += weight[p] * v; b += weight[p + 1] * v; c += weight[p + 2] * v; d += weight[p + 3] * v;
      e += weight[p + 4] * v; f += weight[p + 5] * v; g += weight[p + 6] * v; h += weight[p + 7] * v;
    }
    out[to] = a; out[to += step] = b; out[to += step] = c; out[to += step] = d;
    out[to += step] = e; out[to += step] = f; out[to += step] = g; out[to += step] = h;
    to += step;
  }
  for (; o < rows; o++, to += step) {
    let sum = bias[o];
    for (let t = 0; t < m; t++) sum += weight[column[t] + o] * value[t];
    out[to] = sum;
  }
}

function dense(layer, x) {
  const n = x.length, rows = layer.bias.length, out = room(layer, "out", rows), { value, column } = inkFor(n);
  if (layer.weight.length !== n * rows) throw new TypeError(`dense: ${layer.weight.length / rows} numbers wanted, ${n} came`);
  let m = 0;
  for (let k = 0; k < n; k++) if (x[k] !== 0) { value[m] = x[k]; column[m++] = k * rows; }
  products(layer, { value, column }, m, out, 0, 1);
  return { x: out, shape: [rows] };
}

/** Of each pixel of a map the channels that are not 0: at pixel * C `count[pixel]` of them, their values, and their numbers times `step`. */
function inkOfPixels(layer, x, [C, H, W], step) {
  const count = room(layer, "count", H * W, Int32Array).fill(0), value = room(layer, "value", x.length), column = room(layer, "column", x.length, Int32Array);
  for (let c = 0, k = 0; c < C; c++)
    for (let pixel = 0; pixel < H * W; pixel++, k++)
      if (x[k] !== 0) {
        const to = pixel * C + count[pixel]++;
        value[to] = x[k]; column[to] = c * step;
      }
  return { count, value, column };
}

function conv(layer, x, [C, H, W]) {
  const { weight, bias, kernel: [kh, kw], stride, padding } = layer, O = bias.length;
  const [oh, ow] = [H - kh, W - kw].map((v) => Math.floor((v + 2 * padding) / stride) + 1).map((n) => (layer.even ? n - (n % 2) : n));
  if (weight.length !== O * C * kh * kw) throw new TypeError(`conv: ${weight.length / (O * kh * kw)} channels wanted, ${C} came`);
  const pixels = inkOfPixels(layer, x, [C, H, W], kh * kw * O), patch = inkFor(C * kh * kw), out = room(layer, "out", O * oh * ow);
  for (let i = 0, at = 0; i < oh; i++)
    for (let j = 0; j < ow; j++, at++) {
      const top = i * stride - padding, left = j * stride - padding;
      let m = 0;
      for (let a = Math.max(0, -top); a < Math.min(kh, H - top); a++) // beyond the edge all is 0
        for (let b = Math.max(0, -left); b < Math.min(kw, W - left); b++) {
          const pixel = (top + a) * W + left + b, tap = (a * kw + b) * O, end = pixel * C + pixels.count[pixel];
          for (let t = pixel * C; t < end; t++) { patch.value[m] = pixels.value[t]; patch.column[m++] = pixels.column[t] + tap; }
        }
      products(layer, patch, m, out, at, oh * ow);
    }
  return { x: out, shape: [O, oh, ow] };
}

function pool(layer, x, [C, H, W]) {
  const h = H >> 1, w = W >> 1, out = room(layer, "out", C * h * w);
  for (let c = 0, k = 0; c < C; c++)
    for (let i = 0; i < h; i++)
      for (let j = 0, at = (c * H + 2 * i) * W; j < w; j++, at += 2) {
        const up = x[at] > x[at + 1] ? x[at] : x[at + 1], low = x[at + W] > x[at + W + 1] ? x[at + W] : x[at + W + 1];
        out[k++] = up > low ? up : low;
      }
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

function relu(layer, x) {
  const out = room(layer, "out", x.length);
  for (let k = 0; k < out.length; k++) out[k] = x[k] > 0 ? x[k] : 0;
  return out;
}

const ACTS = { relu, tanh: (layer, x) => x.map(Math.tanh) };

/** Sends a map through `layers`; what a transformer finds on the way is put into `seen`. */
function run(layers, x, shape, seen) {
  let now = { x, shape };
  for (const layer of layers) {
    const { kind } = layer, before = now;
    if (kind === "dense") now = dense(layer, before.x);
    else if (kind === "conv") now = conv(layer, before.x, before.shape);
    else if (kind === "pool") now = pool(layer, before.x, before.shape);
    else if (kind === "cells") now = cells(layer.count, before.x, before.shape);
    else if (kind === "flatten") now = { x: before.x, shape: [before.x.length] };
    else if (kind === "transformer") now = transform(layer, before.x, before.shape, seen);
    else if (kind === "channels") {
      const size = before.x.length / before.shape[0];
      now = { x: before.x.map((v, k) => v * layer.scale[Math.floor(k / size)] + layer.shift[Math.floor(k / size)]), shape: before.shape };
    } else now = { x: ACTS[kind](layer, before.x), shape: before.shape };
  }
  return now;
}

const KINDS = ["dense", "conv", "pool", "cells", "flatten", "transformer", "channels", ...Object.keys(ACTS)];

function ready(layer) {
  if (!KINDS.includes(layer.kind)) throw new TypeError(`layers: ${JSON.stringify(layer.kind)} came; wanted one of ${KINDS.join(", ")}`);
  const made = { ...layer };
  if (layer.weight) Object.assign(made, { weight: byColumn(unpack(layer.weight), layer.weight.shape[0]), bias: unpack(layer.bias), kernel: layer.weight.shape.slice(2) });
  if (layer.layers) made.layers = readied(layer.layers);
  return made;
}

/** Layers with their weights. A row or column beyond the last pair is not read by a pool: the convolution before it makes an `even` map. */
const readied = (layers) => layers.map((layer, k) => ({ ...ready(layer), even: layers[k + 1]?.kind === "pool" }));

export function softmax(logits) {
  const top = Math.max(...logits), powers = Array.from(logits, (v) => Math.exp(v - top)), sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((v) => v / sum);
}

/**
 * A function of what `stn-course export-web` wrote: from one grey picture in [0, 1], row by row, to
 * its logits, and to the theta and the crop of a transformer.
 */
export function network(stored) {
  const layers = readied(stored.layers), [h, w] = stored.size;
  const read = (picture) => {
    if (picture.length !== h * w) throw new TypeError(`picture: ${h * w} numbers wanted, ${picture.length} came`);
    const seen = {}, { x } = run(layers, Float64Array.from(picture), [1, h, w], seen);
    return { logits: x.slice(), ...seen };
  };
  return Object.assign(read, { record: stored.record });
}
