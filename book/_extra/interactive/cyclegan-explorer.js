/* A CycleGAN there and back: pick a picture or paint one, see its translation and what comes back. */
(() => {
  "use strict";

  const {html, it, number, print, slider, speaker} = window.coursekitParts;
  const {explorer, newest, onArrows, onDrag, paint, picture, run, titled} = window.coursekitExplorer;
  const FAR = 4;
  const COLOURS = [
    ["white", 255, 255, 255], ["black", 0, 0, 0], ["red", 219, 50, 54], ["yellow", 252, 194, 27], ["green", 92, 158, 49],
    ["blue", 64, 142, 219], ["brown", 133, 88, 62],
  ];

  const shares = values => Float32Array.from(values, value => value / 255);

  /* Mean absolute difference: the L1 distance for each value. */
  const distance = (a, b) => a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0) / a.length;

  /* Numbers from N(0, 1), always the same, so that only their strength changes. */
  const noise = size => {
    let seed = 1;
    const uniform = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
    return Float32Array.from({length: size}, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
  };

  const applied = (map, ...inside) => [it(map), "(", ...inside, ")"];

  /* The models are G and F. `emoji.files` say of each picture which `domain` it is of, and its `name`. */
  const build = async (app, {sessions: [G, F], data: [{emoji}], pictures}, id) => {
    const side = Math.sqrt(pictures[0].pixels.length / 3);
    const known = pictures.map(({path, pixels}) => ({pixels, ...emoji.files.find(({file}) => file.endsWith(path))}));
    const sets = [["X", "a blob of 2017"], ["Y", "an emoji of 2020"]].map(([domain, name]) =>
      ({name, pictures: known.filter(picture => picture.domain === domain)}));
    const size = 3 * side * side, grain = noise(size);
    const state = {set: 0, picked: 0, x: new Uint8Array(size), colour: 1, brush: 3, noise: 0, at: [side / 2, side / 2]};
    const ways = [
      {there: G, back: F, names: ["x", "G", "F"]},
      {there: F, back: G, names: ["y", "F", "G"]},
    ];

    // -- the three pictures ----------------------------------------------------------------------

    const source = picture(side, {
      class: "explorer-picture cyclegan-explorer-paper", tabindex: 0, role: "application",
      "aria-label": "Your picture. Arrow keys move the brush, with Shift four times as far; Space paints.",
    });
    const brush = html("div", {class: "cyclegan-explorer-brush"});
    const paper = html("div", {class: "cyclegan-explorer-easel"}, source, brush);
    const there = picture(side, {"aria-label": "The translation"});
    const back = picture(side, {"aria-label": "What comes back"});
    const titles = [paper, there, back].map(canvas => titled(canvas));
    const numbers = {
      moved: number("moved", "L1 from the picture to its translation"),
      cycle: number("cycle", "L1 from the picture to what comes back"),
    };
    const voice = speaker();

    const show = newest(async () => {
      const way = ways[state.set];
      const x = shares(state.x);
      const shape = [1, 3, side, side];
      const clean = await run(way.there, x, shape);
      const translated = state.noise
        ? clean.map((value, i) => Math.min(1, Math.max(0, value + (state.noise / 255) * grain[i])))
        : clean;
      const returned = await run(way.back, translated, shape);
      paint(there, translated);
      paint(back, returned);
      numbers.cycle.show(distance(returned, x));
      numbers.moved.show(distance(translated, x));
    });

    // -- painting --------------------------------------------------------------------------------

    const dab = (x, y) => {
      const radius = state.brush / 2, [, ...colour] = COLOURS[state.colour];
      for (let row = Math.max(0, Math.floor(y - radius)); row <= Math.min(side - 1, y + radius); row++)
        for (let column = Math.max(0, Math.floor(x - radius)); column <= Math.min(side - 1, x + radius); column++)
          if (Math.hypot(column + 0.5 - x, row + 0.5 - y) <= radius)
            colour.forEach((value, c) => { state.x[(c * side + row) * side + column] = value; });
    };

    const stroke = (x, y, began) => {
      const [fromX, fromY] = began ? [x, y] : state.at;
      const parts = Math.max(1, Math.ceil(2 * Math.hypot(x - fromX, y - fromY)));
      for (let k = 1; k <= parts; k++) dab(fromX + ((x - fromX) * k) / parts, fromY + ((y - fromY) * k) / parts);
      Object.assign(state, {at: [x, y], picked: null});
      update();
    };

    const moveBrush = (right, down) => {
      const within = place => Math.min(side - 0.5, Math.max(0.5, place));
      state.at = [within(Math.floor(state.at[0]) + 0.5 + right), within(Math.floor(state.at[1]) + 0.5 + down)];
      update(false);
    };

    // -- what can be chosen ----------------------------------------------------------------------

    /* Radio buttons in a fieldset; each of `contents` is the list of nodes of a label. */
    const choices = (name, legend, contents, picked, wish) => {
      const all = contents.map((content, k) => {
        const input = html("input", {type: "radio", name: id(name), id: id(`${name}-${k}`), autocomplete: "off"});
        input.addEventListener("change", () => wish(k));
        return {input, cell: html("span", {}, input, html("label", {for: input.id}, ...content))};
      });
      const node = html("fieldset", {class: `cyclegan-explorer-${name}`}, html("legend", {}, legend),
        html("div", {class: "explorer-choices"}, ...all.map(({cell}) => cell)));
      return {node, show: () => all.forEach(({input}, k) => { input.checked = picked() === k; }), first: all[0].input};
    };
    const named = (node, name) => [node, html("span", {class: "interactive-hidden"}, name)];

    const start = choices("set", "Start from", sets.map(({name}) => [name]), () => state.set, set => pick(0, set));
    const shelves = sets.map(({pictures}, set) => {
      const contents = pictures.map(({name, pixels}) => {
        const canvas = html("canvas", {class: "explorer-picture", "aria-hidden": "true", width: side, height: side});
        paint(canvas, shares(pixels));
        return named(canvas, name);
      });
      return choices(`shelf-${set}`, "Pick a picture that was kept out of training", contents, () => state.picked, k => pick(k));
    });
    const swatches = COLOURS.map(([name, ...colour]) => {
      const swatch = html("span", {class: "cyclegan-explorer-swatch"});
      swatch.style.background = `rgb(${colour.join(" ")})`;
      return named(swatch, name);
    });
    const palette = choices("palette", "Or paint on the first picture: colour", swatches, () => state.colour, colour => {
      state.colour = colour;
    });
    const wide = slider({id: id("brush"), label: "Width of the brush", min: 1, max: 9, step: 1, digits: 0}, value => {
      state.brush = value;
      update(false);
    });
    const sheet = html("button", {type: "button"}, "White sheet");
    sheet.addEventListener("click", () => {
      state.x.fill(255);
      state.picked = null;
      update();
    });
    const strength = slider(
      {id: id("noise"), label: "Levels of 255", min: 0, max: 32, step: 1, digits: 0},
      value => {
        state.noise = value;
        update();
      },
    );

    const pick = (picked, set = state.set) => {
      Object.assign(state, {set, picked, x: Uint8Array.from(sets[set].pictures[picked].pixels)});
      return update();
    };

    // -- what is shown ---------------------------------------------------------------------------

    const update = (changed = true) => {
      const [x, first, second] = ways[state.set].names;
      const [title, gone, come] = titles.map(node => node.querySelector("p"));
      title.replaceChildren(it(x));
      gone.replaceChildren(...applied(first, it(x)), state.noise ? " + noise" : "");
      come.replaceChildren(...applied(second, ...gone.cloneNode(true).childNodes));
      shelves.forEach(({node, show}, s) => { node.hidden = s !== state.set; show(); });
      start.show();
      palette.show();
      wide.show(state.brush);
      strength.show(state.noise);
      brush.style.width = `${(100 * state.brush) / side}%`;
      brush.style.left = `${(100 * state.at[0]) / side}%`;
      brush.style.top = `${(100 * state.at[1]) / side}%`;
      if (!changed) return null;
      paint(source, shares(state.x));
      voice.say(() => `L1 of the round trip ${numbers.cycle.text()}.`);
      return show();
    };

    onDrag(source, (x, y, began) => stroke(x * side, y * side, began));
    const here = () => stroke(...state.at, true);
    onArrows(source, FAR, moveBrush, {" ": here, Enter: here});

    await pick(0);
    const nodes = [
      start.node, ...shelves.map(({node}) => node),
      html("div", {class: "explorer-row cyclegan-explorer-row"}, ...titles),
      html("dl", {class: "interactive-numbers"}, ...Object.values(numbers).map(({item}) => item)),
      html("fieldset", {}, html("legend", {}, "Noise on the translation"),
        html("div", {class: "interactive-sliders"}, ...strength.cells)),
      palette.node,
      html("div", {class: "interactive-sliders"}, ...wide.cells),
      html("div", {class: "interactive-buttons"}, sheet),
      voice.node,
    ];
    return {nodes, first: start.first};
  };

  explorer("cyclegan-explorer", build);
})();
