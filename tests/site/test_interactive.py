"""The GAN game: its arithmetic against coursekit.theory, and its page by keyboard, by pointer and without scripts."""

import math
from pathlib import Path

import gan_theory  # book/results
import numpy as np
import pytest
import torch
from check_site import lay_out

from coursekit.data.densities import gaussian_mixture
from coursekit.theory import criterion, jensen_shannon, optimal_discriminator, value

pytestmark = [pytest.mark.browser, pytest.mark.needs("chromium")]

SCRIPTS = Path(__file__).resolve().parents[2] / "book" / "_extra" / "interactive"
PAGE = "book/gan_theory.html"
LOADING = 120_000  # milliseconds, for a busy machine: the page has much math
LOG4 = math.log(4)
X = np.linspace(-14, 14, 2801)  # twice as fine as the page's
DX = X[1] - X[0]


# -- the arithmetic ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def maths(browser):
    """`maths(name, *arguments)` calls a function of densities.js; lists go in and come out."""
    page = browser.new_page()
    page.add_script_tag(path=SCRIPTS / "densities.js")

    def call(name, *arguments):
        source = """([name, values]) => {
            const found = coursekitDensities[name](...values);
            return ArrayBuffer.isView(found) ? Array.from(found) : found;
        }"""
        return page.evaluate(source, [name, [np.asarray(a).tolist() if np.ndim(a) else a for a in arguments]])

    yield call
    page.close()


def random_player(rng):
    return {
        "share": float(rng.choice([0, 1, rng.uniform()])),
        "means": rng.uniform(-5, 5, 2).tolist(),
        "widths": rng.uniform(0.25, 1.5, 2).tolist(),
    }


def exact(player, x=X):
    weights = torch.tensor([player["share"], 1 - player["share"]], dtype=torch.float64)
    means, widths = (torch.tensor(player[name], dtype=torch.float64) for name in ("means", "widths"))
    return gaussian_mixture(weights, means, widths).log_prob(torch.as_tensor(np.asarray(x))).exp().numpy()


def tables(seed):
    """Two random tables of one length, with zeros in one, in the other and in both."""
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(12), 2)
    p[[0, 1, 4]] = q[[1, 2, 3]] = 0
    return p / p.sum(), q / q.sum()


@pytest.mark.parametrize("seed", range(12))
def test_the_page_computes_what_coursekit_computes_for_random_densities(maths, seed):
    rng = np.random.default_rng(seed)
    players = [random_player(rng), random_player(rng)]
    x = maths("grid", -14, 14, 1401)
    weights = maths("trapezoid", x)
    logs = [maths("logMixture", x, player) for player in players]
    data, g = (maths("exp", log) for log in logs)
    d = rng.uniform(size=len(x))
    assert np.allclose(x, np.linspace(-14, 14, 1401), rtol=0, atol=1e-12)
    assert np.allclose(weights, np.r_[0.01, np.full(1399, 0.02), 0.01], rtol=0, atol=1e-12)
    for density, player in zip((data, g), players, strict=True):
        assert np.allclose(density, exact(player, x), rtol=0, atol=1e-12)
    assert np.allclose(
        maths("optimalDiscriminator", data, g),
        optimal_discriminator(np.array(data), np.array(g)),
        rtol=0, atol=1e-6, equal_nan=True,
    )  # fmt: skip

    fine = [exact(player) for player in players]
    for name, function in (("jensenShannon", jensen_shannon), ("criterion", criterion)):
        assert maths(name, data, g, weights) == pytest.approx(function(*fine, DX).item(), abs=1e-6)
    expected = value(np.array(data), np.array(g), d, np.array(weights)).item()
    assert maths("value", data, g, d, weights) == pytest.approx(expected, abs=1e-6)

    logits = maths("optimalLogit", *logs)
    assert maths("valueOfLogits", data, g, logits, weights) == pytest.approx(criterion(*fine, DX).item(), abs=1e-6)
    anywhere = rng.normal(size=len(x))
    expected = value(np.array(data), np.array(g), 1 / (1 + np.exp(-anywhere)), np.array(weights)).item()
    assert maths("valueOfLogits", data, g, anywhere, weights) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_the_page_computes_what_coursekit_computes_for_tables_with_zeros(maths, seed):
    p, q = tables(seed)
    ones = np.ones_like(p)
    d_star = maths("optimalDiscriminator", p, q)
    assert np.allclose(d_star, optimal_discriminator(p, q), rtol=0, atol=1e-6, equal_nan=True)
    assert np.isnan(d_star[1]) and not np.isnan(np.delete(d_star, 1)).any()
    assert maths("value", p, q, d_star, ones) == pytest.approx(value(p, q, np.array(d_star)).item(), abs=1e-6)
    assert maths("criterion", p, q, ones) == pytest.approx(criterion(p, q).item(), abs=1e-6)
    assert maths("jensenShannon", p, q, ones) == pytest.approx(jensen_shannon(p, q).item(), abs=1e-6)
    d = np.random.default_rng(seed).uniform(size=len(p))
    assert maths("value", p, q, d, ones) == pytest.approx(value(p, q, d).item(), abs=1e-6)


def test_supports_that_do_not_meet_have_the_criterion_0(maths):
    p, q, ones = [0.25, 0.75, 0, 0, 0], [0, 0, 0, 0.5, 0.5], [1] * 5
    d_star = maths("optimalDiscriminator", p, q)
    assert d_star[:2] == [1, 1] and math.isnan(d_star[2]) and d_star[3:] == [0, 0]
    assert maths("criterion", p, q, ones) == pytest.approx(0, abs=1e-15)
    assert maths("jensenShannon", p, q, ones) == pytest.approx(math.log(2), abs=1e-15)
    assert maths("value", p, q, d_star, ones) == 0


def test_equal_densities_have_the_criterion_minus_log_4(maths):
    p, ones = [0.25, 0.75, 0], [1] * 3
    assert maths("jensenShannon", p, p, ones) == 0
    assert maths("criterion", p, p, ones) == -LOG4
    assert maths("optimalDiscriminator", p, p)[:2] == [0.5, 0.5]


@pytest.mark.parametrize("d", [[0, 0.5], [0.5, 1]])
def test_certain_and_wrong_is_worth_minus_infinity(maths, d):
    assert maths("value", [0.5, 0.5], [0.5, 0.5], d, [1, 1]) == -math.inf
    assert value([0.5, 0.5], [0.5, 0.5], d).item() == -math.inf


def test_a_certainty_that_is_only_rounding_is_read_as_d_star(maths):
    p, q = [0.5, 0.5], [1 - 1e-17, 1e-17]
    q_small, p_small = [1.0, 1e-320], [1e-320, 1.0]
    for first, second, d in ((p, q, [1 / 3, 1.0]), (p_small, q_small, [0.0, 1.0])):
        expected = value(first, second, d).item()
        assert math.isfinite(expected)
        assert maths("value", first, second, d, [1, 1]) == pytest.approx(expected, abs=1e-6)


def test_a_point_without_weight_counts_for_nothing(maths):
    assert maths("value", [1, 1], [1, 0], [0.5, 0], [1, 0]) == pytest.approx(-LOG4)


def test_curves_cross_where_their_difference_changes_sign(maths):
    x = np.linspace(-3, 3, 61)
    assert maths("crossings", x, x - 0.512) == pytest.approx([0.512])
    assert maths("crossings", x, np.abs(x) - 1.25) == pytest.approx([-1.25, 1.25])
    assert maths("crossings", x, np.round(x, 6)) == pytest.approx([0])
    assert maths("crossings", x, 0 * x) == []
    assert maths("crossings", x, np.clip(x, 0, 1)) == pytest.approx([0])
    assert maths("crossings", x, x**2 + 1) == []


def test_lists_of_different_lengths_are_refused(maths):
    with pytest.raises(Exception, match="lists must be of one length, got 2, 2, 1"):
        maths("criterion", [0.5, 0.5], [0.5, 0.5], [1])


# -- the page ------------------------------------------------------------------------------------------


STATE = """app => {
    const number = name => +app.querySelector(`[data-number=${name}]`).value;
    const player = name => {
        const label = text => [...app.querySelectorAll(`fieldset.${name} label`)].find(node => node.textContent === text);
        const value = text => label(text).control.valueAsNumber;
        return {
            share: value("Share of hump 1"),
            means: [1, 2].map(hump => value(`Centre of hump ${hump}`)),
            widths: [1, 2].map(hump => value(`Width of hump ${hump}`)),
        };
    };
    return {
        data: player("data"),
        g: player("g"),
        constant: app.querySelector("input[type=radio]").checked,
        level: app.querySelector("[aria-label='The constant D']").valueAsNumber,
        ...Object.fromEntries(["jsd", "criterion", "value"].map(name => [name, number(name)])),
    };
}"""


class Game:
    """The game on an open page."""

    def __init__(self, page):
        self.page = page
        self.app = page.locator(".interactive-app[data-interactive=gan-game]")

    def slider(self, player, label):
        return self.app.locator(f"fieldset.{player}").get_by_label(label)

    def press(self, name):
        self.app.get_by_role("button", name=name, exact=True).click()

    def move(self, player, label, wanted):
        self.slider(player, label).fill(str(wanted))

    def number(self, name):
        return self.app.evaluate(STATE)[name]

    def text(self, name):
        return self.app.locator(f"[data-number={name}]").inner_text()

    def player(self, name):
        return self.app.evaluate(STATE)[name]

    def densities(self):
        state = self.app.evaluate(STATE)
        return exact(state["data"]), exact(state["g"])

    def check(self):
        """The numbers are those that coursekit computes for what the sliders say."""
        state = self.app.evaluate(STATE)
        data, g = exact(state["data"]), exact(state["g"])
        assert state["jsd"] == pytest.approx(jensen_shannon(data, g, DX).item(), abs=1e-6)
        assert state["criterion"] == pytest.approx(criterion(data, g, DX).item(), abs=1e-6)
        assert state["value"] <= state["criterion"] + 1e-9
        if state["constant"]:
            expected = value(data, g, np.full_like(data, state["level"]), DX).item()
            assert state["value"] == pytest.approx(expected, abs=1e-6)

    def handle(self, name):
        """Where a handle is on the screen: `data-peak-1`, `g-width-2`, ..."""
        box = self.app.locator(f"[data-handle={name}] .reach").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def unit(self):
        """Pixels of one unit of x."""
        ticks = self.app.locator(".gan-game-picture .frame text.middle")
        left, right = (ticks.nth(i).evaluate("t => +t.getAttribute('x')") for i in (0, ticks.count() - 1))
        return (right - left) / 12

    def show_picture(self):
        picture = self.app.locator(".gan-game-picture")
        picture.evaluate("picture => picture.scrollIntoView({block: 'center', behavior: 'instant'})")

    def drag(self, name, dx, dy=0):
        self.show_picture()
        x, y = self.handle(name)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx / 2, y + dy / 2)
        self.page.mouse.move(x + dx, y + dy)
        self.page.mouse.up()


@pytest.fixture(scope="module")
def games(open_page):
    """One open page for each screen that the tests ask for; at the end nothing may have gone wrong on it."""
    visits = {}

    def game(width, scheme):
        if (width, scheme) not in visits:
            visit = visits[width, scheme] = open_page(PAGE)
            visit.page.set_viewport_size({"width": width, "height": 800})
            visit.page.emulate_media(color_scheme=scheme)
            visit.page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
        return Game(visits[width, scheme].page)

    yield game
    for visit in visits.values():
        assert (visit.console_errors, visit.failed, visit.left_the_site) == ([], [], [])
        visit.page.close()


@pytest.fixture
def open_game(games):
    """`open_game(width, scheme)` gives a `Game` at its start."""

    def open_game(width=1280, scheme="light"):
        game = games(width, scheme)
        game.press("Start")
        game.page.wait_for_function(
            """() => [...document.querySelectorAll(".interactive-app svg")]
                .every(svg => svg.viewBox.baseVal.width === svg.clientWidth)"""
        )
        return game

    return open_game


SCREENS = pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])


def test_the_game_opens_as_its_still_picture_is_drawn(open_game):
    game = open_game()
    legends = [" ".join(text.split()) for text in game.app.locator("legend").all_inner_texts()]
    assert legends == ["pdata, the data", "pg, the generator", "D, a discriminator of your own"]
    for name in ("data", "g"):
        weights, means, widths = gan_theory.GAME[name]
        assert game.player(name) == {"share": weights[0], "means": means, "widths": widths}
    assert game.app.get_by_label("The constant D").input_value() == "0.5"
    game.check()


@SCREENS
def test_the_keyboard_moves_everything(open_game, width, scheme):
    game = open_game(width, scheme)
    keyboard = game.page.keyboard
    game.app.get_by_role("button", name="Start").focus()
    for _ in range(4):
        keyboard.press("Tab")
    for name in ("data", "g"):
        for label, at_home in (
            ("Centre of hump 1", "-5"),
            ("Width of hump 1", "0.25"),
            ("Centre of hump 2", "-5"),
            ("Width of hump 2", "0.25"),
            ("Share of hump 1", "0"),
        ):
            slider = game.slider(name, label)
            assert slider.evaluate("slider => slider === document.activeElement")
            assert slider.evaluate("slider => getComputedStyle(slider).outlineStyle") == "solid"
            before = float(slider.input_value())
            keyboard.press("ArrowLeft")
            assert float(slider.input_value()) == pytest.approx(before - 0.05)
            keyboard.press("Home")
            assert slider.input_value() == at_home
            keyboard.press("ArrowRight")
            game.check()
            keyboard.press("Tab")
    assert game.app.get_by_label("the same everywhere").evaluate("radio => radio === document.activeElement")
    keyboard.press("Tab")
    keyboard.press("End")
    game.check()
    assert game.number("value") == pytest.approx(math.log(0.99) + math.log(0.01), abs=1e-6)
    keyboard.press("Tab")
    keyboard.press("Enter")  # on "Freeze now"
    assert game.app.get_by_label("frozen at some moment").is_checked()
    assert game.number("value") == pytest.approx(game.number("criterion"), abs=1e-9)
    keyboard.press("Shift+Tab")
    keyboard.press("ArrowUp")  # among the radio buttons
    assert game.app.get_by_label("the same everywhere").is_checked()
    game.check()


@SCREENS
def test_the_pointer_drags_every_handle(open_game, width, scheme):
    game = open_game(width, scheme)
    game.press("Mode collapse")  # no handle hides another
    unit = game.unit()
    for name, hump, other in (("data", 1, 2), ("data", 2, 1), ("g", 1, 2), ("g", 2, 1)):
        if name == "g":
            game.move("g", "Share of hump 1", 0.5)
        game.move(name, f"Centre of hump {hump}", -1)
        game.move(name, f"Centre of hump {other}", 4)
        game.move("g" if name == "data" else "data", "Centre of hump 1", -4)
        before = game.player(name)
        game.drag(f"{name}-peak-{hump}", 1.5 * unit)
        after = game.player(name)
        assert after["means"][hump - 1] == pytest.approx(0.5, abs=0.051)
        assert after["widths"] == before["widths"] and after["share"] == before["share"]
        game.check()
        game.drag(f"{name}-peak-{hump}", 0, 40)  # down
        part = [after["share"], 1 - after["share"]][hump - 1]
        lower = game.player(name)["share"]
        assert [lower, 1 - lower][hump - 1] < part - 0.04
        game.check()
        wide = game.player(name)["widths"][hump - 1]
        game.drag(f"{name}-width-{hump}", 0.5 * unit)
        assert game.player(name)["widths"][hump - 1] == pytest.approx(wide + 0.5, abs=0.051)
        game.check()


def test_handles_stay_within_their_bounds_wherever_they_are_dragged(open_game):
    game = open_game()
    game.drag("g-peak-1", 3000, -2000)
    game.drag("data-width-1", 3000, 500)
    game.drag("data-peak-2", -3000, 2000)
    assert game.player("g")["means"][0] == 5 and game.player("g")["share"] == 1
    assert game.player("data")["widths"][0] == 1.5 and game.player("data")["means"][1] == -5
    assert game.player("data")["share"] == 1
    game.check()


def test_of_two_handles_in_one_place_the_generators_is_meant(open_game):
    game = open_game()
    game.press("Make them equal")
    before = game.player("data")
    game.drag("data-peak-1", -game.unit())
    assert game.player("data") == before
    assert game.player("g")["means"][0] == pytest.approx(before["means"][0] - 1, abs=0.051)


def test_a_finger_drags_a_handle_and_does_not_scroll_the_page(browser, address):
    context = browser.new_context(viewport={"width": 375, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto(f"{address}/{PAGE}", wait_until="domcontentloaded", timeout=LOADING)
    game = Game(page)
    lay_out(page)
    game.show_picture()
    touch = context.new_cdp_session(page)
    scrolled, (x, y), unit = page.evaluate("scrollY"), game.handle("g-peak-1"), game.unit()
    down = 60
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for part in (0.25, 0.5, 0.75, 1):
        point = {"x": x + part * unit, "y": y + part * down}
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert game.player("g")["means"][0] == pytest.approx(-0.5, abs=0.051)
    assert game.player("g")["share"] < 0.9
    assert page.evaluate("scrollY") == scrolled
    game.check()
    context.close()


@SCREENS
def test_equal_densities_reach_minus_log_4_and_densities_far_apart_0(open_game, width, scheme):
    game = open_game(width, scheme)
    game.press("Make them equal")
    assert game.player("g") == game.player("data")
    assert game.number("criterion") == pytest.approx(-LOG4, abs=1e-6)
    assert game.number("jsd") == pytest.approx(0, abs=1e-6)
    assert game.text("crossings") == "everywhere" and game.text("criterion") == "−1.386"
    game.press("Far apart")
    assert game.number("criterion") == pytest.approx(0, abs=1e-6)
    assert game.number("jsd") == pytest.approx(math.log(2), abs=1e-6)
    assert game.text("criterion") == "0.000"
    game.press("Start")
    assert game.player("g")["means"] == gan_theory.GAME["g"][1]
    game.check()


def test_the_curves_cross_where_the_page_says(open_game):
    game = open_game()
    game.move("g", "Centre of hump 1", -0.5)
    data, g = game.densities()
    here = (np.sign(data - g)[:-1] * np.sign(data - g)[1:] < 0) & (np.abs(X[:-1]) < 6.5)
    found = game.app.locator("[data-number=crossings]").get_attribute("value").split()
    assert [float(x) for x in found] == pytest.approx(X[:-1][here] + DX / 2, abs=DX)
    assert len(found) == 3 == game.app.locator(".gan-game-picture .marks circle").count()


def test_the_answers_on_the_page_are_right(open_game):
    game = open_game()

    game.press("Far apart")
    assert game.player("g")["means"][0] == 3.5
    game.move("g", "Centre of hump 1", 1.5)
    assert game.text("criterion") == "0.000" and game.text("jsd") == "0.693"
    game.move("g", "Centre of hump 1", 0.5)
    assert game.number("criterion") < -0.005

    game.press("Mode collapse")
    assert game.number("criterion") == pytest.approx(0.5 * math.log(1 / 3) + math.log(2 / 3), abs=1e-4)
    assert game.text("criterion") == "−0.955" and game.text("jsd") == "0.216"
    collapsed = game.number("criterion")
    for width in (0.3, 0.45, 0.55, 0.8):
        game.move("g", "Width of hump 2", width)
        assert game.number("criterion") > collapsed
    game.move("g", "Width of hump 2", 0.5)
    falling = []
    for share in (0, 0.1, 0.2, 0.3, 0.4, 0.5):
        game.move("g", "Share of hump 1", share)
        falling.append(game.number("criterion"))
    assert falling == sorted(falling, reverse=True) and falling[-1] == pytest.approx(-LOG4, abs=1e-6)

    game.press("Start")
    game.press("Freeze now")
    values, criteria = [], []
    for centre in np.arange(-1.5, 5.01, 0.5):
        game.move("g", "Centre of hump 1", centre)
        values.append(game.number("value"))
        criteria.append(game.number("criterion"))
    assert values == sorted(values, reverse=True) and values[-1] == pytest.approx(-23, abs=0.5)
    assert np.arange(-1.5, 5.01, 0.5)[np.argmin(criteria)] == 1 and criteria[-1] > -0.01
    game.press("Freeze now")
    assert game.number("value") == pytest.approx(game.number("criterion"), abs=1e-9)
    game.app.get_by_label("the same everywhere").check()
    assert game.number("value") == pytest.approx(-LOG4, abs=1e-6)


def test_a_frozen_d_keeps_its_values_while_the_densities_move(open_game):
    game = open_game()
    data, g = game.densities()
    frozen = optimal_discriminator(data, g).numpy()
    game.app.get_by_label("frozen at some moment").check()
    game.move("g", "Centre of hump 1", -1)
    game.move("data", "Width of hump 2", 0.8)
    data, g = game.densities()
    expected = value(data, g, np.clip(frozen, 1e-300, 1 - 1e-16), DX).item()
    assert game.number("value") == pytest.approx(expected, abs=1e-6)
    game.check()


def test_the_numbers_are_spoken_once_when_the_reader_pauses(open_game):
    game = open_game()
    status = game.app.get_by_role("status")
    game.slider("g", "Centre of hump 1").evaluate(
        """slider => {
            window.spoken = [];
            const status = slider.closest(".interactive-app").querySelector("[role=status]");
            new MutationObserver(() => spoken.push(status.textContent)).observe(status, {childList: true});
            for (let i = 1; i <= 10; i++) {
                slider.value = i / 10;
                slider.dispatchEvent(new Event("input"));
            }
        }"""
    )
    game.page.wait_for_function("spoken.length > 0")
    assert game.page.evaluate("spoken") == [status.inner_text()]
    for part in (game.text("jsd"), game.text("criterion"), game.text("value"), "cross at x"):
        assert part in status.inner_text()


@SCREENS
def test_lines_stand_out_from_the_page(open_game, width, scheme):
    game = open_game(width, scheme)
    colours = game.app.evaluate(
        """app => {
            const colour = (selector, what) => getComputedStyle(app.querySelector(selector))[what];
            return [
                getComputedStyle(document.body).backgroundColor,
                ...["data", "g", "dstar", "own"].map(name => colour(`path.${name}.line:not(.faint)`, "stroke")),
                colour(".handle.g rect", "stroke"), colour(".marks circle", "fill"),
            ];
        }"""
    )

    def luminance(colour):
        channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return np.dot([0.2126, 0.7152, 0.0722], linear)

    under = luminance(colours[0])
    for colour in colours[1:]:
        low, high = sorted([luminance(colour), under])
        assert (high + 0.05) / (low + 0.05) > 3, colour


def test_it_works_from_a_file_without_motion_or_requests(browser, html):
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
    page.goto((html / PAGE).as_uri(), wait_until="domcontentloaded", timeout=LOADING)
    game = Game(page)
    game.press("Make them equal")
    game.drag("g-peak-2", 2 * game.unit())
    game.check()
    assert game.app.evaluate("app => app.getAnimations({subtree: true}).length") == 0
    assert wrong == []
    context.close()


def test_without_scripts_and_in_print_the_still_picture_stands_in(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/{PAGE}", wait_until="domcontentloaded", timeout=LOADING)
    figure = page.locator("#fig-gan-game")
    assert figure.locator("img.interactive-still").is_visible() and not figure.locator(".interactive-app").is_visible()
    assert figure.locator("noscript p").is_visible()
    context.close()

    page = browser.new_page()
    page.goto(f"{address}/{PAGE}", wait_until="domcontentloaded", timeout=LOADING)
    still, app = page.locator("#fig-gan-game img.interactive-still"), page.locator("#fig-gan-game .interactive-app")
    assert app.is_visible() and not still.is_visible()
    page.emulate_media(media="print")
    assert still.is_visible() and not app.is_visible()
    page.close()


def test_only_the_page_that_shows_the_game_loads_it(html, pages):
    loading = [page for page in pages if "gan-game.js" in (html / page).read_text(encoding="utf-8")]
    assert loading == [PAGE]
