"use strict";
// In optuna-dashboard's pages the way home is to our list of studies: its own would offer what cannot be done.
document.addEventListener(
  "click",
  (event) => {
    const link = event.target.closest?.("a[href]");
    if (!link || link.origin !== location.origin || !/^\/dashboard\/?$/.test(link.pathname)) return;
    event.preventDefault();
    event.stopPropagation();
    location.assign("/");
  },
  true,
);
