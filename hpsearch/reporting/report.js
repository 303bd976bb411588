"use strict";
// Draws the figures in the colours of the screen, and in light ones on paper.
(() => {
  const { figures, templates, swaps } = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // What is drawn on paper, where it is shown at four fifths of its size: as wide as a page, or beside its words; lower
  // than on a screen, and at most so high that with its headings it fits on two fifths of a page: where it does not fit
  // any more, no more than that stays empty.
  const paper = { wide: 850, beside: 500, height: 0.8, most: 380 };
  const config = { displayModeBar: false, showTips: false };
  const mouse = matchMedia("(pointer: fine)").matches; // a finger that scrolls past a figure shall not zoom it
  const inColours = (data, mode) => {
    let text = JSON.stringify(data);
    if (mode === "dark") for (const [from, to] of swaps) text = text.replaceAll(from, to);
    return JSON.parse(text);
  };
  const draw = (mode, printed) => {
    for (const [name, { data, layout }] of Object.entries(figures)) {
      const holder = document.getElementById(`figure-${name}`);
      const changed = { ...inColours(layout, mode), template: templates[mode], dragmode: mouse ? "zoom" : false };
      const width = printed && (holder.closest("figure").matches(".wide") ? paper.wide : paper.beside);
      if (width) Object.assign(changed, { width, height: Math.min(paper.height * layout.height, paper.most) });
      // A map with equal scales is no taller than it is wide, plus its legend and axis.
      if (layout.yaxis?.scaleanchor) changed.height = Math.min(changed.height, (width || holder.clientWidth) + 70);
      holder.style.height = `${changed.height}px`;
      Plotly.react(holder, inColours(data, mode), changed, { ...config, responsive: !width });
    }
  };
  const onScreen = () => draw(dark.matches ? "dark" : "light");
  onScreen();
  dark.addEventListener("change", onScreen);
  addEventListener("beforeprint", () => draw("light", true));
  addEventListener("afterprint", onScreen);
})();
