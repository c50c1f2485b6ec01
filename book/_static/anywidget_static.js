/* Brings anywidgets alive in a page that has no kernel.
 *
 * A notebook stores the state of its widgets. Of an anywidget's its ES module and its style have
 * become files (tools/book/policy.py): a classic script leaves the module in `figureModules`, under
 * the name that the state has as `_module`. This script gives each one a small model with the
 * interface that anywidget modules are written for (get, set, on, off, save_changes) and calls
 * their render().
 *
 * Classic scripts on purpose: browsers refuse modules over file://, and a strict policy forbids
 * importing from a blob. So the pages work from a disk, a stick or a server alike.
 */
(function (root) {
  "use strict";

  const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';
  const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';

  /** A model without a kernel: Backbone's events, and nothing to synchronise with. */
  function createModel(initial) {
    const state = { ...initial };
    const listeners = new Map();
    const names = (text) => text.split(/\s+/).filter(Boolean);
    const fire = (name, ...args) => {
      for (const listener of [...(listeners.get(name) ?? [])]) listener(...args);
    };
    const model = {
      get: (key) => state[key],
      set(key, value) {
        const entries = typeof key === "object" ? Object.entries(key) : [[key, value]];
        const changed = entries.filter(([k, v]) => state[k] !== v);
        for (const [k, v] of changed) state[k] = v;
        for (const [k, v] of changed) fire(`change:${k}`, model, v);
        if (changed.length) fire("change", model);
      },
      save_changes() {}, // there is no kernel to save to
      on(events, listener) {
        for (const name of names(events)) {
          listeners.set(name, [...(listeners.get(name) ?? []), listener]);
        }
      },
      off(events, listener) {
        if (!events) return listeners.clear();
        for (const name of names(events)) {
          const left = (listeners.get(name) ?? []).filter((l) => listener && l !== listener);
          listeners.set(name, left);
        }
      },
      send() {
        throw new Error("this page has no kernel to send a message to");
      },
    };
    return model;
  }

  /** All widget models that the page stores: {id: {model_module, state, ...}}. */
  function storedModels(document) {
    const models = {};
    for (const script of document.querySelectorAll(STATE)) {
      Object.assign(models, JSON.parse(script.textContent).state);
    }
    return models;
  }

  function moduleNamed(name) {
    const found = root.figureModules?.[name];
    if (!found) throw new Error(`its module ${name} did not come`);
    return found;
  }

  function fail(document, host, error) {
    const note = document.createElement("p");
    note.className = "widget-note";
    note.textContent = `This figure did not start: ${error.message}`;
    host.append(note);
    console.error(error);
  }

  /** Mount every anywidget of the page; resolves to how many came alive. */
  async function mountAll(document, load = moduleNamed) {
    const stored = storedModels(document);
    const places = new Map(); // a model's number among those of the page: its name in the address
    const live = new Map(); // one model for each id: two views of it move together
    let alive = 0;

    async function start(id) {
      const { _module: name, ...state } = stored[id].state;
      let widget = load(name);
      if (typeof widget === "function") widget = await widget();
      const model = createModel(state);
      model.place = places.get(id); // a figure that has one may write the page's address
      await widget.initialize?.({ model });
      return { widget, model };
    }

    for (const script of document.querySelectorAll(VIEW)) {
      const id = JSON.parse(script.textContent).model_id;
      if (stored[id]?.model_module !== "anywidget") continue;
      const host = document.createElement("div");
      host.className = "anywidget-static";
      script.after(host);
      try {
        places.set(id, places.get(id) ?? places.size + 1);
        if (!live.has(id)) live.set(id, start(id));
        const { widget, model } = await live.get(id);
        await widget.render?.({ model, el: host });
        alive += 1;
      } catch (error) {
        fail(document, host, error);
      }
    }
    return alive;
  }

  if (typeof module !== "undefined") {
    module.exports = { createModel, storedModels, mountAll };
  } else if (root.document.readyState === "loading") {
    root.document.addEventListener("DOMContentLoaded", () => mountAll(root.document));
  } else {
    mountAll(root.document);
  }
})(globalThis);
