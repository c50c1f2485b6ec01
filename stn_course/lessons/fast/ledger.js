// Byte ledger: which arrays a warp reads and writes, and how many bytes that is.
//
// Python puts the pure functions, the key guard and the parts of a figure of warp_playground.js before
// this text, and hands over the formulas: `rows` of each way, and how many numbers an array has.

// ---------------------------------------------------------------- pure functions

const FLOAT = 4; // bytes of a number

/** Bytes of an array of `numbers` (see ARRAYS in ledger.py) for one image. */
export function sizeOf([ofImage, ofOutput, ofPlace], channels, side, outSide) {
  const places = outSide ** 2;
  return FLOAT * (channels * (ofImage * side ** 2 + ofOutput * places) + ofPlace * places);
}

/** The lines of one way in one pass, each with its bytes, and their sum. */
export function account({ rows, arrays }, way, { direction, channels, side, out_side }) {
  const lines = rows[way][direction].map(([operator, does, array]) => ({ operator, does, array, bytes: sizeOf(arrays[array], channels, side, out_side) }));
  return { lines, total: lines.reduce((sum, line) => sum + line.bytes, 0) };
}

/** Bytes as a reader likes them: three figures, and B, kB, MB or GB. */
export function told(bytes) {
  const power = bytes < 1000 ? 0 : bytes < 999.5e3 ? 1 : bytes < 999.5e6 ? 2 : 3, value = bytes / 1000 ** power;
  return `${power && value < 100 ? Number(value.toPrecision(3)) : Math.round(value)} ${["B", "kB", "MB", "GB"][power]}`;
}

// ---------------------------------------------------------------- the figure

const LEDGER_KEYS = ["direction", "side", "out_side", "channels"];
const LEDGER_GIVEN = ["rows", "arrays", "coordinates", "sides", "counts"];

/** Builds the figure in `el`; `given` holds the values named in LEDGER_KEYS and LEDGER_GIVEN. */
export function mount(el, given, onChange = () => {}) {
  const state = { ...given }, ways = Object.keys(state.rows);
  const change = (patch) => { Object.assign(state, patch); draw(); onChange(patch); };
  const direction = choice("Pass", { forward: "forward", backward: "backward, to θ" }, (key) => change({ direction: key }));
  const sliders = [["image", "side", state.sides], ["output", "out_side", state.sides], ["channels", "channels", state.counts]].map(([label, key, list]) => {
    const made = stepper(label, list.length - 1, (v) => change({ [key]: list[v] }));
    return { element: made.element, draw: () => made.set(list.indexOf(state[key]), key === "channels" ? String(state[key]) : `${state[key]} × ${state[key]}`) };
  });
  const groups = ways.map(() => node("tbody")); // of one table: bars of both ways have one scale
  const say = node("p", { class: "wp-say", "aria-live": "polite" });
  const root = node("div", { class: "warp-playground byte-ledger" },
    node("div", { class: "wp-bar" }, direction.element),
    node("div", { class: "wp-sliders" }, ...sliders.map((s) => s.element)), say, node("table", { class: "bl-table" }, ...groups));
  guardKeys(root);
  el.style.minWidth = "min(320px, 100%)"; // beside another widget it would be given no room
  el.replaceChildren(root);

  function row({ operator, does, array, bytes }, above, longest) {
    const bar = node("i", { class: `bl-bar${state.coordinates.includes(array) ? " bl-coordinates" : ""}`, "aria-hidden": "true" });
    bar.style.width = `${(100 * bytes) / longest}%`;
    return node("tr", above === operator ? {} : { class: "bl-first" }, node("th", { scope: "row" }, above === operator ? "" : operator),
      node("td", {}, `${does} ${array}`), node("td", { class: "bl-long" }, bar), node("td", { class: "bl-bytes" }, told(bytes)));
  }
  function draw() {
    const found = ways.map((way) => account(state, way, state)), longest = Math.max(...found.flatMap(({ lines }) => lines.map((l) => l.bytes)));
    groups.forEach((group, k) => {
      const { lines, total } = found[k], title = node("th", { scope: "rowgroup", colspan: 4 }, `${ways[k]}: ${told(total)}`);
      group.replaceChildren(node("tr", { class: "bl-way" }, title), ...lines.map((line, n) => row(line, n && lines[n - 1].operator, longest)));
    });
    direction.set(state.direction);
    sliders.forEach((s) => s.draw());
    const [pair, one] = found, spare = pair.lines.filter((l) => state.coordinates.includes(l.array)).reduce((sum, l) => sum + l.bytes, 0);
    say.textContent = `${ways[0]} move ${(pair.total / one.total).toFixed(1)} times the bytes of ${ways[1]}; ${spare < pair.total / 100 ? "less than 1" : Math.round((100 * spare) / pair.total)} % of theirs are coordinates (hatched).`;
  }
  draw();

  return { state, update: taking(state, draw), destroy: () => root.remove() };
}

const ADDRESS = keyed({
  direction: (text) => readOne(text, ["forward", "backward"]), channels: (text, { counts }) => readOne(text, counts),
  side: (text, { sides }) => readOne(text, sides), out_side: (text, { sides }) => readOne(text, sides),
});

/** The widget's view. */
const render = (page) => follow(page, LEDGER_KEYS, LEDGER_GIVEN, mount, ADDRESS);

export default { render };
