// Runs before anything is painted: light or dark. What the system prefers counts until somebody chooses.
// What draws comes after the first picture, since a browser paints nothing while it reads programs.
"use strict";
(function () {
  let chosen = new URLSearchParams(location.search).get("theme");
  try {
    chosen = chosen || localStorage.getItem("theme");
  } catch {
    // Storage is not allowed here: the choice lasts as long as the page.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;

  function load() {
    for (const [src, type] of [["/uplot.js", "text/javascript"], ["/main.js", "module"]]) {
      const script = document.createElement("script");
      // In this order.
      Object.assign(script, { src, type, async: false });
      document.head.append(script);
    }
  }
  // When all of the page is there, and its first frame is painted; nobody paints one that is not seen.
  const begin = () => (document.hidden ? load() : requestAnimationFrame(() => setTimeout(load)));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
