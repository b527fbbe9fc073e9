// A long page shows its beginning first: the rest is laid out section by section, a frame each, once it has loaded.
// `hurried` was set in the head; a reader who does anything before the end gets the rest at once.
(() => {
  const page = document.documentElement;
  const waiting = [...document.querySelectorAll(".bd-article > section section")];
  const finish = () => page.classList.remove("hurried");
  const layOut = () => {
    waiting.shift()?.classList.add("laid-out");
    if (waiting.length && page.classList.contains("hurried")) requestAnimationFrame(layOut);
    else finish();
  };
  if (!page.classList.contains("hurried")) return;
  for (const deed of ["click", "keydown", "wheel", "touchstart"])
    addEventListener(deed, finish, { capture: true, once: true, passive: true });
  addEventListener("load", () => requestAnimationFrame(layOut));
})();
