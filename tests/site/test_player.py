"""The player of the 1-D GAN's training, on its page: by keyboard, by pointer and without scripts."""

import json

import pytest
from check_site import lay_out

pytestmark = [pytest.mark.browser, pytest.mark.needs("chromium")]

PAGE = "book/gan_theory.html"
LOADING = 120_000  # milliseconds, for a busy machine: the page has much math


class Player:
    def __init__(self, page):
        self.page, self.figure = page, page.locator("figure.coursekit-player")
        self.picture, self.button = self.figure.locator("img"), self.figure.locator("button")
        self.slider, self.output = self.figure.get_by_role("slider"), self.figure.locator("output")

    @property
    def labels(self):
        return json.loads(self.figure.locator("script").first.text_content())["labels"]

    def state(self):
        """Number of the frame, and what stands on the button; picture, slider and words agree."""
        label, source = self.output.inner_text(), self.picture.get_attribute("src")
        frame = self.labels.index(label)
        assert int(self.slider.input_value()) == frame
        assert self.slider.get_attribute("aria-valuetext") == label
        frames = self.figure.locator("script").first.evaluate("data => JSON.parse(data.textContent).frames")
        assert frame == 0 or source.endswith(frames[frame - 1])
        return frame, self.button.inner_text()

    def await_frame(self, frame):
        self.figure.get_by_text(self.labels[frame], exact=True).wait_for()


@pytest.fixture(params=[(1280, "light"), (375, "dark")], ids=str)
def player(browser, address, request):
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{address}/{PAGE}", wait_until="domcontentloaded", timeout=LOADING)
    lay_out(page)
    yield Player(page)
    context.close()


def test_the_training_is_played_paused_and_pulled_to_a_step(player):
    last = len(player.labels) - 1
    assert player.state() == (0, "Play")

    player.button.press("Enter")
    player.await_frame(2)
    player.button.press("Enter")
    frame, said = player.state()
    assert 2 <= frame < last and said == "Play"
    player.page.wait_for_timeout(700)  # two frames long
    assert player.state() == (frame, "Play")

    player.slider.press("ArrowRight")
    assert player.state() == (frame + 1, "Play")
    player.slider.press("End")
    assert player.state() == (last, "Play")
    player.slider.press("Home")
    assert player.state() == (0, "Play")

    player.slider.scroll_into_view_if_needed()
    box = player.slider.bounding_box()
    y = box["y"] + box["height"] / 2
    player.page.mouse.move(box["x"] + 8, y)
    player.page.mouse.down()
    player.page.mouse.move(box["x"] + box["width"] / 2, y, steps=4)
    player.page.mouse.up()
    frame, said = player.state()
    assert abs(frame - last / 2) <= 1 and said == "Play"

    player.button.click()
    player.await_frame(last)
    assert player.state() == (last, "Play")


def test_it_fits_the_screen_and_ends_near_the_least_criterion(player):
    width = player.page.viewport_size["width"]
    box = player.figure.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    criteria = [float(label.split("=")[1].replace("−", "-")) for label in player.labels]
    assert criteria[-1] == pytest.approx(-1.386, abs=0.02) and criteria[-1] < criteria[0] - 0.4


def test_without_scripts_and_on_paper_there_is_a_picture_and_no_control(browser, address, player):
    player.page.emulate_media(media="print")
    assert player.picture.is_visible() and not player.button.is_visible()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/{PAGE}", wait_until="domcontentloaded", timeout=LOADING)
    quiet = Player(page)
    assert quiet.picture.is_visible() and not quiet.button.is_visible()
    assert len(quiet.picture.get_attribute("alt")) > 100
    context.close()
