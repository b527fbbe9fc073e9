// A long page shows its beginning first: a second after it has loaded, the rest is laid out, a few
// formulas a frame.
// `hurried` was set in the head; a reader who does anything before the end gets the rest at once.
(() => {
  const FORMULAS_A_FRAME = 6;
  const page = document.documentElement;
  const waiting = [...document.querySelectorAll(".bd-article > section section > :not(section)")];
  const layOut = () => {
    for (let formulas = 0; waiting.length && formulas < FORMULAS_A_FRAME; ) {
      const block = waiting.shift();
      block.classList.add("laid-out");
      formulas += block.getElementsByTagName("mjx-container").length;
    }
    if (waiting.length && page.classList.contains("hurried")) requestAnimationFrame(layOut);
  };
  if (!page.classList.contains("hurried")) return;
  for (const deed of ["click", "keydown", "wheel", "touchstart"])
    addEventListener(deed, () => page.classList.remove("hurried"), { capture: true, once: true, passive: true });
  addEventListener("load", () => setTimeout(layOut, 1000));
})();
