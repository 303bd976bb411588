"use strict";
// Draws the figures in the colours of the screen, and in light ones on paper.
(() => {
  const { figures, templates } = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paper = 680; // what a printed page is wide, in pixels
  const config = {
    responsive: true, displaylogo: false, showTips: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
  };
  const draw = (mode, width) => {
    for (const [name, { data, layout }] of Object.entries(figures)) {
      const changed = { ...layout, template: templates[mode], ...(width ? { width } : {}) };
      Plotly.react(`figure-${name}`, structuredClone(data), changed, { ...config, responsive: !width });
    }
  };
  const onScreen = () => draw(dark.matches ? "dark" : "light");
  onScreen();
  dark.addEventListener("change", onScreen);
  addEventListener("beforeprint", () => draw("light", paper));
  addEventListener("afterprint", onScreen);
})();
