/* What scrolls sideways on this screen can be reached and scrolled by keys; what does not is no stop. */
(function () {
  "use strict";

  const MAY_SCROLL = ".cell_output, pre, table, .table-wrap, mjx-container, .math";

  function mark() {
    for (const element of document.querySelectorAll(MAY_SCROLL)) {
      const hidden = getComputedStyle(element).overflowX;
      const scrolls = element.scrollWidth > element.clientWidth && (hidden === "auto" || hidden === "scroll");
      if (scrolls) element.tabIndex = 0;
      else element.removeAttribute("tabindex");
    }
  }

  addEventListener("load", mark);
  addEventListener("resize", mark);
})();
