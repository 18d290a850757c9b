// Light or dark, before anything is painted. What the system prefers counts until somebody chooses.
"use strict";
(function () {
  let chosen = new URLSearchParams(location.search).get("theme");
  try {
    chosen = chosen || localStorage.getItem("theme");
  } catch {
    // Storage is not allowed here: the choice lasts as long as the page.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
