import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";

const require = createRequire(import.meta.url);
const { createModel, storedModels, mountAll } = require("../../book/_static/anywidget_static.js");

/** As much of a document as the loader touches. */
function fakePage(models, views) {
  const element = (tag) => ({
    tag,
    children: [],
    textContent: "",
    append(child) {
      this.children.push(child);
    },
  });
  const scripts = views.map((id) => ({
    textContent: JSON.stringify({ model_id: id }),
    after(host) {
      this.host = host;
    },
  }));
  const state = { textContent: JSON.stringify({ state: models }) };
  return {
    scripts,
    createElement: element,
    querySelectorAll: (selector) => (selector.includes("widget-state") ? [state] : scripts),
  };
}

const widget = (state) => ({ model_module: "anywidget", state });
const counter = {
  render({ model, el }) {
    const show = () => (el.textContent = String(model.get("value")));
    model.on("change:value", show);
    show();
    el.press = () => model.set("value", model.get("value") + 1);
  },
};

test("set fires once for each changed key, then change, and not when nothing changed", () => {
  const model = createModel({ a: 1, b: 2 });
  const seen = [];
  model.on("change:a change:b", (_, value) => seen.push(value));
  model.on("change", () => seen.push("change"));
  model.set({ a: 10, b: 20 });
  model.set("a", 10);
  assert.deepEqual(seen, [10, 20, "change"]);
});

test("listeners see the whole new state, whichever key they listen to", () => {
  const model = createModel({ a: 1, b: 2 });
  model.on("change:a", () => assert.equal(model.get("b"), 20));
  model.set({ a: 10, b: 20 });
});

test("off takes one listener, one event or all", () => {
  const model = createModel({ a: 0 });
  const seen = [];
  const first = () => seen.push("first");
  const second = () => seen.push("second");
  model.on("change:a", first);
  model.on("change:a", second);
  model.off("change:a", first);
  model.set("a", 1);
  model.off("change:a");
  model.set("a", 2);
  model.on("change:a", first);
  model.off();
  model.set("a", 3);
  assert.deepEqual(seen, ["second"]);
});

test("the model does not share state with what it was made from, and refuses to send", () => {
  const stored = { a: 1 };
  createModel(stored).set("a", 2);
  assert.equal(stored.a, 1);
  assert.throws(() => createModel({}).send({}), /no kernel/);
});

test("anywidgets are mounted after their place, other widgets are left alone", async () => {
  const page = fakePage(
    {
      one: widget({ _module: "m", value: 4 }),
      slider: { model_module: "@jupyter-widgets/controls", state: {} },
    },
    ["one", "slider", "missing"],
  );
  assert.deepEqual(Object.keys(storedModels(page)), ["one", "slider"]);
  const alive = await mountAll(page, () => counter);
  assert.equal(alive, 1);
  assert.equal(page.scripts[0].host.textContent, "4");
  assert.equal(page.scripts[1].host, undefined);
});

test("two views of one model move together", async () => {
  const page = fakePage({ one: widget({ _module: "m", value: 0 }) }, ["one", "one"]);
  await mountAll(page, () => counter);
  page.scripts[0].host.press();
  assert.equal(page.scripts[1].host.textContent, "1");
});

test("modules are those that the page's scripts left; one that did not come is told", async (t) => {
  const logged = t.mock.method(console, "error", () => {});
  globalThis.figureModules = { m: counter };
  const page = fakePage({ a: widget({ _module: "m", value: 3 }), b: widget({ _module: "n" }) }, ["a", "b"]);
  assert.equal(await mountAll(page), 1);
  assert.equal(page.scripts[0].host.textContent, "3");
  assert.match(page.scripts[1].host.children[0].textContent, /module n did not come/);
  assert.equal(logged.mock.callCount(), 1);
});

test("two widgets with the same module keep their own state", async () => {
  const same = { _module: "m" };
  const page = fakePage(
    { a: widget({ ...same, value: 1 }), b: widget({ ...same, value: 5 }) },
    ["a", "b"],
  );
  await mountAll(page, () => () => counter);
  page.scripts[0].host.press();
  assert.equal(page.scripts[0].host.textContent, "2");
  assert.equal(page.scripts[1].host.textContent, "5");
});

test("initialize runs before render, once", async () => {
  const order = [];
  const page = fakePage({ one: widget({ _module: "m" }) }, ["one", "one"]);
  const noting = { initialize: () => order.push("init"), render: () => order.push("render") };
  await mountAll(page, () => noting);
  assert.deepEqual(order, ["init", "render", "render"]);
});

test("each figure gets its number in the page, and two views of one model the same", async () => {
  const page = fakePage({ a: widget({ _module: "m" }), b: widget({ _module: "m" }) }, ["a", "b", "a"]), places = [];
  await mountAll(page, () => ({ render: ({ model }) => places.push(model.place) }));
  assert.deepEqual(places, [1, 2, 1]);
});

test("a widget that breaks says so in its place and the next one still starts", async (t) => {
  const logged = t.mock.method(console, "error", () => {});
  const page = fakePage(
    { bad: widget({ _module: "bad" }), good: widget({ _module: "good", value: 7 }) },
    ["bad", "good"],
  );
  const broken = {
    render() {
      throw new Error("no canvas");
    },
  };
  const alive = await mountAll(page, (name) => (name === "bad" ? broken : counter));
  assert.equal(alive, 1);
  assert.match(page.scripts[0].host.children[0].textContent, /did not start: no canvas/);
  assert.equal(page.scripts[1].host.textContent, "7");
  assert.equal(logged.mock.callCount(), 1);
});
