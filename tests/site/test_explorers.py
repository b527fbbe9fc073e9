"""The explorers of latents and translations: what they load and when, and that they show what their models compute."""

import json
import math
from pathlib import Path
from urllib.parse import unquote, urlsplit

import interactive  # book/_ext
import make_explorers
import numpy as np
import pytest
import torch
from _models import predict
from check_site import lay_out
from PIL import Image

from coursekit.plots import arc

pytestmark = [pytest.mark.browser, pytest.mark.needs("chromium")]

BOOK = Path(__file__).resolve().parents[2] / "book"
NAMES = ("vae", "dcgan", "cyclegan")
LOADING = 60_000  # milliseconds, for a busy machine
LEVELS = 1.01  # of 255: what rounding and another runtime may change of a pixel
THROUGH_TWO = 2.01  # the same after two networks, the second of which sees what the first has left


class Explorer:
    """One explorer on a page of its own, which can reach nothing but the site."""

    def __init__(self, browser, address, name, width=1280, scheme="light", **context):
        self.name, self.address = name, address
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **context)
        self.context.set_default_timeout(LOADING)
        self.requests, self.left_the_site, self.errors = [], [], []
        self.context.route("**/*", self._route)
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.requests.append(unquote(urlsplit(request.url).path)[1:]))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{address}/book/{name}.html", wait_until="load")
        lay_out(self.page)
        self.figure = self.page.locator(f"#fig-{name}-explorer")
        self.app = self.figure.locator(".interactive-app")
        self.still = self.figure.locator("img.interactive-still")

    def _route(self, route):
        url = route.request.url
        if urlsplit(url).scheme in ("http", "https") and not url.startswith(self.address):
            self.left_the_site.append(url)
            route.abort()
        else:
            route.fallback()

    def load(self):
        """Press the button, and wait until the explorer is there."""
        self.press_load()
        self.page.wait_for_function("figure => 'ready' in figure.dataset", arg=self.figure.element_handle())
        return self

    def press_load(self):
        self.app.get_by_role("button").click()

    def press(self, name):
        self.app.get_by_role("button", name=name, exact=True).click()

    def number(self, name):
        return self.app.locator(f"[data-number={name}]").get_attribute("value")

    def canvas(self, index):
        """The pictures in their order, without thumbnails."""
        return self.app.locator(".explorer-titled canvas").nth(index)

    def pixels(self, index):
        """(side, side, 3), from 0 to 255."""
        source = "c => [c.width, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
        side, *values = self.canvas(index).evaluate(source)
        return np.array(values).reshape(side, side, 4)[..., :3]

    def await_pixels(self, index, picture, levels=LEVELS):
        """Wait until a canvas shows `picture`, (C, H, W) in [0, 1], to so many levels of 255."""
        expected = 255 * np.clip(np.broadcast_to(picture, (3, *picture.shape[1:])), 0, 1)
        assert expected.std() > 5, "a flat picture shows nothing"
        self.page.wait_for_function(
            """([canvas, expected, levels]) => {
                const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                const pixels = canvas.width * canvas.height;
                return 3 * pixels === expected.length && expected.every((value, i) =>
                    Math.abs(data[4 * (i % pixels) + Math.floor(i / pixels)] - value) <= levels);
            }""",
            arg=[self.canvas(index).element_handle(), expected.flatten().round(3).tolist(), levels],
            timeout=30_000,
        )

    def center(self, locator):
        locator.evaluate("node => node.scrollIntoView({block: 'center', behavior: 'instant'})")
        return locator.bounding_box()


@pytest.fixture(scope="module")
def explorers(browser, address):
    """`explorers(name, width, scheme)` gives a loaded explorer, the same for each test that asks for these."""
    opened = {}

    def explorer(name, width=1280, scheme="light"):
        key = name, width, scheme
        if key not in opened:
            opened[key] = Explorer(browser, address, *key)
            opened[key].before = list(opened[key].requests)
            opened[key].load()
        return opened[key]

    yield explorer
    for each in opened.values():
        assert (each.errors, each.left_the_site) == ([], [])
        each.context.close()


@pytest.fixture
def fresh(browser, address):
    """`fresh(name, …)` gives an explorer that nobody has touched."""
    opened = []

    def explorer(name, **settings):
        opened.append(Explorer(browser, address, name, **settings))
        return opened[-1]

    yield explorer
    for each in opened:
        assert each.left_the_site == []
        each.context.close()


@pytest.fixture(scope="module")
def model():
    return lambda name: make_explorers.model(name)


EACH = pytest.mark.parametrize("name", NAMES)
SCREENS = pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])


# -- loading -----------------------------------------------------------------------------------------


def files(name):
    """What the explorer fetches of the site, but for the runtime."""
    folders = BOOK / "_extra", BOOK.parent / ".browser"
    patterns = interactive.FILES[f"{name}-explorer"]
    return {
        path.relative_to(root).as_posix() for root in folders for pattern in patterns for path in root.glob(pattern)
    }


def needed(name):
    return files(name) | {*interactive.RUNTIME}


@EACH
def test_nothing_is_fetched_before_the_reader_asks_and_only_what_is_needed_after(explorers, name):
    explorer = explorers(name)
    assert not [path for path in explorer.before if path.startswith(("ort/", "models/")) or path in needed(name)]
    after = set(explorer.requests) - set(explorer.before) - {"_static/favicon.svg"}  # the browser's own, when it likes
    # Pictures and fonts of the text come when the reader comes near them.
    assert {path for path in after if not path.startswith(("_images/", "mathjax/"))} == needed(name)


@EACH
def test_the_button_says_how_much_will_be_loaded(fresh, html, name):
    explorer = fresh(name)
    size = sum((html / file).stat().st_size for file in files(name))
    runtime = [html / file for file in interactive.RUNTIME]
    button = explorer.app.get_by_role("button")
    assert f"({size / 1e6:.1f} MB + runtime " in button.inner_text()
    packed = float(button.inner_text().split("runtime ")[1].removesuffix(" MB)"))
    assert 1 < packed < 0.5 * sum(path.stat().st_size for path in runtime) / 1e6
    assert f"{sum(path.stat().st_size for path in runtime) / 1e6:.1f} MB" in explorer.app.inner_text()
    assert explorer.still.is_visible()


@EACH
def test_the_keyboard_loads_it_and_stays_in_it(fresh, name):
    explorer = fresh(name)
    explorer.app.get_by_role("button").focus()
    explorer.page.keyboard.press("Enter")
    explorer.page.wait_for_function("figure => 'ready' in figure.dataset", arg=explorer.figure.element_handle())
    assert explorer.app.evaluate("app => app.contains(document.activeElement)")
    assert not explorer.still.is_visible()
    focused = explorer.page.evaluate("document.activeElement.matches('[role=slider], input')")
    assert focused, "the first thing to move"


# An answer that is missing, and a runtime that breaks when it starts.
@pytest.mark.parametrize("broken", ["models/dcgan-emoji.onnx", "ort/ort.wasm.min.js", "ort/ort-wasm-simd-threaded.mjs"])
def test_after_a_failure_the_reader_can_try_again(fresh, model, broken):
    explorer = fresh("dcgan")
    module = broken.endswith(".mjs")
    answer = {"status": 200, "content_type": "text/javascript", "body": "throw 1"} if module else {"status": 404}
    explorer.context.route(f"**/{broken}", lambda route: route.fulfill(**answer), times=1)
    explorer.press_load()
    button = explorer.app.get_by_role("button", name="Try again")
    button.wait_for()
    assert "The model could not be loaded" in explorer.app.get_by_role("status").inner_text()
    assert explorer.still.is_visible() and button.evaluate("button => button === document.activeElement")
    explorer.load()
    explorer.await_pixels(0, model("dcgan-emoji")(ends()[:1])[0])


def test_from_a_file_the_still_picture_stays_and_one_sentence_says_why(browser, html):
    page, wrong = browser.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
    for name in NAMES:
        page.goto((html / "book" / f"{name}.html").as_uri(), wait_until="domcontentloaded", timeout=LOADING)
        lay_out(page)
        figure = page.locator(f"#fig-{name}-explorer")
        assert "From a file a browser loads no model" in figure.locator(".interactive-app").inner_text()
        assert figure.get_by_role("button").count() == 0
        assert figure.locator("img.interactive-still").is_visible()
    assert wrong == []
    page.close()


def test_without_scripts_the_still_picture_stands_alone(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for name in NAMES:
        page.goto(f"{address}/book/{name}.html", wait_until="domcontentloaded", timeout=LOADING)
        figure = page.locator(f"#fig-{name}-explorer")
        assert figure.locator("img.interactive-still").is_visible() and figure.locator("noscript p").is_visible()
        assert not figure.locator(".interactive-app").is_visible()
    context.close()


@EACH
def test_in_print_the_still_picture_stands_in(explorers, name):
    explorer = explorers(name)
    explorer.page.emulate_media(media="print")
    assert explorer.still.is_visible() and not explorer.app.is_visible()
    explorer.page.emulate_media(media="screen")
    assert explorer.app.is_visible() and not explorer.still.is_visible()


def test_only_its_own_page_loads_an_explorer(html, pages):
    for name in NAMES:
        script = f"{name}-explorer.js"
        assert [page for page in pages if script in (html / page).read_text(encoding="utf-8")] == [f"book/{name}.html"]


# -- what all of them owe the reader -----------------------------------------------------------------


@EACH
@SCREENS
def test_it_fits_the_screen_and_does_not_move_by_itself(explorers, name, width, scheme):
    explorer = explorers(name, width, scheme)
    assert explorer.page.evaluate("document.documentElement.scrollWidth") <= width
    outside = explorer.app.evaluate(
        """app => {
            const box = app.getBoundingClientRect();
            return [...app.querySelectorAll('*')].filter(node => node.offsetParent && !node.closest('.interactive-hidden'))
                .map(node => [node.outerHTML.slice(0, 80), node.getBoundingClientRect()])
                .filter(([, {left, right}]) => left < box.left - 1 || right > box.right + 1).map(([text]) => text);
        }"""
    )
    assert outside == []
    assert explorer.app.evaluate("app => app.getAnimations({subtree: true}).length") == 0


@EACH
def test_everything_that_takes_the_focus_has_a_name_and_shows_that_it_has_it(explorers, name):
    explorer = explorers(name)
    focusable = explorer.app.locator("button, input, [tabindex]")
    assert focusable.count() >= 3
    for index in range(focusable.count()):
        node = focusable.nth(index)
        named = node.evaluate("n => (n.ariaLabel || n.labels?.[0]?.textContent || n.textContent).trim()")
        assert named, node.evaluate("node => node.outerHTML")
    for node in explorer.app.locator("canvas").all():
        assert node.evaluate("canvas => canvas.ariaLabel || canvas.ariaHidden === 'true'")
    explorer.page.keyboard.press("Tab")
    first = explorer.app.locator("button, [tabindex], input[type=range]").first
    first.focus()
    assert first.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"


def spoken(explorer, act):
    """What the live region says of what `act` does."""
    status = explorer.app.get_by_role("status")
    status.evaluate(
        """status => {
            window.spoken = [];
            window.listener?.disconnect();
            window.listener = new MutationObserver(() => spoken.push(status.textContent));
            listener.observe(status, {childList: true});
        }"""
    )
    act()
    explorer.page.wait_for_function("spoken.length > 0")
    return explorer.page.evaluate("spoken")


def await_change(explorer, number, act):
    """Do `act`, and wait until the number has changed, which was what the explorer had come to."""
    old = explorer.number(number)
    act()
    data = explorer.app.locator(f"[data-number={number}]").element_handle()
    explorer.page.wait_for_function("([data, old]) => data.value !== old", arg=[data, old], timeout=30_000)


# -- the plane of the VAE ----------------------------------------------------------------------------


def known_codes():
    record = json.loads((make_explorers.MODELS / "vae-digits.json").read_text(encoding="utf-8"))
    return np.array(record["points"]), np.array(record["labels"])


def code(explorer):
    return [float(explorer.app.locator(f"input[id$=z{k}]").input_value()) for k in (1, 2)]


def check_plane(explorer, decoder):
    """Picture, numbers and names are those of the code at which the sliders stand."""
    z = code(explorer)
    explorer.await_pixels(0, decoder([z])[0])
    codes, labels = known_codes()
    near = labels[np.hypot(*(codes - z).T) <= make_explorers.NEAR]
    counts = dict(part.split(":") for part in explorer.number("near").split())
    assert {int(digit): int(count) for digit, count in counts.items()} == {
        int(digit): int(count) for digit, count in zip(*np.unique(near, return_counts=True), strict=True)
    }
    assert float(explorer.number("length")) == pytest.approx(math.hypot(*z))
    plane = explorer.app.get_by_role("slider", name="Code on the plane")
    written = ", ".join(f"z{'₁₂'[k]} {z[k]:.2f}".replace("-", "−") for k in range(2)).replace("−0.00", "0.00")
    assert plane.get_attribute("aria-valuetext") == written
    return z


def test_the_plane_opens_as_its_still_picture_is_drawn(fresh, model):
    explorer = fresh("vae").load()
    assert check_plane(explorer, model("vae-digits")) == pytest.approx(known_codes()[0][0], abs=make_explorers.GRID / 2)


@SCREENS
def test_the_plane_moves_by_keyboard(explorers, model, width, scheme):
    explorer, decoder = explorers("vae", width, scheme), model("vae-digits")
    keyboard = explorer.page.keyboard
    explorer.app.get_by_role("slider", name="Code on the plane").focus()
    keyboard.press("Home")
    assert check_plane(explorer, decoder) == [0, 0]
    for key, expected in (
        ("ArrowRight", [0.05, 0]),
        ("ArrowUp", [0.05, 0.05]),
        ("Shift+ArrowLeft", [-0.45, 0.05]),
        ("Shift+ArrowDown", [-0.45, -0.45]),
    ):
        keyboard.press(key)
        assert check_plane(explorer, decoder) == pytest.approx(expected)
    keyboard.press("Tab")
    keyboard.press("End")
    assert check_plane(explorer, decoder)[0] == make_explorers.extent_of(known_codes()[0])
    keyboard.press("Tab")
    keyboard.press("ArrowDown")
    assert check_plane(explorer, decoder)[1] == pytest.approx(-0.5)


def share(z):
    """Where a code, or each of many, lies on the plane: from 0 to 1, from the left and from the top."""
    return (np.asarray(z) / make_explorers.extent_of(known_codes()[0]) * [1, -1] + 1) / 2


@SCREENS
def test_the_ring_is_at_the_code_and_each_digit_where_its_codes_are(explorers, width, scheme):
    explorer = explorers("vae", width, scheme)
    plane = explorer.app.get_by_role("slider", name="Code on the plane")
    box = explorer.center(plane)
    ring = explorer.app.locator(".vae-explorer-mark").bounding_box()
    middle = [ring["x"] + ring["width"] / 2 - box["x"], ring["y"] + ring["height"] / 2 - box["y"]]
    assert middle == pytest.approx(share(code(explorer)) * box["width"], abs=2)

    side, *values = plane.locator("canvas").evaluate(
        "c => [c.width, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )
    pixels = np.array(values).reshape(side, side, 4)
    colours = explorer.app.evaluate(
        """app => Array.from(app.querySelectorAll('.vae-explorer-swatch'), swatch =>
            getComputedStyle(swatch).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number))"""
    )
    codes, labels = known_codes()
    for digit, colour in enumerate(colours):
        rows, columns = np.nonzero((np.abs(pixels[..., :3] - colour).max(-1) < 12) & (pixels[..., 3] > 200))
        assert len(rows) > 50
        found = np.array([np.median(columns), np.median(rows)]) / side
        assert found == pytest.approx(np.median(share(codes[labels == digit]), axis=0), abs=0.06), digit


@SCREENS
def test_the_plane_moves_by_pointer(explorers, model, width, scheme):
    explorer, decoder = explorers("vae", width, scheme), model("vae-digits")
    box = explorer.center(explorer.app.get_by_role("slider", name="Code on the plane"))
    extent, mouse = make_explorers.extent_of(known_codes()[0]), explorer.page.mouse

    def place(z):
        return np.array([box["x"], box["y"]]) + share(z) * box["width"]

    coarse = make_explorers.GRID / 2 + 2 * extent / box["width"] * 2  # and two pixels
    mouse.move(*place((1.03, -0.98)))
    mouse.down()
    assert check_plane(explorer, decoder) == pytest.approx([1.03, -0.98], abs=coarse)
    mouse.move(*place((-0.5, 1.5)))
    assert check_plane(explorer, decoder) == pytest.approx([-0.5, 1.5], abs=coarse)
    mouse.move(2, 2)
    assert check_plane(explorer, decoder) == [-extent, extent]
    mouse.up()
    mouse.move(*place((0, 0)))
    assert code(explorer) == [-extent, extent]


def test_a_finger_moves_the_code_and_does_not_scroll_the_page(fresh):
    explorer = fresh("vae", width=375, has_touch=True).load()
    box = explorer.center(explorer.app.get_by_role("slider", name="Code on the plane"))
    scrolled, before = explorer.page.evaluate("scrollY"), code(explorer)
    x, y = box["x"] + 0.5 * box["width"], box["y"] + 0.7 * box["height"]
    touch = explorer.context.new_cdp_session(explorer.page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for part in (0.1, 0.2, 0.3, 0.4):
        point = {"x": x, "y": y - part * box["height"]}
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    after, extent = code(explorer), make_explorers.extent_of(known_codes()[0])
    assert after != before and after == pytest.approx([0, 0.4 * extent], abs=0.1 * extent)
    assert explorer.page.evaluate("scrollY") == scrolled


def test_the_plane_is_spoken_of_once_the_reader_pauses(explorers):
    explorer = explorers("vae")
    plane = explorer.app.get_by_role("slider", name="Code on the plane")

    def walk():
        plane.focus()
        for _ in range(5):
            explorer.page.keyboard.press("ArrowRight")

    (words,) = spoken(explorer, walk)
    counts = explorer.number("near").split()
    assert words.startswith("Codes within 0.3: ")
    assert all("{1} of {0}".format(*part.split(":")) in words for part in counts) and (counts or "none" in words)


def luminance(colour):
    channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return np.dot([0.2126, 0.7152, 0.0722], linear)


@SCREENS
def test_digits_stand_out_from_the_page(explorers, width, scheme):
    colours = explorers("vae", width, scheme).app.evaluate(
        """app => [
            getComputedStyle(document.body).backgroundColor,
            ...Array.from(app.querySelectorAll('.vae-explorer-swatch'), swatch => getComputedStyle(swatch).backgroundColor),
        ]"""
    )
    assert len(colours) == len(set(colours)) == 11
    under = luminance(colours[0])
    for colour in colours[1:]:
        low, high = sorted([luminance(colour), under])
        assert (high + 0.05) / (low + 0.05) > 4.5, colour


def test_the_codes_are_drawn_anew_when_the_theme_changes(fresh):
    explorer = fresh("vae").load()
    drawn = "app => app.querySelector('.vae-explorer-plane canvas').toDataURL()"
    before = explorer.app.evaluate(drawn)
    explorer.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    explorer.page.wait_for_function(
        f"([app, before]) => ({drawn})(app) !== before", arg=[explorer.app.element_handle(), before]
    )


def test_what_the_page_says_of_the_plane_is_so(model):
    decoder = model("vae-digits")

    def change(z, step):
        return np.abs(decoder([z])[0] - decoder([np.add(z, [step, 0])])[0]).mean()

    near, far = change((-0.15, 0), 0.3), change((-3, 2), 1)
    assert 0.5 < near / far < 2
    codes, labels = known_codes()
    middle, right = (np.hypot(*(codes - place).T) < 0.6 for place in ((0, 0.1), (2, 0)))
    assert {2, 3, 5, 8} <= set(labels[middle]) and (labels[right] == 1).mean() > 0.9
    extent = make_explorers.extent_of(codes)
    assert np.hypot(*(codes - (-extent, extent)).T).min() > make_explorers.NEAR

    def grey(pictures):
        return (pictures * (1 - pictures)).mean((1, 2, 3)) / pictures.mean((1, 2, 3))

    assert grey(decoder([(-extent, extent)])) < np.percentile(grey(decoder(codes)), 10)

    def tilt_and_ink(z):
        picture = decoder([z])[0, 0].astype(np.float64)
        rows, columns = (
            np.mgrid[:28, :28] - np.average(np.mgrid[:28, :28], axis=(1, 2), weights=[picture] * 2)[:, None, None]
        )
        return (picture * rows * columns).sum() / (picture * rows**2).sum(), picture.mean()

    tilts = [tilt_and_ink((2, z))[0] for z in (-1, 0, 1)]
    inks = [tilt_and_ink((z, 0))[1] for z in (1.5, 2, 2.5)]
    assert tilts == sorted(tilts, reverse=True) and tilts[0] - tilts[-1] > 0.3
    assert inks == sorted(inks, reverse=True) and inks[0] > 1.5 * inks[-1]


# -- the latents of the DCGAN ------------------------------------------------------------------------


def ends():
    return np.array(json.loads(make_explorers.DIRECTIONS.read_text(encoding="utf-8"))["ends"])


def latent(explorer):
    return np.array(explorer.app.evaluate("app => app.latent"))


def slide(explorer, label, value):
    explorer.app.get_by_label(label, exact=True).fill(str(value))


def start_walk(explorer):
    explorer.press("Directions to 0")
    explorer.app.get_by_label("along the arc").check()
    slide(explorer, "From A to B", 0.5)


def on_arc(a, b, t):
    return arc(torch.as_tensor(a), torch.as_tensor(b), t).numpy()


def await_between(explorer, generator, z):
    explorer.await_pixels(1, generator([z])[0])
    assert np.allclose(latent(explorer), z, atol=1e-6)
    assert float(explorer.number("length")) == pytest.approx(np.linalg.norm(z))


@SCREENS
def test_the_walk_by_keyboard_follows_the_arc_and_the_line(explorers, model, width, scheme):
    explorer, generator = explorers("dcgan", width, scheme), model("dcgan-emoji")
    start_walk(explorer)
    slide(explorer, "From A to B", 0)
    a = latent_after(explorer, generator, 0)
    slide(explorer, "From A to B", 1)
    b = latent_after(explorer, generator, 2)
    slide(explorer, "From A to B", 0.5)
    keyboard = explorer.page.keyboard
    explorer.app.get_by_label("From A to B").focus()
    await_between(explorer, generator, on_arc(a, b, 0.5))
    keyboard.press("ArrowRight")
    await_between(explorer, generator, on_arc(a, b, 0.55))
    keyboard.press("Home")
    await_between(explorer, generator, a)
    for _ in range(5):
        keyboard.press("ArrowUp")
    keyboard.press("Tab")
    keyboard.press("ArrowDown")  # among the radio buttons
    assert explorer.app.get_by_label("along the line").is_checked()
    await_between(explorer, generator, 0.75 * a + 0.25 * b)
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert float(explorer.number("angle")) == pytest.approx(math.degrees(math.acos(cosine)))


def latent_after(explorer, generator, end):
    """The latent of one end, at which the point between now lies: what is painted of both is the same."""
    explorer.page.wait_for_function(
        """([one, other]) => {
            const data = canvas => canvas.toDataURL();
            return data(one) === data(other);
        }""",
        arg=[explorer.canvas(end).element_handle(), explorer.canvas(1).element_handle()],
    )
    z = latent(explorer)
    explorer.await_pixels(end, generator([z])[0])
    return z


@SCREENS
def test_a_direction_moves_all_three(explorers, model, width, scheme):
    explorer, generator = explorers("dcgan", width, scheme), model("dcgan-emoji")
    start_walk(explorer)
    record = json.loads(make_explorers.DIRECTIONS.read_text(encoding="utf-8"))
    slide(explorer, "From A to B", 0)
    a = latent_after(explorer, generator, 0)
    for k, direction in enumerate(record["directions"], 1):
        box = explorer.center(explorer.app.get_by_label(f"Direction {k}"))
        y = box["y"] + box["height"] / 2
        explorer.page.mouse.click(box["x"] + box["width"] - 10, y)
        step = float(explorer.app.get_by_label(f"Direction {k}").input_value())
        assert step > 2
        a = a + step * np.array(direction)
        await_between(explorer, generator, a)
        explorer.await_pixels(0, generator([a])[0])
    explorer.press("Directions to 0")
    assert [explorer.app.get_by_label(f"Direction {k}").input_value() for k in (1, 2, 3, 4)] == ["0"] * 4


def test_directions_are_those_along_which_pictures_move_most(model):
    found = np.array(json.loads(make_explorers.DIRECTIONS.read_text(encoding="utf-8"))["directions"])
    assert np.allclose(found @ found.T, np.eye(len(found)), atol=1e-3)
    generator, rng = model("dcgan-emoji"), np.random.default_rng(7)
    z = rng.standard_normal((100, found.shape[1]))
    others = rng.standard_normal((20, found.shape[1]))
    others /= np.linalg.norm(others, axis=1, keepdims=True)

    def moved(direction):
        return np.square(generator(z + 0.01 * direction) - generator(z - 0.01 * direction)).sum()

    shares = [moved(direction) for direction in found]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] > 1.5 * max(moved(direction) for direction in others)


def test_of_many_moves_at_once_the_last_is_shown(explorers, model):
    explorer, generator = explorers("dcgan"), model("dcgan-emoji")
    start_walk(explorer)
    slide(explorer, "From A to B", 0)
    latent_after(explorer, generator, 0)
    explorer.app.get_by_label("From A to B").evaluate(
        """slider => {
            for (const t of [0.2, 0.4, 0.6, 0.8, 1]) {
                slider.value = t;
                slider.dispatchEvent(new Event("input"));
            }
        }"""
    )
    latent_after(explorer, generator, 2)


def test_what_the_page_says_of_the_walk_is_so(model):
    generator, rng = model("dcgan-emoji"), np.random.default_rng(8)
    a, b = rng.standard_normal((2, 200, 64))
    curved, line = (generator(z).std((1, 2, 3)) for z in (on_arc(a, b, 0.5), (a + b) / 2))
    assert 0.8 < (line / curved).mean() < 0.95 and (line < curved).mean() > 0.9
    lengths = np.linalg.norm(rng.standard_normal((2000, 64)), axis=1)
    assert (lengths < np.linalg.norm(ends().mean(0))).mean() < 0.01


def test_new_random_codes_are_draws_from_the_prior(explorers, model):
    explorer, generator = explorers("dcgan"), model("dcgan-emoji")
    start_walk(explorer)
    slide(explorer, "From A to B", 0)
    kept = explorer.pixels(2)
    draws = []
    for _ in range(12):
        before = latent(explorer)
        explorer.press("New random A")
        explorer.page.wait_for_function(
            "([app, before]) => app.latent[0] !== before", arg=[explorer.app.element_handle(), before[0]]
        )
        draws.append(latent(explorer))
    await_between(explorer, generator, draws[-1])
    explorer.await_pixels(0, generator([draws[-1]])[0])
    assert (explorer.pixels(2) == kept).all()
    draws = np.array(draws)
    # Five standard errors.
    assert abs(draws.mean()) < 5 / math.sqrt(draws.size)
    assert abs(draws.std() - 1) < 5 / math.sqrt(2 * draws.size)
    assert abs(np.corrcoef(draws[:, ::2].flatten(), draws[:, 1::2].flatten())[0, 1]) < 5 / math.sqrt(draws.size / 2)
    explorer.press("New random B")
    slide(explorer, "From A to B", 1)
    latent_after(explorer, generator, 2)


def test_the_walk_is_spoken_of_once_the_reader_pauses(explorers):
    explorer = explorers("dcgan")
    start_walk(explorer)

    def walk():
        for t in (0.1, 0.2, 0.3):
            slide(explorer, "From A to B", t)

    (words,) = spoken(explorer, walk)
    assert f"Length {float(explorer.number('length')):.2f}" in words and "apart" in words


# -- there and back ----------------------------------------------------------------------------------

WAYS = {"a blob of 2017": ("X", "G", "F"), "an emoji of 2020": ("Y", "F", "G")}


def emoji(domain, number):
    path = sorted((make_explorers.MODELS / "emoji").glob(f"{domain}-*.png"))[number]
    image = Image.open(path).convert("RGB")
    return np.array(image).transpose(2, 0, 1) / np.float32(255)


def check_cycle(explorer, model, start="a blob of 2017"):
    """Pictures and numbers are what the models make of the first canvas; returns it, (3, side, side) in [0, 1]."""
    x = (explorer.pixels(0).transpose(2, 0, 1) / 255).astype(np.float32)
    _, there, back = WAYS[start]
    translated = model(f"cyclegan-emoji-{there}")(x[None])
    returned = model(f"cyclegan-emoji-{back}")(translated)
    explorer.await_pixels(1, translated[0])
    explorer.await_pixels(2, returned[0], THROUGH_TWO)
    assert float(explorer.number("moved")) == pytest.approx(np.abs(translated - x).mean(), abs=1e-4)
    assert float(explorer.number("cycle")) == pytest.approx(np.abs(returned - x).mean(), abs=1e-3)
    return x


def pick(explorer, start="a blob of 2017", index=0):
    explorer.app.get_by_label(start).check()
    shelf = explorer.app.locator("fieldset[class*=shelf]:not([hidden])")
    shelf.get_by_role("radio").nth(index).check()
    slide(explorer, "Levels of 255", 0)
    return shelf


@SCREENS
@pytest.mark.parametrize("start", WAYS)
def test_pictures_are_picked_by_keyboard_and_by_pointer(explorers, model, width, scheme, start):
    explorer = explorers("cyclegan", width, scheme)
    shelf = pick(explorer, start)
    domain, there, back = WAYS[start]
    assert np.array_equal(check_cycle(explorer, model, start), emoji(domain, 0))
    shelf.get_by_role("radio").first.focus()
    explorer.page.keyboard.press("ArrowRight")
    assert np.array_equal(check_cycle(explorer, model, start), emoji(domain, 1))
    shelf.locator("label").nth(3).click()
    assert np.array_equal(check_cycle(explorer, model, start), emoji(domain, 3))
    assert shelf.locator("label").nth(3).inner_text().strip() == "cherries"
    small = domain.lower()
    titles = [text.strip() for text in explorer.app.locator(".explorer-titled p").all_inner_texts()]
    assert titles == [small, f"{there}({small})", f"{back}({there}({small}))"]


@SCREENS
def test_the_pointer_paints(explorers, model, width, scheme):
    explorer = explorers("cyclegan", width, scheme)
    pick(explorer)
    before = check_cycle(explorer, model)
    explorer.app.get_by_label("red", exact=True).check()
    slide(explorer, "Width of the brush", 5)
    box, mouse = explorer.center(explorer.canvas(0)), explorer.page.mouse
    one = box["width"] / before.shape[-1]
    mouse.move(box["x"] + 8 * one, box["y"] + 16 * one)
    mouse.down()
    mouse.move(box["x"] + 24 * one, box["y"] + 16 * one)
    mouse.up()
    mouse.move(box["x"] + 16 * one, box["y"] + 28 * one)
    after = check_cycle(explorer, model)
    red = (after == np.array([219, 50, 54], np.float32)[:, None, None] / np.float32(255)).all(0)
    assert red[14:18, 8:24].all() and not red[:12].any() and not red[20:].any()
    assert np.array_equal(after[:, ~red], before[:, ~red])
    assert explorer.app.locator("fieldset[class*=shelf] input:checked").count() == 0


@SCREENS
def test_the_keyboard_paints(explorers, model, width, scheme):
    explorer, keyboard = explorers("cyclegan", width, scheme), explorers("cyclegan", width, scheme).page.keyboard
    pick(explorer, index=1)
    before = check_cycle(explorer, model)
    explorer.app.get_by_label("black", exact=True).check()
    slide(explorer, "Width of the brush", 1)
    keyboard.press("Tab")
    paper = explorer.canvas(0)
    paper.focus()
    assert explorer.app.locator(".cyclegan-explorer-brush").is_visible()
    for _ in range(9):
        keyboard.press("Shift+ArrowUp")
        keyboard.press("Shift+ArrowLeft")
    keyboard.press("ArrowRight")
    keyboard.press("Space")
    after = check_cycle(explorer, model)
    expected = before.copy()
    expected[:, 0, 1] = 0
    assert np.array_equal(after, expected) and not np.array_equal(after, before)


def test_on_a_white_sheet_rounding_becomes_a_pattern_until_one_stroke_is_painted(explorers, model):
    explorer = explorers("cyclegan")
    pick(explorer)
    check_cycle(explorer, model)
    explorer.app.get_by_label("black", exact=True).check()
    slide(explorer, "Width of the brush", 3)
    await_change(explorer, "cycle", lambda: explorer.press("White sheet"))
    assert (explorer.pixels(0) == 255).all()
    painted = explorer.pixels(1)
    assert painted.std() > 10
    elsewhere = 255 * predict("cyclegan-emoji-G")(torch.ones(1, 3, 32, 32))[0].permute(1, 2, 0).numpy()
    assert np.abs(painted - elsewhere).max() > 50
    box, mouse = explorer.center(explorer.canvas(0)), explorer.page.mouse
    mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    mouse.down()
    mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.5 * box["height"])
    mouse.up()
    check_cycle(explorer, model)


def test_what_the_page_says_of_the_two_numbers_is_so(model):
    rng = np.random.default_rng(9)
    for domain, there, back in WAYS.values():
        x = np.stack([emoji(domain, number) for number in range(6)])
        translated = model(f"cyclegan-emoji-{there}")(x)
        noisy = np.clip(translated + 8 / 255 * rng.standard_normal(x.shape), 0, 1)
        moved, cycle, cycle_of_noisy = (
            np.abs(y - x).mean((1, 2, 3))
            for y in (translated, *(model(f"cyclegan-emoji-{back}")(y) for y in (translated, noisy)))
        )
        assert ((0.7 < cycle / moved) & (cycle / moved < 1.5)).all() and (cycle > moved).mean() > 0.5
        assert (np.abs(cycle_of_noisy / cycle - 1) < 0.05).all()


def test_noise_falls_on_the_translation_alone(explorers, model):
    explorer = explorers("cyclegan")
    pick(explorer)
    x = check_cycle(explorer, model)
    clean = model("cyclegan-emoji-G")(x[None])[0]
    await_change(explorer, "cycle", lambda: slide(explorer, "Levels of 255", 16))
    assert np.array_equal(explorer.pixels(0).transpose(2, 0, 1), np.round(255 * x))
    noisy = (explorer.pixels(1).transpose(2, 0, 1) / 255).astype(np.float32)
    inside = (clean > 0.3) & (clean < 0.7)  # where nothing is cut off
    assert (255 * (noisy - clean))[inside].std() == pytest.approx(16, rel=0.2)
    explorer.await_pixels(2, model("cyclegan-emoji-F")(noisy[None])[0], 8)
    slide(explorer, "Levels of 255", 0)
    check_cycle(explorer, model)


def test_the_round_trip_is_spoken_of_once_the_reader_pauses(explorers):
    explorer = explorers("cyclegan")
    pick(explorer)

    def choose():
        for index in (1, 2, 3):
            pick(explorer, index=index)

    (words,) = spoken(explorer, choose)
    assert words == f"L1 of the round trip {float(explorer.number('cycle')):.3f}."
