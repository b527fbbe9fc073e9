/* The GAN game: drag p_data and p_g on a line, see D*, V(D, G), the JSD and C(G). Needs densities.js and parts.js. */
(() => {
  "use strict";

  const maths = window.coursekitDensities;
  const {html, it, number, print, set, slider: labelled, speaker, svg} = window.coursekitParts;
  const LOW = -6.5, HIGH = 6.5; // what is shown
  const X = maths.grid(-14, 14, 1401); // what is integrated over: six widths beyond the last centre
  const WEIGHTS = maths.trapezoid(X);
  const LOG4 = Math.log(4);
  const SLIDERS = [
    {key: "means", index: 0, label: "Centre of hump 1", min: -5, max: 5},
    {key: "widths", index: 0, label: "Width of hump 1", min: 0.25, max: 1.5},
    {key: "means", index: 1, label: "Centre of hump 2", min: -5, max: 5},
    {key: "widths", index: 1, label: "Width of hump 2", min: 0.25, max: 1.5},
    {key: "share", label: "Share of hump 1", min: 0, max: 1},
  ];
  const STEP = 0.05;

  const START = {
    data: {share: 0.35, means: [-1.2, 1.2], widths: [0.4, 0.6]},
    g: {share: 1, means: [-1.5, 1.5], widths: [0.7, 0.7]},
  };
  const PRESETS = [
    ["Start", () => ({...START, own: {kind: "constant", constant: 0.5, logits: null}})],
    ["Make them equal", state => ({g: state.data})],
    ["Far apart", () => ({
      data: {share: 0.35, means: [-4.2, -2.4], widths: [0.4, 0.5]},
      g: {share: 1, means: [3.5, 4.5], widths: [0.5, 0.5]},
    })],
    ["Mode collapse", () => ({
      data: {share: 0.5, means: [-2.5, 2.5], widths: [0.5, 0.5]},
      g: {share: 0, means: [-2.5, 2.5], widths: [0.5, 0.5]},
    })],
  ];
  const PLAYERS = ["data", "g"];

  // -- small helpers -----------------------------------------------------------------------------

  const clone = ({share, means, widths}) => ({share, means: [...means], widths: [...widths]});

  const setting = (player, {key, index}) => (key === "share" ? player.share : player[key][index]);

  const put = (player, slider, wanted) => {
    const rounded = Math.round(wanted / STEP) * STEP;
    const number = +Math.min(slider.max, Math.max(slider.min, rounded)).toFixed(2);
    if (slider.key === "share") player.share = number;
    else player[slider.key][slider.index] = number;
  };

  const sliderOf = (key, index) => SLIDERS.find(slider => slider.key === key && (key === "share" || slider.index === index));

  const density = player => html("span", {class: "nowrap"}, it("p"), html("sub", {}, player));
  const dStar = () => html("span", {class: "nowrap"}, it("D"), "*");
  const ofDG = (first, second) => html("span", {class: "nowrap"}, first, "(", ...second, ")");

  // -- one game ----------------------------------------------------------------------------------

  const start = (app, number) => {
    const state = {data: clone(START.data), g: clone(START.g), own: {kind: "constant", constant: 0.5, logits: null}};
    const id = name => `gan-game-${number}-${name}`;

    // What is computed. `log` and `density` of both players, and the numbers.
    const compute = () => {
      const log = {}, p = {};
      for (const name of PLAYERS) {
        log[name] = maths.logMixture(X, state[name]);
        p[name] = maths.exp(log[name]);
      }
      const logits = maths.optimalLogit(log.data, log.g).map(a => (Math.abs(a) < 1e-9 ? 0 : a));
      state.own.logits ??= logits;
      const {kind, constant} = state.own;
      const own = kind === "constant" ? X.map(() => Math.log(constant / (1 - constant))) : state.own.logits;
      const sum = X.map((_, i) => p.data[i] + p.g[i]);
      return {
        p, sum, logits, own,
        jsd: maths.jensenShannon(p.data, p.g, WEIGHTS),
        criterion: maths.criterion(p.data, p.g, WEIGHTS),
        value: maths.valueOfLogits(p.data, p.g, own, WEIGHTS),
        crossings: maths.crossings(X, logits).filter(x => x > LOW && x < HIGH),
      };
    };

    // -- the page --------------------------------------------------------------------------------

    const picture = makePicture(state, () => update());
    const scale = makeScale();
    const numbers = makeNumbers();
    const voice = speaker();

    const presets = PRESETS.map(([label, make]) => {
      const button = html("button", {type: "button"}, label);
      button.addEventListener("click", () => {
        const {own = state.own, ...players} = make(state);
        state.own = own;
        for (const [name, player] of Object.entries(players)) state[name] = clone(player);
        update();
      });
      return button;
    });

    const inputs = [];
    const panel = name => {
      const rows = SLIDERS.flatMap(slider => {
        const {key, index = 0, label, min, max} = slider;
        const row = labelled({id: id(`${name}-${key}-${index}`), label, min, max, step: STEP}, wanted => {
          put(state[name], slider, wanted);
          update();
        });
        inputs.push(() => row.show(setting(state[name], slider)));
        return row.cells;
      });
      const legend = html("legend", {}, html("span", {class: `gan-game-swatch ${name}`}), density(name),
        name === "data" ? ", the data" : ", the generator");
      return html("fieldset", {class: name}, legend, html("div", {class: "interactive-sliders"}, ...rows));
    };

    const ownPanel = () => {
      const group = id("own");
      const radio = kind => html("input", {type: "radio", name: group, id: id(kind), autocomplete: "off"});
      const constant = radio("constant"), frozen = radio("frozen");
      const level = html("input", {
        type: "range", min: 0.01, max: 0.99, step: 0.01, "aria-label": "The constant D", autocomplete: "off",
      });
      const shown = html("span", {class: "interactive-setting", "aria-hidden": "true"});
      const freeze = html("button", {type: "button"}, "Freeze now");
      constant.addEventListener("change", () => { state.own.kind = "constant"; update(); });
      frozen.addEventListener("change", () => { state.own.kind = "frozen"; update(); });
      level.addEventListener("input", () => {
        Object.assign(state.own, {kind: "constant", constant: level.valueAsNumber});
        update();
      });
      freeze.addEventListener("click", () => {
        Object.assign(state.own, {kind: "frozen", logits: null});
        update();
      });
      inputs.push(() => {
        constant.checked = state.own.kind === "constant";
        frozen.checked = !constant.checked;
        level.value = state.own.constant;
        shown.textContent = print(state.own.constant, 2);
      });
      return html("fieldset", {class: "gan-game-own own"},
        html("legend", {}, html("span", {class: "gan-game-swatch own"}), it("D"), ", a discriminator of your own"),
        html("div", {},
          html("span", {}, constant, html("label", {for: constant.id}, "the same everywhere")),
          html("span", {class: "gan-game-level"}, level, shown)),
        html("div", {},
          html("span", {}, frozen, html("label", {for: frozen.id}, dStar(), ", frozen at some moment")),
          freeze));
    };

    app.append(
      html("div", {class: "interactive-buttons", role: "group", "aria-label": "Settings to start from"}, ...presets),
      picture.legend, picture.node, scale.node, numbers.node,
      html("div", {class: "gan-game-panels"}, panel("data"), panel("g"), ownPanel()),
      voice.node,
    );

    const words = () => {
      const {kind} = state.own;
      const where = found.crossings.length
        ? `The curves cross at x = ${found.crossings.map(x => print(x, 2)).join(", ")}.`
        : found.jsd < 1e-9 ? "The densities are equal, and D star is one half." : "The curves do not cross.";
      return `JSD ${print(found.jsd)}, C of G ${print(found.criterion)}, V of ${
        kind === "constant" ? "your constant D" : "the frozen D"} ${print(found.value)} nats. ${where}`;
    };

    let found = null;
    const update = (aloud = true) => {
      found = compute();
      picture.draw(found);
      scale.draw(found);
      numbers.draw(found);
      inputs.forEach(show => show());
      if (aloud) voice.say(words);
    };

    update(false);
    app.hidden = false;
    app.closest("figure").dataset.ready = "";
    new ResizeObserver(() => { picture.draw(found); scale.draw(found); }).observe(app);
  };

  const SEEN = 0.004; // where p_data + p_g is less, a D learns from hardly a point

  const nearest = x => Math.min(X.length - 1, Math.max(0, Math.round(((x - X[0]) / (X.at(-1) - X[0])) * (X.length - 1))));

  // -- densities above, discriminators below ------------------------------------------------------

  const makePicture = (state, changed) => {
    const LEFT = 34, RIGHT = 10, TOP = 12, FLOOR = 200, D_TOP = 226, D_FLOOR = 316, HEIGHT = 342;
    const node = svg("svg", {
      class: "gan-game-picture", height: HEIGHT, role: "img",
      "aria-label": "Above, the densities p data and p g. Below, D star and a discriminator of your own. " +
        "The numbers and sliders under the picture say and do the same.",
    });
    const frame = svg("g", {class: "frame"}), curves = svg("g"), marks = svg("g", {class: "marks"});
    const paths = {};
    for (const [name, kind] of [["data", "area"], ["g", "area"], ["g", "line"], ["data", "line"],
      ["dstar", "faint line"], ["dstar", "line"], ["own", "line"]])
      curves.append(paths[`${name} ${kind}`] = svg("path", {class: `${name} ${kind}`}));
    node.append(frame, marks, curves);

    let top = 0.8, width = 0, dragged = null;
    const toX = x => LEFT + ((x - LOW) / (HIGH - LOW)) * (width - LEFT - RIGHT);
    const toY = p => FLOOR - (Math.min(p, top) / top) * (FLOOR - TOP);
    const toD = d => D_FLOOR - d * (D_FLOOR - D_TOP);

    const handles = PLAYERS.flatMap(name => [0, 1].flatMap(index => ["width", "peak"].map(kind => {
      const group = svg("g", {class: `handle ${name} ${kind}`, "data-handle": `${name}-${kind}-${index + 1}`},
        svg("circle", {class: "reach", r: 22}),
        kind === "peak" ? svg("circle", {r: 10}) : svg("rect", {x: -6, y: -6, width: 12, height: 12, rx: 2}),
        svg("text", {y: 4}, kind === "peak" ? String(index + 1) : ""));
      const tip = kind === "peak"
        ? `Hump ${index + 1} of p ${name}: drag sideways to move it, up and down to change its share`
        : `Hump ${index + 1} of p ${name}: drag sideways to change its width`;
      group.prepend(svg("title", {}, tip));
      const handle = {name, index, kind, group};
      group.addEventListener("pointermove", event => {
        if (dragged?.handle !== handle) return;
        const player = state[name];
        const x = LOW + ((event.clientX + dragged.dx - LEFT) / (width - LEFT - RIGHT)) * (HIGH - LOW);
        const height = ((FLOOR - (event.clientY + dragged.dy)) / (FLOOR - TOP)) * top;
        if (kind === "width") put(player, sliderOf("widths", index), Math.abs(x - player.means[index]));
        else {
          put(player, sliderOf("means", index), x);
          const part = height / peak(player, index);
          put(player, sliderOf("share"), index ? 1 - part : part);
        }
        changed();
      });
      const drop = () => {
        if (dragged?.handle !== handle) return;
        dragged = null;
        group.classList.remove("dragged");
        changed();
      };
      group.addEventListener("pointerup", drop);
      group.addEventListener("pointercancel", drop);
      return handle;
    })));
    const lifted = svg("g", {"aria-hidden": "true"}, ...handles.map(handle => handle.group));
    node.append(lifted);
    // A browser may begin to scroll in spite of touch-action, and end the drag.
    lifted.addEventListener("touchstart", event => event.preventDefault(), {passive: false});
    // Handles may lie on each other: the nearest is meant, and of two in one place the generator's.
    lifted.addEventListener("pointerdown", event => {
      if (event.button || dragged) return;
      event.preventDefault();
      const box = node.getBoundingClientRect();
      const distance = ({x, y}) => Math.hypot(x - (event.clientX - box.left), y - (event.clientY - box.top));
      const handle = handles.reduce((best, other) => (distance(place(other)) <= distance(place(best)) ? other : best));
      const at = place(handle);
      dragged = {handle, top, dx: at.x - event.clientX, dy: at.y - event.clientY};
      handle.group.setPointerCapture(event.pointerId);
      handle.group.classList.add("dragged");
    });

    // The height of a hump that had the whole density.
    const peak = (player, index) => 1 / (player.widths[index] * Math.sqrt(2 * Math.PI));
    const part = (player, index) => (index ? 1 - player.share : player.share);
    const place = ({name, index, kind}) => {
      const player = state[name];
      const height = part(player, index) * peak(player, index);
      return kind === "peak"
        ? {x: toX(player.means[index]), y: toY(height)}
        : {x: toX(Math.min(HIGH, player.means[index] + player.widths[index])), y: toY(height * Math.exp(-0.5))};
    };

    const first = nearest(LOW), last = nearest(HIGH);
    const line = (y, wanted = () => true) => {
      let text = "", down = false;
      for (let i = first; i <= last; i += 2) {
        if (wanted(i)) text += `${down ? "L" : "M"}${toX(X[i]).toFixed(1)} ${y(i).toFixed(1)}`;
        down = wanted(i);
      }
      return text;
    };

    const drawFrame = () => {
      const ticks = [-6, -4, -2, 0, 2, 4, 6].map(x => svg("text", {x: toX(x), y: HEIGHT - 8, class: "middle"}, print(x, 0)));
      const level = (y, text) => [
        svg("line", {x1: LEFT, x2: width - RIGHT, y1: y, y2: y}),
        svg("text", {x: LEFT - 6, y: y + 4, class: "end"}, text),
      ];
      frame.replaceChildren(
        ...level(FLOOR, "0"), ...level(toY(top / 2), print(top / 2, 1)), ...level(toY(top), print(top, 1)),
        ...level(toD(0), "0"), ...level(toD(0.5), "\u00bd"), ...level(toD(1), "1"), ...ticks,
      );
    };

    const draw = ({p, sum, logits, own, crossings}) => {
      width = node.clientWidth || 640;
      node.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
      // Not in the middle of a drag, for a handle must stay under the finger.
      if (!dragged) {
        const highest = Math.max(...p.data, ...p.g);
        top = [0.8, 1.2].find(level => highest <= level) ?? 1.7;
      }
      drawFrame();
      for (const name of PLAYERS) {
        const curve = line(i => toY(p[name][i]));
        set(paths[`${name} line`], {d: curve});
        set(paths[`${name} area`], {d: `${curve}L${toX(X[last])} ${FLOOR}L${toX(X[first])} ${FLOOR}Z`});
      }
      const y = i => toD(maths.sigmoid(logits[i]));
      set(paths["dstar faint line"], {d: line(y, i => sum[i] <= SEEN)});
      set(paths["dstar line"], {d: line(y, i => sum[i] > SEEN)});
      set(paths["own line"], {d: line(i => toD(maths.sigmoid(own[i])))});
      marks.replaceChildren(...crossings.flatMap(x => [
        svg("line", {x1: toX(x), x2: toX(x), y1: toY(p.data[nearest(x)]), y2: toD(0.5)}),
        svg("circle", {cx: toX(x), cy: toD(0.5), r: 4}),
      ]));
      for (const handle of handles) {
        const {x, y} = place(handle);
        handle.group.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
      }
    };

    const key = (name, ...content) => html("li", {}, html("span", {class: `gan-game-swatch ${name}`}), ...content);
    const legend = html("ul", {class: "interactive-legend"},
      key("data", density("data")), key("g", density("g")), key("dstar", dStar(), ", the best"), key("own", it("D"), ", your own"),
      key("gap", "2 JSD"));
    return {node, legend, draw};
  };

  // -- from -log 4 to 0 ---------------------------------------------------------------------------

  const makeScale = () => {
    const LOWEST = -2.7, LEFT = 10, RIGHT = 14, BAR = 34, HEIGHT = 88;
    const node = svg("svg", {class: "gan-game-scale", height: HEIGHT, "aria-hidden": "true"});
    const bar = svg("rect", {class: "gap", y: BAR - 6, height: 12});
    const axis = svg("g", {class: "frame"}), best = svg("g", {class: "dstar"}), own = svg("g", {class: "own"});
    node.append(axis, bar, best, own);

    const draw = ({criterion, value}) => {
      const width = node.clientWidth || 640;
      node.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
      const toX = v => LEFT + ((Math.max(v, LOWEST) - LOWEST) / -LOWEST) * (width - LEFT - RIGHT);
      const label = (v, y, text) => {
        const x = toX(v), room = 68;
        const side = x < room ? "start" : x > width - room ? "end" : "middle";
        return svg("text", {x: side === "start" ? 2 : side === "end" ? width - 2 : x, y, class: side}, text);
      };
      axis.replaceChildren(
        svg("line", {x1: LEFT, x2: width - RIGHT, y1: BAR, y2: BAR}),
        ...[-LOG4, 0].map(v => svg("line", {x1: toX(v), x2: toX(v), y1: BAR - 10, y2: BAR + 10, class: "tick"})),
        svg("text", {x: toX(-LOG4), y: HEIGHT - 6, class: "middle"}, `\u2212log 4 = ${print(-LOG4)}`),
        svg("text", {x: width - 2, y: HEIGHT - 6, class: "end"}, "0"),
      );
      set(bar, {x: toX(-LOG4), width: Math.max(0, toX(criterion) - toX(-LOG4))});
      best.replaceChildren(
        svg("path", {d: `M${toX(criterion)} ${BAR - 7}l-6 -9h12z`}),
        label(criterion, 13, `C(G) = ${print(criterion)}`),
      );
      own.replaceChildren(
        svg("path", {d: value < LOWEST ? `M${LEFT} ${BAR + 13}l9 -6v12z` : `M${toX(value)} ${BAR + 7}l-6 9h12z`}),
        label(value, BAR + 30, `V(D, G) = ${print(value)}`),
      );
    };
    return {node, draw};
  };

  // -- the numbers -------------------------------------------------------------------------------

  const makeNumbers = () => {
    const cells = {
      jsd: number("jsd", html("span", {class: "nowrap"}, "JSD(", density("data"), ", ", density("g"), ")")),
      criterion: number("criterion", ofDG(it("C"), [it("G")]), " = ", ofDG(it("V"), [dStar(), ", ", it("G")])),
      value: number("value", ofDG(it("V"), [it("D"), ", ", it("G")]), " of your ", it("D")),
      crossings: number("crossings", dStar(), " = \u00bd at ", it("x"), " ="),
    };
    const node = html("dl", {class: "interactive-numbers"}, ...Object.values(cells).map(cell => cell.item));
    const draw = found => {
      for (const name of ["jsd", "criterion", "value"]) cells[name].show(found[name]);
      const equal = found.jsd < 1e-9;
      const places = found.crossings.map(x => print(x, 2)).join(", ") || "nowhere here";
      cells.crossings.show(found.crossings.join(" "), equal ? "everywhere" : places);
    };
    return {node, draw};
  };

  document.querySelectorAll('.interactive-app[data-interactive="gan-game"]').forEach(start);
})();
