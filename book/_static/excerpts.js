/* The search page gets its index, the largest file of the book's scripts, once there is a question.
 *
 * From disk a page may not fetch another: the search page takes the words of its finds from a script
 * that was written beside each page (tools/book/weight.py). Over http it fetches as ever. */
(function () {
  "use strict";

  const ROOT = document.documentElement.dataset.content_root;
  const loaded = new Map();

  function load(name) {
    if (!loaded.has(name)) {
      loaded.set(name, new Promise((done, failed) => {
        const script = document.createElement("script");
        script.src = `${ROOT}_static/excerpts/${name.replaceAll("/", "--")}.js`;
        script.onload = () => done({ text: async () => globalThis.excerpts[name] });
        script.onerror = () => failed(new Error(`no words of ${name} beside its page`));
        document.head.append(script);
      }));
    }
    return loaded.get(name);
  }

  // A name with dots, as modules have, is no selector as it stands.
  const plain = Search.htmlToText;
  Search.htmlToText = (text, anchor) => plain(text, anchor && `#${CSS.escape(anchor.slice(1))}`);

  if (new URLSearchParams(location.search).get("q")) {
    addEventListener("DOMContentLoaded", () => Search.loadIndex(`${ROOT}searchindex.js`));
  }

  if (location.protocol === "file:") {
    globalThis.fetch = (url) => load(decodeURI(url).slice(ROOT.length).replace(/\.html$/, ""));
  }
})();
