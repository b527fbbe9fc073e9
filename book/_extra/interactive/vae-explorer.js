/* The latent plane of a VAE: steer z over the codes of test digits, see what the decoder makes of it. */
(() => {
  "use strict";

  const {html, it, number, print, slider, speaker} = window.coursekitParts;
  const {explorer, newest, onArrows, onDrag, onTheme, paint, picture, run, titled} = window.coursekitExplorer;
  const SIDE = 28, STEP = 0.05, FAR = 10, NEAR = 0.3;
  const SUBSCRIPT = ["\u2081", "\u2082"];

  /* Half the side of a square around the origin that shows all but a few of the codes. */
  const extentOf = codes => {
    const far = codes.map(code => Math.max(...code.map(Math.abs))).sort((a, b) => a - b);
    return Math.ceil(2 * far[Math.floor(0.995 * (far.length - 1))]) / 2;
  };

  /* data: `points` are the codes of images, and `labels` say which digit each is. */
  const build = async (app, {sessions: [decoder], data: [{points: codes, labels}]}, id) => {
    const extent = extentOf(codes);
    const onGrid = part => +(Math.round(part / STEP) * STEP).toFixed(2);
    const z = codes[0].map(onGrid);

    const near = () => {
      const counts = new Map();
      codes.forEach(([a, b], i) => {
        if (Math.hypot(a - z[0], b - z[1]) <= NEAR) counts.set(labels[i], (counts.get(labels[i]) ?? 0) + 1);
      });
      return [...counts].sort((one, other) => other[1] - one[1]);
    };

    // -- the plane -------------------------------------------------------------------------------

    const scatter = html("canvas", {"aria-hidden": "true"});
    const mark = html("div", {class: "vae-explorer-mark"});
    mark.style.width = `${(100 * NEAR) / extent}%`;
    const plane = html("div", {
      class: "vae-explorer-plane", tabindex: 0, role: "slider", "aria-valuemin": -extent, "aria-valuemax": extent,
      "aria-label": "Code on the plane. Arrow keys move it, with Shift ten times as far; Home leads to the origin.",
    }, scatter, mark);
    const share = ([a, b]) => [(a / extent + 1) / 2, (1 - b / extent) / 2];

    const drawScatter = () => {
      const width = plane.clientWidth, ratio = window.devicePixelRatio || 1;
      if (!width) return;
      scatter.width = scatter.height = Math.round(width * ratio);
      const pen = scatter.getContext("2d");
      const style = getComputedStyle(app);
      pen.scale(ratio, ratio);
      Object.assign(pen, {textAlign: "center", textBaseline: "middle", strokeStyle: style.color, fillStyle: style.color});
      pen.font = `${Math.max(8, width / 45)}px ${style.fontFamily}`;
      codes.forEach((code, i) => {
        pen.fillStyle = style.getPropertyValue(`--digit-${labels[i]}`);
        pen.fillText(labels[i], ...share(code).map(part => part * width));
      });
      pen.fillStyle = style.color;
      pen.setLineDash([2, 3]);
      for (let radius = 1; radius < extent; radius++) {
        pen.beginPath();
        pen.arc(width / 2, width / 2, ((radius / extent) * width) / 2, 0, 2 * Math.PI);
        pen.stroke();
      }
    };

    const legend = html("ul", {class: "interactive-legend vae-explorer-legend", "aria-label": "Colours of the digits"},
      ...Array.from("0123456789", digit => {
        const swatch = html("span", {class: "vae-explorer-swatch"});
        swatch.style.background = `var(--digit-${digit})`;
        return html("li", {}, swatch, digit);
      }));

    // -- what comes of it ------------------------------------------------------------------------

    const decoded = picture(SIDE, {"aria-label": "What the decoder makes of this code"});
    const numbers = {
      length: number("length", "Distance from the origin, \u2016", it("z"), "\u2016"),
      near: number("near", `Digits with codes within ${NEAR}`),
    };
    const sliders = z.map((_, k) => slider(
      {
        id: id(`z${k + 1}`), label: [it("z"), html("sub", {}, k + 1)], min: -extent, max: extent, step: STEP,
      },
      value => move(...z.map((part, j) => (j === k ? value : part))),
    ));
    const voice = speaker();

    const show = newest(async () => paint(decoded, await run(decoder, z, [1, 2])));

    const words = () => {
      const around = near().map(([digit, count]) => `${count} of ${digit}`).join(", ") || "none";
      return `Codes within ${NEAR}: ${around}.`;
    };

    const update = () => {
      const [left, top] = share(z);
      mark.style.left = `${100 * left}%`;
      mark.style.top = `${100 * top}%`;
      plane.setAttribute("aria-valuenow", z[0]);
      plane.setAttribute("aria-valuetext", z.map((part, k) => `z${SUBSCRIPT[k]} ${print(part, 2)}`).join(", "));
      sliders.forEach((row, k) => row.show(z[k]));
      numbers.length.show(Math.hypot(...z), print(Math.hypot(...z), 2));
      const around = near();
      numbers.near.show(
        around.map(([digit, count]) => `${digit}:${count}`).join(" "),
        around.map(([digit, count]) => `${digit} (${count})`).join(", ") || "none",
      );
      return show();
    };

    const move = (...wanted) => {
      wanted.forEach((part, k) => { z[k] = onGrid(Math.min(extent, Math.max(-extent, part))); });
      voice.say(words);
      update();
    };

    onDrag(plane, (x, y) => move((2 * x - 1) * extent, (1 - 2 * y) * extent));
    onArrows(plane, FAR, (right, down) => move(z[0] + right * STEP, z[1] - down * STEP), {Home: () => move(0, 0)});
    onTheme(drawScatter);
    new ResizeObserver(drawScatter).observe(plane);

    await update();
    const board = html("div", {class: "vae-explorer-board"},
      legend, plane, titled(decoded, "Mean of ", html("span", {class: "nowrap"}, it("p"), "(", it("x"), " | ", it("z"), ")")),
      html("div", {class: "vae-explorer-side"},
        html("div", {class: "interactive-sliders"}, ...sliders.flatMap(row => row.cells)),
        html("dl", {class: "interactive-numbers"}, ...Object.values(numbers).map(({item}) => item))));
    return {nodes: [board, voice.node], first: plane};
  };

  explorer("vae-explorer", build);
})();
