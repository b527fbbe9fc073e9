/* What the scripts of interactive figures build their pages from: elements, numbers, sliders, and words to be spoken. */
(() => {
  "use strict";

  const append = (node, attributes, children) => {
    for (const [name, text] of Object.entries(attributes)) if (text !== false) node.setAttribute(name, text);
    node.append(...children);
    return node;
  };
  const html = (tag, attributes = {}, ...children) => append(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) =>
    append(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  const set = (node, attributes) => append(node, attributes, []);
  const it = text => html("i", {}, text);

  const print = (number, digits = 3) => {
    if (number === -Infinity) return "\u2212\u221e";
    const text = number.toFixed(digits);
    return +text === 0 ? (0).toFixed(digits) : text.replace("-", "\u2212");
  };

  /* A labelled slider: three cells of .interactive-sliders, and `show(value)`. `label` is text or a list of nodes. */
  const slider = ({label, digits = 2, ...attributes}, moved) => {
    const input = html("input", {type: "range", autocomplete: "off", ...attributes});
    const shown = html("span", {class: "interactive-setting", "aria-hidden": "true"});
    input.addEventListener("input", () => moved(input.valueAsNumber));
    const show = value => {
      input.value = value;
      shown.textContent = print(value, digits);
    };
    return {cells: [html("label", {for: input.id}, ...[label].flat()), input, shown], input, show};
  };

  /* A number with its name, for a dl.interactive-numbers; `show(value, text)`, and the `text()` that is shown. */
  const number = (name, ...title) => {
    const data = html("data", {"data-number": name});
    const show = (value, text = print(value)) => {
      data.value = value;
      data.textContent = text;
    };
    return {item: html("div", {}, html("dt", {}, ...title), html("dd", {}, data)), show, text: () => data.textContent};
  };

  /* `node` is what screen readers listen to, and `say(words)` has it say `words()` once the reader pauses. */
  const speaker = () => {
    const node = html("p", {class: "interactive-hidden", role: "status"});
    let wait = null;
    const say = words => {
      clearTimeout(wait);
      wait = setTimeout(() => { node.textContent = words(); }, 700);
    };
    return {node, say};
  };

  window.coursekitParts = {html, it, number, print, set, slider, speaker, svg};
})();
