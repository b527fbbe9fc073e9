/* The latent space of a DCGAN: walk between two random codes, and step along directions that all codes share. */
(() => {
  "use strict";

  const {html, it, number, print, slider, speaker} = window.coursekitParts;
  const {explorer, newest, paint, picture, run, titled} = window.coursekitExplorer;
  const WIDEST = 3; // of a step along a direction

  const length = z => Math.hypot(...z);
  const dot = (a, b) => a.reduce((sum, part, k) => sum + part * b[k], 0);
  const mix = (a, x, b, y) => a.map((part, k) => x * part + y * b[k]);
  const angle = (a, b) => Math.acos(Math.min(1, Math.max(-1, dot(a, b) / (length(a) * length(b)))));

  /* The two paths of thm-interpolation-norm, from a at t = 0 to b at t = 1. */
  const PATHS = {
    arc: (a, b, t) => {
      const between = angle(a, b), far = (1 - t) * length(a) + t * length(b);
      if (Math.sin(between) < 1e-6) return PATHS.line(a, b, t);
      const [x, y] = [Math.sin((1 - t) * between), Math.sin(t * between)].map(part => (far * part) / Math.sin(between));
      return mix(a, x / length(a), b, y / length(b));
    },
    line: (a, b, t) => mix(a, 1 - t, b, t),
  };

  /* A draw from N(0, 1), by Box and Muller. */
  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

  /* data: `side` of a picture; `ends`, two codes; `directions` of length 1. */
  const build = async (app, {sessions: [generator], data: [{side, ends, directions}]}, id) => {
    const size = ends[0].length;
    const state = {ends, t: 0.5, path: "arc", steps: directions.map(() => 0)};

    const codes = () => {
      const [a, b] = state.ends;
      const stepped = z => directions.reduce((sum, direction, k) => mix(sum, 1, direction, state.steps[k]), z);
      return [a, PATHS[state.path](a, b, state.t), b].map(stepped);
    };

    const names = ["A", "Between", "B"];
    const pictures = ["end A", "the point between A and B", "end B"].map(name =>
      picture(side, {"aria-label": `What the generator makes of ${name}`}));
    const voice = speaker();

    const show = newest(async () => {
      const wanted = codes();
      const images = await run(generator, wanted.flat(), [wanted.length, size]);
      const each = images.length / wanted.length;
      pictures.forEach((canvas, k) => paint(canvas, images.subarray(k * each, (k + 1) * each)));
      app.latent = wanted[1];
    });

    // -- what can be moved -----------------------------------------------------------------------

    const walk = slider({id: id("t"), label: "From A to B", min: 0, max: 1, step: 0.05}, t => change({t}));
    const paths = [["arc", "along the arc"], ["line", "along the line"]].map(([path, label]) => {
      const input = html("input", {type: "radio", name: id("path"), id: id(path), autocomplete: "off"});
      input.addEventListener("change", () => change({path}));
      return {path, input, cell: html("span", {}, input, html("label", {for: input.id}, label))};
    });
    const steps = directions.map((_, k) => slider(
      {id: id(`direction-${k + 1}`), label: `Direction ${k + 1}`, min: -WIDEST, max: WIDEST, step: 0.5, digits: 1},
      step => change({steps: state.steps.map((old, j) => (j === k ? step : old))}),
    ));
    const button = (label, wish) => {
      const node = html("button", {type: "button"}, label);
      node.addEventListener("click", () => change(wish()));
      return node;
    };
    const random = () => Array.from({length: size}, normal);
    const buttons = html("div", {class: "interactive-buttons", role: "group", "aria-label": "Codes"},
      button("New random A", () => ({ends: [random(), state.ends[1]]})),
      button("New random B", () => ({ends: [state.ends[0], random()]})),
      button("Directions to 0", () => ({steps: directions.map(() => 0)})));

    // -- what is shown ---------------------------------------------------------------------------

    const numbers = {
      length: number("length", "Length \u2016", it("z"), "\u2016 between"),
      prior: number("prior", "Length of a draw from the prior"),
      angle: number("angle", "Angle of A and B"),
    };
    // Of the chi distribution, to a few parts in a thousand for the sizes that occur.
    numbers.prior.show(Math.sqrt(size - 0.5), `${print(Math.sqrt(size - 0.5), 1)} \u00b1 ${print(Math.SQRT1_2, 1)}`);

    const words = () => `Length ${numbers.length.text()}, the prior's is ${numbers.prior.text()}; the ends are ${
      numbers.angle.text()} apart.`;

    const update = () => {
      walk.show(state.t);
      paths.forEach(({path, input}) => { input.checked = path === state.path; });
      steps.forEach((row, k) => row.show(state.steps[k]));
      const here = length(codes()[1]), between = (angle(...state.ends) * 180) / Math.PI;
      numbers.length.show(here, print(here, 2));
      numbers.angle.show(between, `${print(between, 0)}\u00b0`);
      return show();
    };

    const change = wish => {
      Object.assign(state, wish);
      voice.say(words);
      update();
    };

    await update();
    const nodes = [
      buttons,
      html("div", {class: "explorer-row"}, ...pictures.map((canvas, k) => titled(canvas, names[k]))),
      html("fieldset", {class: "dcgan-explorer-walk"},
        html("legend", {}, "Walk"),
        html("div", {class: "interactive-sliders"}, ...walk.cells),
        html("div", {class: "explorer-choices"}, ...paths.map(({cell}) => cell))),
      html("fieldset", {},
        html("legend", {}, "Step all three along"),
        html("div", {class: "interactive-sliders"}, ...steps.flatMap(row => row.cells))),
      html("dl", {class: "interactive-numbers"}, ...Object.values(numbers).map(({item}) => item)),
      voice.node,
    ];
    return {nodes, first: walk.input};
  };

  explorer("dcgan-explorer", build);
})();
