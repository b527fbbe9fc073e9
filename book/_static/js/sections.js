// A long page shows its beginning first: a second after it has loaded, the rest is laid out, a few
// formulas a frame.
// `hurried` was set in the head; a reader who does anything before the end gets the rest at once.
(() => {
  const FORMULAS_A_FRAME = 6;
  const page = document.documentElement;
  const hurried = () => page.classList.contains("hurried");
  const waiting = [...document.querySelectorAll(".bd-article > section section > :not(section)")];
  const finish = () => {
    if (!hurried()) return;
    page.classList.remove("hurried");
    // Whoever has measured what was not there yet, as the theme to find what scrolls, measures again.
    dispatchEvent(new Event("resize"));
  };
  const layOut = () => {
    for (let formulas = 0; waiting.length && formulas < FORMULAS_A_FRAME; ) {
      const block = waiting.shift();
      block.classList.add("laid-out");
      formulas += block.getElementsByTagName("mjx-container").length;
    }
    if (!waiting.length) finish();
    else if (hurried()) requestAnimationFrame(layOut);
  };
  if (!hurried()) return;
  for (const deed of ["click", "keydown", "wheel", "touchstart"])
    addEventListener(deed, finish, { capture: true, once: true, passive: true });
  addEventListener("load", () => setTimeout(layOut, 1000));
})();
