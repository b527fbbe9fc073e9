// A long page shows its beginning first: a second after it has loaded, the rest is laid out, a piece a frame.
// `hurried` was set in the head; a reader who does anything before the end gets the rest at once.
(() => {
  const ELEMENTS_A_FRAME = 400;
  const page = document.documentElement;
  const waiting = [...document.querySelectorAll(".bd-article > section section > :not(section)")];
  // Whoever has measured what was not there yet, as the theme to find what scrolls, measures again.
  const tell = () => dispatchEvent(new Event("resize"));
  const layOut = () => {
    if (!waiting.length) return;
    for (let elements = 0; waiting.length && elements < ELEMENTS_A_FRAME; ) {
      const block = waiting.shift();
      block.classList.add("laid-out");
      elements += block.getElementsByTagName("*").length;
    }
    if (waiting.length) requestAnimationFrame(layOut);
    else tell();
  };
  const hurry = () => {
    if (!waiting.length) return;
    waiting.length = 0;
    page.classList.remove("hurried");
    tell();
  };
  if (!page.classList.contains("hurried")) return;
  for (const deed of ["click", "keydown", "wheel", "touchstart"])
    addEventListener(deed, hurry, { capture: true, once: true, passive: true });
  addEventListener("load", () => setTimeout(layOut, 1000));
})();
