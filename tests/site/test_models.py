"""The models of the pages in the browser's own runtime: files of this site only, and the numbers of torch."""

import functools
from urllib.parse import urlsplit

import make_models
import pytest
import torch
from _models import PREDICTIONS, inputs, predict, session
from _serving import QuietHandler, serve

RUNTIME = {"ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"}
RUN = """async ([name, input, output, rows, shape]) => {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = new URL("ort/", document.baseURI).href;
  const model = new URL(`models/${name}.onnx`, document.baseURI).href;
  const session = await ort.InferenceSession.create(model, {executionProviders: ["wasm"]});
  const results = await session.run({[input]: new ort.Tensor("float32", Float32Array.from(rows), shape)});
  return [results[output].dims, Array.from(results[output].data)];
}"""

pytestmark = [pytest.mark.browser, pytest.mark.needs("chromium")]


@pytest.fixture(scope="module")
def runtime():
    folder = make_models.ROOT / ".browser" / "ort"
    if not folder.is_dir():
        pytest.skip("the runtime is not installed by make")
    return folder


@pytest.fixture(scope="module")
def page(browser, runtime, tmp_path_factory):
    """A page beside the models and the runtime, which has noted what it asked for."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "ort").symlink_to(runtime)
    (folder / "models").symlink_to(make_models.MODELS)
    (folder / "index.html").write_text(
        '<!doctype html><link rel="icon" href="data:,"><script src="ort/ort.wasm.min.js"></script>'
    )
    with serve(functools.partial(QuietHandler, directory=str(folder))) as address:
        context = browser.new_context()
        page = context.new_page()
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.goto(address)
        yield page
        context.close()


def test_what_make_installs_is_one_thread_of_webassembly_and_its_licences(runtime):
    assert {path.name for path in runtime.iterdir()} == RUNTIME | {"LICENSE", "ThirdPartyNotices.txt"}
    assert "Microsoft" in (runtime / "LICENSE").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in runtime.iterdir()) < 16e6


@pytest.mark.parametrize("name", PREDICTIONS)
def test_the_browser_computes_what_torch_does(page, name):
    given, made = session(name).get_inputs()[0].name, session(name).get_outputs()[0].name
    for n in (1, 3):
        x = inputs(name, n, seed=20 + n)
        expected = predict(name)(x)
        dims, values = page.evaluate(RUN, [name, given, made, x.flatten().tolist(), list(x.shape)])
        assert tuple(dims) == tuple(expected.shape)
        assert (torch.tensor(values).reshape(expected.shape) - expected).abs().max() <= 1e-5
    (site,) = {urlsplit(url).netloc for url in page.asked if not url.startswith(("data:", "blob:"))}
    assert site.startswith("127.0.0.1:") and page.complaints == []
