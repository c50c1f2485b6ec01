// node --test tests/js/networks.test.mjs
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

// As Python puts the module together: parts of the playground, the networks, the figure.
const folder = new URL("../../stn_course/lessons/static/", import.meta.url);
const text = (name) => readFileSync(new URL(name, folder), "utf8");
const playground = text("warp_playground.js").split(/^\/\/ -{64} (.*)\n/m);
const part = (name) => playground[playground.indexOf(name) + 1];
const source = [...["pure functions", "the notebook's keys", "parts of a figure", "a view and its model"].map(part), text("networks.js"), text("draw_digit.js")].join("\n");
const m = await import(`data:text/javascript;base64,${Buffer.from(source).toString("base64")}`);

const NAMES = ["page-fc", "page-cnn", "page-cnn-pose", "page-stn"];
const stored = Object.fromEntries(NAMES.map((name) => [name, JSON.parse(text(`networks/${name}.json`))]));
const nets = Object.fromEntries(NAMES.map((name) => [name, m.network(stored[name])]));
const golden = JSON.parse(readFileSync(new URL("golden_networks.json", import.meta.url)));
const drawn = JSON.parse(readFileSync(new URL("drawn_digits.json", import.meta.url)));
const UPRIGHT = { rotate: 0, scale: 1, shear: 0, shiftX: 0, shiftY: 0, tilt: 0 };
const best = (logits) => logits.indexOf(Math.max(...logits));
const worst = (a, b) => {
  assert.equal(a.length, b.length);
  return Math.max(...Array.from(a, (v, k) => Math.abs(v - b[k])));
};

for (const name of NAMES)
  test(`${name} gives torch's logits, and names its record`, (t) => {
    let apart = 0;
    golden.pictures.forEach((picture, k) => {
      const wanted = golden.nets[name][k];
      const { logits, theta } = nets[name](Float64Array.from(atob(picture), (c) => c.charCodeAt(0) / 255));
      apart = Math.max(apart, worst(logits, wanted.logits));
      if (wanted.theta) assert.ok(worst(theta, wanted.theta) < 1e-4);
    });
    t.diagnostic(`largest difference of a logit ${apart.toExponential(1)}`);
    assert.ok(apart <= 1e-3, `largest difference ${apart}`);
    assert.equal(stored[name].record, `${name}/0`);
    assert.match(stored[name].sha256, /^[0-9a-f]{64}$/);
  });

test("twenty drawn digits: the CNN reads them upright, the transformer turned by 60 degrees", (t) => {
  assert.equal(drawn.length, 20);
  const right = (name, rotate) => drawn.filter(({ digit, strokes }) => {
    const seen = m.moved(m.layOut(strokes).picture, m.reading({ ...UPRIGHT, rotate }));
    return best(nets[name](seen).logits) === digit;
  }).length;
  const found = Object.fromEntries(NAMES.map((name) => [name, [0, 60, -60].map((a) => right(name, a))]));
  t.diagnostic(`of 20, upright, turned by 60 and by -60 degrees: ${JSON.stringify(found)}`);
  assert.ok(found["page-cnn"][0] >= 19, JSON.stringify(found));
  assert.ok(found["page-stn"][1] >= 17, JSON.stringify(found));
  for (const other of ["page-fc", "page-cnn"]) assert.ok(found["page-stn"][1] > found[other][1], JSON.stringify(found));
});

test("halves: whole, small, negative and subnormal numbers", () => {
  const cases = [[0x3c00, 1], [0xc000, -2], [0x0001, 2 ** -24], [0x03ff, 1023 * 2 ** -24], [0x7bff, 65504], [0, 0], [0x3555, 0.333251953125]];
  for (const [bits, value] of cases) assert.equal(m.fromHalf(bits), value);
  assert.throws(() => m.fromHalf(0x7c00), /not finite/);
});

test("what is damaged or unknown is refused by name", () => {
  const [flat, dense] = stored["page-fc"].layers, weight = { ...dense.weight, data: dense.weight.data.slice(4) };
  assert.throws(() => m.network({ ...stored["page-fc"], layers: [flat, { ...dense, weight }] }), /weights: 100352 numbers of int8 wanted, 100349 bytes/);
  assert.throws(() => m.network({ size: [2, 2], layers: [{ kind: "lstm" }] }), /layers: "lstm" came; wanted one of dense/);
  assert.throws(() => m.unpack({ dtype: "int4", shape: [1], data: "" }), /int8 or float16 wanted, int4 came/);
  assert.throws(() => nets["page-fc"](new Float64Array(5)), /picture: 784 numbers wanted, 5 came/);
});

// ---------------------------------------------------------------- strokes
const TWO = drawn.find((d) => d.digit === 2).strokes;
const extent = (picture) => {
  const rows = [], columns = [];
  picture.forEach((v, k) => { if (v > 0) { rows.push(Math.floor(k / 28)); columns.push(k % 28); } });
  return [Math.max(...columns) - Math.min(...columns) + 1, Math.max(...rows) - Math.min(...rows) + 1];
};

test("a drawing is laid out as MNIST's digits are, wherever and however large it was drawn", () => {
  for (const [scale, dx, dy] of [[1, 0, 0], [0.5, 0.3, 0.1], [0.9, -0.2, 0.05]]) {
    const { picture, frame, box } = m.layOut(TWO.map((s) => s.map((v, k) => v * scale + (k % 2 ? dy : dx))));
    const [w, h] = extent(picture), sum = picture.reduce((a, b) => a + b, 0);
    assert.ok(Math.max(w, h) >= 19 && Math.max(w, h) <= 21, `${w} x ${h}`);
    for (const of of [(k) => k % 28, (k) => Math.floor(k / 28)]) {
      const mean = picture.reduce((a, v, k) => a + v * of(k), 0) / sum;
      assert.ok(Math.abs(mean - 14) <= 0.51, `centre of mass ${mean}`);
    }
    assert.ok(Math.abs(frame[2] - frame[0] - (frame[3] - frame[1])) < 1e-9 && box[2] - box[0] < frame[2] - frame[0]);
  }
});

test("no ink gives null, a dot stays a dot, and one long line fits", () => {
  assert.equal(m.layOut([]), null);
  assert.equal(m.layOut([[]]), null);
  assert.ok(Math.max(...extent(m.layOut([[0.4, 0.6]]).picture)) <= 4);
  for (const line of [[[0, 0.5, 0.99, 0.5]], [[0.5, 0, 0.5, 0.99]]]) {
    const { picture } = m.layOut(line);
    assert.ok(Math.max(...extent(picture)) <= 21 && Math.max(...picture) === 1);
  }
});

test("moved as asked: identity is exact, a turn turns left, a shift goes right, a tilt narrows the bottom", () => {
  const { picture } = m.layOut(TWO);
  assert.ok(worst(m.moved(picture, m.reading(UPRIGHT)), picture) < 1e-6);
  const dot = new Float32Array(784);
  dot[14 * 28 + 22] = 1; // right of the centre
  const at = (parts) => { const seen = m.moved(dot, m.reading({ ...UPRIGHT, ...parts })), k = seen.indexOf(Math.max(...seen)); return [k % 28, Math.floor(k / 28)]; };
  assert.deepEqual(at({ rotate: 90 }), [14, 5]); // counter-clockwise: up
  assert.deepEqual(at({ shiftX: 4 / 14 }), [26, 14]);
  const line = m.moved(new Float32Array(784).fill(0).map((_, k) => +(k % 28 > 8 && k % 28 < 19 && k > 112 && k < 672)), m.reading({ ...UPRIGHT, tilt: 40 }));
  const width = (row) => line.slice(28 * row, 28 * row + 28).reduce((a, b) => a + b, 0);
  assert.ok(width(8) > width(19) + 1, `${width(8)} ${width(19)}`);
  assert.ok(Array.from(m.moved(picture, m.reading({ ...UPRIGHT, tilt: 60, scale: 0.5, shiftY: 0.6 }))).every(Number.isFinite));
});

test("clutter: the same for the same number, more of it leaves the first scraps, and it stays within the picture", () => {
  const pool = [1, 2, 3].map((n) => new Float64Array(784).fill(n / 10)), blank = new Float64Array(784);
  const at = (count, which, picture = blank) => Array.from(m.cluttered(picture, pool, count, which));
  assert.equal(m.cluttered(blank, pool, 0, 3), blank);
  assert.deepEqual(at(5, 3), at(5, 3));
  assert.notDeepEqual(at(5, 3), at(5, 4));
  for (let n = 1; n < m.MOST_SCRAPS; n++) {
    const [few, more] = [at(n, 7), at(n + 1, 7)], changed = few.filter((v, k) => v !== more[k]).length;
    assert.ok(changed <= 25, `${changed} pixels of a scrap`);
  }
  assert.equal(at(1, 5).filter((v) => v > 0).length, 25);
  assert.ok(at(20, 1).filter((v) => v > 0).length > 200 && Math.max(...at(20, 1)) <= 0.3);
  assert.ok(Math.max(...at(20, 1, blank.map(() => 0.9))) === 1); // added, and clipped
  const rolls = Array.from({ length: 4000 }, m.dice(1).bind(null, 24)), counts = Array.from({ length: 24 }, (_, k) => rolls.filter((v) => v === k).length);
  assert.ok(Math.min(...counts) > 100 && Math.max(...counts) < 240, counts.join());
});

const from = (hash) => m.fromAddress(new URLSearchParams(hash.replace(/^#/, "")));
test("a view goes into the address and comes back; nonsense is left alone", () => {
  const parts = { rotate: -70, scale: 1.25, shear: 12, shiftX: -0.2, shiftY: 0.15, tilt: 20 };
  for (const view of [{ parts, sample: 7, strokes: [], clutter: 0, scattering: 0 }, { parts, sample: -1, strokes: TWO, clutter: 12, scattering: 3 }])
    assert.deepEqual(from(m.toAddress(view)), view);
  for (const bad of ["", "#start", "#theta=1,2", "#theta=1,0,0,0,x,0", "#theta=0,0,0,0,0,0", "#theta=1,0,0,0,1,0&digit=12", "#theta=1,0,0,0,1,0&tilt=89", "#theta=1,0,0,0,1,0&clutter=21", "#theta=1,0,0,0,1,0&clutter=x", "#theta=1,0,0,0,1,0&clutter=2&scattering=-1"])
    assert.equal(from(bad), null, bad);
  assert.deepEqual(from("#theta=1,0,0,0,1,0&ink=<script>").strokes, []);
});

test("one self-contained module, with render and nothing imported", () => {
  assert.equal(typeof m.default.render, "function");
  assert.doesNotMatch(source, /^\s*import\s|\bimport\(|\brequire\(|\bfetch\(/m);
});
