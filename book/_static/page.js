/* What the theme's buttons do: as handlers in the page they would need a policy that allows those.
 * A page is printed as it is by day. And meanings of words: Escape puts one away, and none hangs over
 * an edge of the page. */
(function () {
  "use strict";

  const DOES = {
    print: () => window.print(),
    "full-screen": () => globalThis.toggleFullScreen(),
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-does]");
    if (button) DOES[button.dataset.does]();
  });

  // Paper is white, whatever the screen is: a page that is printed is the light one.
  const root = document.documentElement;
  const paper = matchMedia("print");
  let theme = null;
  function printed(now) {
    if (now && theme === null) {
      theme = root.dataset.theme;
      root.dataset.theme = "light";
    } else if (!now && theme !== null) {
      root.dataset.theme = theme;
      theme = null;
    }
  }
  paper.addEventListener("change", () => printed(paper.matches));
  addEventListener("beforeprint", () => printed(true));
  addEventListener("afterprint", () => printed(false));

  const explained = (event) => event.target.closest?.(".explained");
  for (const name of ["pointerover", "focusin"]) {
    document.addEventListener(name, (event) => {
      const word = explained(event);
      if (!word) return;
      const meaning = word.querySelector(".meaning");
      meaning.style.marginLeft = "0";
      const { left, right } = meaning.getBoundingClientRect();
      const room = document.documentElement.clientWidth - 8;
      meaning.style.marginLeft = `${Math.max(Math.min(0, room - right), 8 - left)}px`;
    });
  }
  for (const name of ["pointerout", "focusout"]) {
    document.addEventListener(name, (event) => explained(event)?.classList.remove("put-away"));
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const word of document.querySelectorAll(".explained:hover, .explained:focus-within")) {
      word.classList.add("put-away");
    }
  });
})();
