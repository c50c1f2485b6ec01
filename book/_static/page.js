/* What the theme's buttons do: as handlers in the page they would need a policy that allows those. */
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
})();
