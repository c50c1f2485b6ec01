/* What scrolls sideways on this screen can be reached and scrolled by keys; what does not is no stop.
 * A picture that goes on beyond an edge says at which (course.css fades it there). */
(function () {
  "use strict";

  const MAY_SCROLL = ".cell_output, pre, table, .table-wrap, mjx-container, .math, .scrolls";

  function edges(element) {
    const left = element.scrollLeft > 1;
    const right = element.scrollLeft + element.clientWidth < element.scrollWidth - 1;
    if (left || right) element.dataset.more = left && right ? "both" : left ? "left" : "right";
    else delete element.dataset.more;
  }

  function mark() {
    for (const element of document.querySelectorAll(MAY_SCROLL)) {
      const hidden = getComputedStyle(element).overflowX;
      const scrolls = element.scrollWidth > element.clientWidth && (hidden === "auto" || hidden === "scroll");
      if (scrolls) element.tabIndex = 0;
      else element.removeAttribute("tabindex");
      if (element.matches(".scrolls")) edges(element);
    }
  }

  for (const element of document.querySelectorAll(".scrolls")) {
    element.addEventListener("scroll", () => edges(element), { passive: true });
  }
  addEventListener("load", mark);
  addEventListener("resize", mark);
})();
