"use strict";
// Keeps the live part of a page up to date, without touching the rest of it.
(() => {
  const live = document.getElementById("live");
  if (!live) return;
  const seconds = Number(live.dataset.seconds);
  let shown = null; // as the server wrote it: a browser may write the same differently
  const look = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(live.dataset.from, { signal: AbortSignal.timeout(10 * 1000 * seconds) });
      if (!answer.ok) throw new Error(answer.statusText);
      const news = await answer.text();
      if (news !== shown) {
        const focused = document.activeElement?.closest("#live a")?.getAttribute("href");
        live.innerHTML = shown = news;
        if (focused) [...live.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused)?.focus();
      }
      live.classList.remove("lost");
    } catch {
      live.classList.add("lost");
    }
  };
  const next = () => setTimeout(() => look().finally(next), 1000 * seconds);
  next();
  document.addEventListener("visibilitychange", look);
})();
