/* What the explorers share: models that are fetched when the reader asks for them, canvases to paint and to steer. */
(() => {
  "use strict";

  const {html} = window.coursekitParts;

  // -- loading -----------------------------------------------------------------------------------

  const nameOf = address => address.split("/").at(-1);

  const fetched = async address => {
    const answer = await fetch(address).catch(() => ({ok: false, status: "no connection"}));
    if (!answer.ok) throw new Error(`${nameOf(address)}: ${answer.status}`);
    return answer.arrayBuffer();
  };

  const addScript = address => new Promise((done, failed) => {
    const node = html("script", {src: address});
    node.addEventListener("load", done);
    node.addEventListener("error", () => failed(new Error(`${nameOf(address)} did not load`)));
    document.head.append(node);
  });

  /* The `path` of a PNG, and the bytes of its `pixels` as (3, side, side). */
  const decodePicture = async (file, path) => {
    const bitmap = await createImageBitmap(new Blob([file], {type: "image/png"}));
    const {width, height} = bitmap, canvas = html("canvas", {width, height}), pen = canvas.getContext("2d");
    pen.drawImage(bitmap, 0, 0);
    const {data} = pen.getImageData(0, 0, width, height);
    const size = width * height;
    const pixels = Uint8Array.from({length: 3 * size}, (_, i) => data[4 * (i % size) + Math.floor(i / size)]);
    return {path, pixels};
  };

  /* What the files of an explorer hold, each kind in the order of the files: a `session` of the runtime for each model,
     `data` and `pictures`. */
  const load = async ({root, runtime, files}) => {
    const address = path => new URL(root + path, document.baseURI).href;
    const [script, module, program] = runtime.split(" ").map(address);
    const paths = files.split(" ");
    // All is fetched before the runtime starts, for after a failure it would not start again. Nor would a browser
    // import a module again from an address where it has failed.
    const [wasmBinary, code, ...contents] = await Promise.all([program, module, ...paths.map(address)].map(fetched));
    const mjs = URL.createObjectURL(new Blob([code], {type: "text/javascript"}));
    const each = async (ending, read) => {
      const found = [];
      for (const [k, path] of paths.entries()) if (path.endsWith(ending)) found.push(await read(contents[k], path));
      return found;
    };
    try {
      if (!window.ort) await addScript(script);
      Object.assign(window.ort.env.wasm, {numThreads: 1, wasmBinary, wasmPaths: {mjs}});
      return {
        sessions: await each(".onnx", file => window.ort.InferenceSession.create(file, {executionProviders: ["wasm"]})),
        data: await each(".json", file => JSON.parse(new TextDecoder().decode(file))),
        pictures: await each(".png", decodePicture),
      };
    } catch (error) {
      window.ort = undefined; // the next attempt gets a fresh one
      throw error;
    }
  };

  const megabytes = bytes => `${(bytes / 1e6).toFixed(1)} MB`;

  /* For each place of this name: offers to load its files, and then has `build(app, loaded, id)` give `nodes`, which
     take the place of the offer and the still picture, and the one to focus `first`. */
  const explorer = (name, build) => {
    const start = (app, index) => {
      const {fileBytes, runtimeBytes, runtimeCompressed} = app.dataset;
      const offer = html("div", {class: "explorer-offer"});
      app.append(offer);
      app.hidden = false;
      if (location.protocol === "file:") {
        offer.append(html("p", {}, "From a file a browser loads no model: on the website you can move what this picture shows."));
        return;
      }
      const button = html("button", {type: "button"},
        `Load the model (${megabytes(fileBytes)} + runtime ${megabytes(runtimeCompressed)})`);
      const status = html("p", {role: "status"},
        `It then runs in your browser. (Uncompressed the runtime has ${megabytes(runtimeBytes)}.)`);
      offer.append(button, status);

      let busy = false;
      button.addEventListener("click", async () => {
        if (busy) return;
        busy = true;
        button.setAttribute("aria-disabled", "true");
        status.textContent = "Loading\u2026";
        try {
          const {nodes, first} = await build(app, await load(app.dataset), part => `${name}-${index}-${part}`);
          const focused = offer.contains(document.activeElement);
          offer.replaceWith(...nodes);
          app.closest("figure").dataset.ready = "";
          if (focused) first.focus({preventScroll: true});
        } catch (error) {
          status.textContent = `The model could not be loaded (${error.message}).`;
          button.textContent = "Try again";
          button.removeAttribute("aria-disabled");
          busy = false;
        }
      });
    };
    document.querySelectorAll(`.interactive-app[data-interactive="${name}"]`).forEach(start);
  };

  // -- running -----------------------------------------------------------------------------------

  /* What the only output of a model says to one input: a Float32Array. */
  const run = async (session, values, shape) => {
    const tensor = new window.ort.Tensor("float32", Float32Array.from(values), shape);
    const found = await session.run({[session.inputNames[0]]: tensor});
    return found[session.outputNames[0]].data;
  };

  /* `work` for the newest wish, one at a time: of the wishes that come meanwhile only the last is heard. */
  const newest = work => {
    let waiting = false, current = null;
    const turn = async () => {
      do {
        waiting = false;
        await work();
      } while (waiting);
      current = null;
    };
    return () => {
      waiting = true;
      return (current ??= turn());
    };
  };

  // -- canvases ----------------------------------------------------------------------------------

  /* A canvas of side by side pixels; `attributes` name it. */
  const picture = (side, attributes) =>
    html("canvas", {class: "explorer-picture", role: "img", width: side, height: side, ...attributes});

  /* Paint values in [0, 1], of shape (channels, side, side); a single channel is grey. */
  const paint = (canvas, values) => {
    const image = new ImageData(canvas.width, canvas.height);
    const pixels = canvas.width * canvas.height, grey = values.length === pixels;
    for (let i = 0; i < pixels; i++) {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = 255 * values[(grey ? 0 : c) * pixels + i];
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  };

  /* A picture over its name. */
  const titled = (canvas, ...title) => html("div", {class: "explorer-titled"}, canvas, html("p", {}, ...title));

  // -- steering ----------------------------------------------------------------------------------

  /* While the pointer is down on `node`: its place, in shares of the width and height, and whether it has just come. */
  const onDrag = (node, moved) => {
    const place = (event, began) => {
      const box = node.getBoundingClientRect();
      moved((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, began);
    };
    // A browser may begin to scroll in spite of touch-action, and end the drag.
    node.addEventListener("touchstart", event => event.preventDefault(), {passive: false});
    node.addEventListener("pointerdown", event => {
      if (event.button) return;
      event.preventDefault();
      node.setPointerCapture(event.pointerId);
      node.focus({preventScroll: true});
      place(event, true);
    });
    node.addEventListener("pointermove", event => {
      if (node.hasPointerCapture(event.pointerId)) place(event, false);
    });
  };

  const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

  /* Arrow keys on `node`: steps to the right and down, each `far` long with Shift; and what `others` do by key. */
  const onArrows = (node, far, moved, others = {}) => node.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = ARROWS[event.key];
    if (step) moved(...step.map(part => part * (event.shiftKey ? far : 1)));
    else if (others[event.key]) others[event.key]();
    else return;
    event.preventDefault();
  });

  /* After the theme has changed. */
  const onTheme = changed =>
    new MutationObserver(changed).observe(document.documentElement, {attributeFilter: ["data-theme"]});

  window.coursekitExplorer = {explorer, newest, onArrows, onDrag, onTheme, paint, picture, run, titled};
})();
