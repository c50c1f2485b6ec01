/* The scoreboard's chart and tables, filtered and sorted where they stand. Without this script both
 * are there in full, and the controls are not. */
(function () {
  "use strict";

  const form = document.querySelector(".board-controls");
  if (!form) return;

  const number = (text) => parseFloat(text.replaceAll(/[\s\u00a0]/g, "")); // NaN: there is none
  const heading = (element) => element.closest("section")?.querySelector("h2")?.textContent ?? "";

  /** A row of a table with the note below it: what it says, and what it is sorted by. */
  function entry(row, index, task) {
    const [, kind, published, , measured, , , parameters] = [...row.cells].map((c) => c.textContent);
    const note = row.nextElementSibling?.matches(".note") ? [row.nextElementSibling] : [];
    const theirs = number(published);
    const ours = number(measured);
    const difference = (ours - theirs) * (published.includes("error") ? -1 : 1);
    return {
      kind,
      parts: [row, ...note],
      states: [...row.cells[4].classList, Number.isNaN(ours) ? "" : "measured"],
      text: `${heading(row)} ${task} ${[row, ...note].map((e) => e.textContent).join(" ")}`,
      keys: { "": -index, published: theirs, measured: ours, difference, parameters: number(parameters) },
    };
  }

  function readTable(table) {
    const wrap = table.closest(".table-wrap");
    const title = wrap.previousElementSibling?.matches(".task") ? wrap.previousElementSibling : null;
    const rows = [...table.tBodies[0].rows].filter((row) => !row.matches(".note"));
    const entries = rows.map((row, index) => entry(row, index, title?.textContent ?? ""));
    return { body: table.tBodies[0], entries, outer: title ? [title, wrap] : [wrap] };
  }

  function readLines(list) {
    const title = list.previousElementSibling;
    const entries = [...list.children].map((line) => ({
      kind: line.querySelector("i")?.textContent ?? "as published",
      parts: [line],
      states: [...line.classList, "measured"],
      text: `${title.textContent} ${line.textContent} ${line.dataset.name}`,
    }));
    return { entries, outer: [title, list] };
  }

  const tables = [...document.querySelectorAll("table.board")].map(readTable);
  const lines = [...document.querySelectorAll(".board-chart .lines")].map(readLines);
  const sections = new Set(tables.map((table) => table.outer[0].closest("section")));
  const output = form.querySelector("output");

  /** Show what is asked for; returns how many entries of `groups` that are. */
  function filter(groups, asked) {
    let shown = 0;
    for (const { entries, outer } of groups) {
      let here = 0;
      for (const { kind, parts, states, text } of entries) {
        const wanted =
          (!asked.kind || kind === asked.kind) &&
          (!asked.state || states.includes(asked.state)) &&
          asked.words.every((word) => text.toLowerCase().includes(word));
        for (const part of parts) part.hidden = !wanted;
        here += wanted;
      }
      for (const element of outer) element.hidden = !here;
      shown += here;
    }
    return shown;
  }

  /** Highest first; what has no number comes last. */
  function sort(order) {
    const key = ({ keys }) => (Number.isNaN(keys[order]) ? -Infinity : keys[order]);
    for (const { body, entries } of tables) {
      const sorted = [...entries].sort((a, b) => (key(a) === key(b) ? 0 : key(a) < key(b) ? 1 : -1));
      body.append(...sorted.flatMap(({ parts }) => parts));
    }
  }

  function update() {
    const { find, kind, state, order } = form.elements;
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const asked = { words, kind: kind.value, state: state.value };
    const shown = filter(tables, asked);
    document.querySelector(".board-chart")?.toggleAttribute("hidden", !filter(lines, asked));
    for (const section of sections) {
      section.hidden = ![...section.querySelectorAll(".table-wrap")].some((wrap) => !wrap.hidden);
    }
    sort(order.value);
    const all = tables.reduce((sum, { entries }) => sum + entries.length, 0);
    output.textContent = `${shown} of ${all} numbers`;
  }

  form.addEventListener("input", update);
  form.addEventListener("reset", () => setTimeout(update)); // after the fields have been emptied
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  update(); // a browser may have kept what was chosen before the page was loaded again
})();
