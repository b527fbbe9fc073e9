// Reads one request a line, and answers each with one line of JSON: a formula {"tex", "display"} with its markup,
// or with why MathJax refuses it; "style" with the style sheet that all formulas share.
const { createInterface } = require("node:readline");
const MathJax = require("mathjax/es5/node-main.js");

// Left out is what would load more while a formula waits, hide a mistake, or let a formula change the next.
const COMPONENTS = ["adaptors/liteDOM", "input/tex-base", "output/chtml", "a11y/assistive-mml"];
const PACKAGES = ["ams", "boldsymbol", "cancel", "color", "mathtools"];

async function answerRequests() {
  const mathjax = await MathJax.init({
    loader: { versionWarnings: false, load: [...COMPONENTS, ...PACKAGES.map((name) => `[tex]/${name}`)] },
    tex: {
      packages: { "[+]": PACKAGES },
      formatError(_, error) {
        throw error;
      },
    },
    chtml: { adaptiveCSS: false, fontURL: process.argv[2] },
    startup: { typeset: false },
  });
  const { adaptor } = mathjax.startup;

  function answer(request) {
    if (request === "style") return { style: adaptor.textContent(mathjax.chtmlStylesheet()) };
    try {
      mathjax.texReset();
      return { markup: adaptor.outerHTML(mathjax.tex2chtml(request.tex, { display: request.display })) };
    } catch (error) {
      return { refused: error.message };
    }
  }

  for await (const line of createInterface({ input: process.stdin }))
    process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + "\n");
}

answerRequests();
