// A formula that scrolls sideways takes the keyboard's focus, as wide code does by the theme; one that fits does not.
(() => {
  const fit = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  document.querySelectorAll("span.math, mjx-container[display]").forEach((formula) => fit.observe(formula));
})();
