// A formula that scrolls sideways takes the keyboard's focus, as wide code does by the theme; one that fits does not.
(() => {
  const formulas = document.querySelectorAll("span.math, mjx-container[display]");
  const fit = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  const look = () => {
    fit.disconnect();
    formulas.forEach((formula) => fit.observe(formula));
  };
  look();
  // A font that comes late can widen what a box holds, and not the box.
  document.fonts.addEventListener("loadingdone", look);
})();
