// node --test tests/js/warp_playground.test.mjs
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

// The module has no package.json to say that it is a module, so it is read as the book reads it.
const source = readFileSync(new URL("../../stn_course/lessons/static/warp_playground.js", import.meta.url), "utf8");
const wp = await import(`data:text/javascript;base64,${Buffer.from(source).toString("base64")}`);
const golden = JSON.parse(readFileSync(new URL("../sampling/golden/sampler.json", import.meta.url)));

const [B, C, h, w] = golden.shapes.images;
const [, , H, W] = golden.shapes.output;
const CONTROL = [3, 3];
const part = (values, i, n) => values.slice(i * (values.length / n), (i + 1) * (values.length / n));
const channel = (values, b, c) => part(part(values, b, B), c, C);
const worst = (a, b) => Math.max(...Array.from(a, (v, k) => Math.abs(v - b[k])));
const close = (a, b, tolerance) => {
  assert.equal(a.length, b.length);
  assert.ok(worst(a, b) <= tolerance, `largest difference ${worst(a, b)}`);
};

function gridOf(kind, params, alignCorners) {
  if (kind === "affine") return wp.affineGrid(params, [H, W], alignCorners);
  if (kind === "homography") return wp.homographyGrid(params, [H, W], alignCorners);
  return wp.tpsGrid(params, CONTROL, [H, W], alignCorners);
}

const difference = { grid: 0, output: 0, grad_images: 0, grad_params: 0 };
for (const g of golden.cases) {
  test(`golden: ${g.name}`, () => {
    const n = g.params.length / B;
    for (let b = 0; b < B; b++) {
      const params = part(g.params, b, B), grid = gridOf(g.kind, params, g.align_corners);
      const note = (name, got, want, tolerance) => {
        close(got, want, tolerance);
        difference[name] = Math.max(difference[name], worst(got, want));
      };
      note("grid", grid, part(g.grid, b, B), 1e-12);
      const options = (c) => ({ padding: g.padding, alignCorners: g.align_corners, fill: golden.fill[b * C + c] });
      const sampled = (p) => Array.from({ length: C }, (_, c) =>
        wp.bilinearSample(channel(golden.images, b, c), [h, w], gridOf(g.kind, p, g.align_corners), options(c)));
      const loss = (p) => sampled(p).reduce((sum, out, c) =>
        sum + out.reduce((s, v, k) => s + v * channel(golden.upstream, b, c)[k], 0), 0);
      for (let c = 0; c < C; c++) {
        note("output", sampled(params)[c], channel(g.output, b, c), 1e-12);
        // the output is linear in the image: one unit picture a pixel gives the gradient
        const up = channel(golden.upstream, b, c), gradient = [];
        for (let q = 0; q < h * w; q++) {
          const unit = Array.from({ length: h * w }, (_, i) => +(i === q));
          const out = wp.bilinearSample(unit, [h, w], grid, { ...options(c), fill: 0 });
          gradient.push(out.reduce((s, v, k) => s + v * up[k], 0));
        }
        note("grad_images", gradient, channel(g.grad_images, b, c), 1e-12);
      }
      const e = 1e-6, slopes = Array.from({ length: n }, (_, k) => {
        const moved = (d) => loss(params.map((v, i) => (i === k ? v + d : v)));
        return (moved(e) - moved(-e)) / (2 * e); // central difference
      });
      note("grad_params", slopes, part(g.grad_params, b, B), 1e-8);
    }
  });
}
test.after(() => console.log("largest difference from golden:", difference));

test("every kind, padding and flag is in the golden file", () => {
  assert.equal(new Set(golden.cases.map((g) => g.name)).size, 18);
});

const image = Array.from({ length: 20 }, (_, k) => (k * 37) % 101); // 4 x 5

test("identity gives the picture back, in every mode and padding", () => {
  const grids = [wp.affineGrid([1, 0, 0, 0, 1, 0], [4, 5]), wp.homographyGrid([1, 0, 0, 0, 1, 0, 0, 0, 1], [4, 5]),
    wp.tpsGrid(new Array(32).fill(0), [4, 4], [4, 5])];
  for (const grid of grids)
    for (const padding of ["background", "zeros", "border"])
      close(wp.bilinearSample(image, [4, 5], grid, { padding }), image, 1e-12);
});

test("a shift by one whole pixel is exact, x first", () => {
  const grid = wp.affineGrid([1, 0, 2 / 5, 0, 1, 0], [4, 5]);
  const out = wp.bilinearSample(image, [4, 5], grid, { padding: "zeros" });
  close(out, image.map((_, k) => (k % 5 === 4 ? 0 : image[k + 1])), 1e-12);
});

test("a constant picture stays constant under background padding", () => {
  const out = wp.bilinearSample(new Array(20).fill(7), [4, 5], wp.affineGrid([3, 1, 0.4, -2, 2, 1], [6, 3]));
  close(out, new Array(18).fill(7), 1e-12);
});

test("the background is the lower median of the border", () => {
  assert.equal(wp.borderMedian([1, 2, 3, 8, 100, 4, 7, 6, 5], [3, 3]), 4);
  assert.equal(wp.borderMedian([4, 1, 3, 2], [2, 2]), 2);
});

test("a homography from corners takes the corners there", () => {
  const corners = [-0.9, -0.7, 0.8, -1.1, 1.2, 0.9, -0.6, 0.5];
  const H9 = wp.homographyFromCorners(corners);
  assert.equal(H9[8], 1);
  close(wp.applyHomography(H9, wp.CORNERS), corners, 1e-12);
  close(wp.homographyFromCorners([...wp.CORNERS]), [1, 0, 0, 0, 1, 0, 0, 0, 1], 1e-12);
});

test("corners that fold are refused", () => {
  for (const bad of [[-1, -1, 1, -1, -0.5, -0.5, -1, 1], [1, -1, -1, -1, 1, 1, -1, 1], [0, 0, 0, 0, 0, 0, 0, 0]]) {
    assert.equal(wp.isConvex(bad), false);
    assert.throws(() => wp.homographyFromCorners(bad), /corners.*convex/);
  }
});

test("a corner goes towards its aim as far as the four stay convex", () => {
  const square = [...wp.CORNERS];
  assert.deepEqual(wp.towards(square, 2, [0.5, 0.25]), [-1, -1, 1, -1, 0.5, 0.25, -1, 1]);
  const stopped = wp.towards(square, 2, [-3, -3], 0.02); // across the diagonal from (1, -1) to (-1, 1)
  assert.ok(wp.isConvex(stopped) && stopped[4] > 0 && stopped[4] < 0.05 && stopped[4] === stopped[5]);
  assert.deepEqual([...stopped.slice(0, 4), ...stopped.slice(6)], [-1, -1, 1, -1, -1, 1]);
  assert.deepEqual(wp.towards(stopped, 2, [-3, -3]), stopped);
  const small = [-0.06, -0.06, 0.06, -0.06, 0.06, 0.06, -0.06, 0.06]; // closer than the margin: not stuck
  assert.deepEqual(wp.towards(small, 0, [-0.5, -0.5]).slice(0, 2), [-0.5, -0.5]);
});

test("a spline takes control points where they were put and keeps affine maps", () => {
  const at = wp.controlPoints([4, 4]);
  const moved = Array.from(at, (_, k) => Math.sin(3 * k) / 4);
  close(wp.applyTps(moved, [4, 4], at), at.map((c, k) => c + moved[k]), 1e-12);
  const theta = [1.1, 0.2, -0.1, 0.3, 0.8, 0.05], bent = wp.applyAffine(theta, at).map((v, k) => v - at[k]);
  close(wp.tpsGrid(bent, [4, 4], [5, 7]), wp.affineGrid(theta, [5, 7]), 1e-12);
});

test("theta and its parts are one to one", () => {
  for (const theta of [[1, 0, 0, 0, 1, 0], [0.7, -0.5, 0.2, 0.4, 0.9, -0.3], [-1.2, 0.3, 0, 0.5, 0.8, 0.1]])
    close(wp.thetaFromParts(wp.partsFromTheta(theta)), theta, 1e-12);
  const given = { rotate: 35, scale: 1.4, shear: -20, shiftX: 0.3, shiftY: -0.2, aspect: 0.8 };
  const back = wp.partsFromTheta(wp.thetaFromParts(given));
  for (const key of Object.keys(given)) assert.ok(Math.abs(back[key] - given[key]) < 1e-9, key);
  const wide = wp.partsFromTheta(wp.thetaFromParts(given, [40, 100]), [40, 100]);
  for (const key of Object.keys(given)) assert.ok(Math.abs(wide[key] - given[key]) < 1e-9, key);
  close(wp.thetaFromParts({ rotate: 90, scale: 1, shear: 0, shiftX: 0, shiftY: 0 }, [40, 100]), [0, -0.4, 0, 2.5, 0, 0], 1e-12);
  assert.equal(wp.partsFromTheta([1, 2, 0, 2, 4, 0]), null);
});

test("bad input is named", () => {
  assert.throws(() => wp.affineGrid([1, 2], [4, 5]), /theta: 6 numbers wanted, 2 came/);
  assert.throws(() => wp.affineGrid([1, 0, 0, 0, 1, NaN], [4, 5]), /theta: NaN/);
  assert.throws(() => wp.tpsGrid([1], [4, 4], [4, 5]), /offsets: 32/);
  assert.throws(() => wp.bilinearSample([1, 2], [4, 5], []), /image: 20/);
  assert.throws(() => wp.bilinearSample(image, [4, 5], [], { padding: "reflect" }), /padding.*"reflect"/);
  assert.throws(() => wp.invertAffine([1, 1, 0, 1, 1, 0]), /theta.*no inverse/);
});

test("one self-contained module, with render and nothing imported", () => {
  assert.equal(typeof wp.default.render, "function");
  assert.doesNotMatch(source, /^\s*import\s|\bimport\(|\brequire\(/m);
});

test("a handle of the box goes where it is put, and leaves alone what is not its own", () => {
  const theta = [0.7, 0.2, 0.1, -0.15, 0.6, -0.05], to = [0.35, -0.8], size = [20, 28];
  const corners = (t) => wp.applyAffine(t, wp.BOX);
  for (let k = 0; k < 4; k++) {
    const found = wp.thetaByHandle(theta, k, to, size);
    close(corners(found).slice(2 * k, 2 * k + 2), to, 1e-12);
    const kept = [[0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [2, 5]][k];
    assert.deepEqual(kept.map((i) => found[i]), kept.map((i) => theta[i]));
  }
  // the corner turns and scales: angles and ratios of the box's sides stay, in pixels
  const shape = ([a, b, , d, e]) => {
    const [x, y] = [[a * 28, d * 20], [b * 28, e * 20]], dot = x[0] * y[0] + x[1] * y[1];
    return [Math.hypot(...x) / Math.hypot(...y), dot / Math.hypot(...x) / Math.hypot(...y)];
  };
  close(shape(wp.thetaByHandle(theta, 3, to, size)), shape(theta), 1e-12);
  close(wp.thetaByHandle(theta, 3, corners(theta).slice(6), size), theta, 1e-12);
  assert.throws(() => wp.thetaByHandle([0, 0, 0, 0, 0, 0], 3, to), RangeError);
});

test("four neighbours and their weights make the bilinear sample", () => {
  const image = Float64Array.from({ length: 20 }, (_, k) => (k * k) % 7), size = [4, 5];
  for (const point of [[0.13, -0.4], [-0.77, 0.62], [0, 0]]) {
    const { row, column, weights } = wp.neighbours(point, size);
    const sum = weights.reduce((s, weight, k) => s + weight * image[(row + (k >> 1)) * 5 + column + (k & 1)], 0);
    close([sum], wp.bilinearSample(image, size, point), 1e-12);
    close([weights.reduce((a, b) => a + b)], [1], 1e-12);
  }
  const { row, column, weights } = wp.neighbours([-0.8, -0.75], size); // the centre of pixel 0, 0
  close([row + weights[2] + weights[3], column + weights[1] + weights[3]], [0, 0], 1e-12);
});

test("a slider reaches as far as its value, in whole steps", () => {
  assert.deepEqual(wp.reach(0.5, -1, 1, 0.01), [-1, 1]);
  assert.deepEqual(wp.reach(-1.204, -1, 1, 0.01), [-1.21, 1]);
  assert.deepEqual(wp.reach(-1.2, -1, 1, 0.01), [-1.2, 1]);
  assert.deepEqual(wp.reach(200.5, -180, 180, 1), [-180, 201]);
});

test("the key guard marks what is focused and stops the notebook's plain keys, until it is taken back", () => {
  const heard = {}, marks = {};
  const root = {
    addEventListener: (kind, f) => (heard[kind] = f),
    removeEventListener: (kind, f) => heard[kind] === f && delete heard[kind],
  };
  const target = (inside) => ({
    closest: (selector) => (selector === ".live" && inside ? {} : null),
    setAttribute: (name, value) => (marks[name] = value),
  });
  const takeBack = wp.guardKeys(root, ".live");
  heard.focusin({ target: target(false) });
  assert.deepEqual(marks, {});
  heard.focusin({ target: target(true) });
  assert.deepEqual(marks, { "data-lm-suppress-shortcuts": "true" });
  const stopped = (key, more = {}, inside = true) => {
    let told = false;
    heard.keydown({ key, target: target(inside), stopPropagation: () => (told = true), ...more });
    return told;
  };
  for (const key of ["d", "b", "0", "ArrowLeft"]) assert.ok(stopped(key), key);
  for (const key of ["Tab", "Escape", "Enter"]) assert.ok(!stopped(key), key);
  for (const held of ["ctrlKey", "metaKey", "altKey"]) assert.ok(!stopped("s", { [held]: true }), held);
  assert.ok(!stopped("d", {}, false));
  takeBack();
  assert.deepEqual(heard, {});
});

// ---------------------------------------------------------------- what stands in an address
const said = (text) => new URLSearchParams(text);
const numbersAndNames = wp.keyed({ theta: (t) => wp.readNumbers(t, 2), mode: (t, { modes }) => wp.readOne(t, modes), step: (t) => wp.readOne(t, [0, 1, 2]) });

test("an address has what is not as the figure opened, and gives it back", () => {
  const opening = { theta: [0, 0], mode: "a", step: 0 }, now = { theta: [0.123456, -1], mode: "a", step: 2 };
  const text = numbersAndNames.write(now, opening);
  assert.equal(text, "theta=0.1235,-1&step=2");
  assert.deepEqual(numbersAndNames.read(said(text), { modes: ["a", "b"] }), { found: { theta: [0.1235, -1], step: 2 }, refused: [] });
  assert.equal(numbersAndNames.write(opening, opening), "");
});

test("what an address may not say is refused by the name of its key, and nothing else of it is kept", () => {
  for (const bad of ["theta=1", "theta=1,2,3", "theta=1,x", "theta=1,", "theta=1,Infinity", "theta=1,101", "theta=", "theta=<b>,1"])
    assert.deepEqual(numbersAndNames.read(said(bad), {}), { found: {}, refused: ["theta"] }, bad);
  for (const bad of ["mode=c", "mode=", "mode=__proto__", "mode=%3Cscript%3E"])
    assert.deepEqual(numbersAndNames.read(said(bad), { modes: ["a"] }), { found: {}, refused: ["mode"] }, bad);
  for (const bad of ["step=3", "step=-1", "step=1.5", "step=01"]) assert.deepEqual(numbersAndNames.read(said(bad), {}).refused, ["step"], bad);
  assert.deepEqual(numbersAndNames.read(said("__proto__=1&constructor=2&other=3"), {}), { found: {}, refused: [] });
});
