import functools
import io
import itertools
import re

import numpy as np
import pytest
import torch
from matplotlib import rcParams
from matplotlib.colors import to_hex, to_rgb
from matplotlib.image import imread
from matplotlib.text import Text
from torch.distributions import Normal

from coursekit import plots

WHITE = 255


def pixels(fig):
    """The figure as RGBA uint8, (height, width, 4)."""
    fig.canvas.draw()
    return np.asarray(fig.canvas.buffer_rgba())


def words(fig):
    return [text.get_text() for text in fig.findobj(Text) if text.get_text()]


def two_latents(z):
    """A decoder of 4x4 images whose left half shows z1 and whose right half shows z2."""
    brightness = Normal(0.0, 1.0).cdf(z)
    return brightness.repeat_interleave(2, dim=1)[:, None, None, :].expand(-1, 1, 4, 4)


def history(steps=8):
    step = list(range(1, steps + 1))
    return {"step": step, "epoch": [0] * steps, "loss": [1.0 / s for s in step], "kl": [float(s) for s in step]}


def figures():
    grey, color = torch.rand(3, 1, 6, 5), torch.randint(0, 256, (3, 3, 6, 5), dtype=torch.uint8)
    codes = torch.randn(40, 2)
    return [
        plots.image_grid(grey, titles=["one", "two", "three"]),
        plots.image_rows({"input": grey, "output": color}, titles=[1, 2, 3]),
        plots.manifold_sweep(two_latents, steps=3),
        plots.interpolation(two_latents, codes[0], codes[1], steps=4),
        plots.loss_curves(history(), smooth=3, validation=history(2)),
        plots.latent_scatter(codes, torch.arange(40) % 10),
        plots.latent_scatter(codes),
        moment(),
    ]


GRID = torch.linspace(-4, 4, 161, dtype=torch.float64)


def moment(**changes):
    """A frame of a 1-D GAN whose G is x = 1 + z."""
    p_data, p_g = (Normal(mean, 1.0).log_prob(GRID).exp() for mean in (0.0, 1.0))
    z = torch.tensor([-1.0, 0.0, 2.0])
    options = dict(d=torch.full_like(GRID, 0.3), d_star=p_data / (p_data + p_g), arrows=(z, 1 + z), title="step 3")
    return plots.density_frame(GRID, p_data, p_g, **options | changes)


def test_figures_are_unknown_to_pyplot_and_show_themselves():
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    for fig in figures():
        assert fig._repr_png_().startswith(b"\x89PNG")
    assert pyplot.get_fignums() == before


def test_figures_are_white_cards_with_dark_text_of_at_least_9_points():
    for fig in figures():
        picture = pixels(fig)
        assert (picture[..., 3] == 255).all()
        assert (picture[[0, 0, -1, -1], [0, -1, 0, -1], :3] == WHITE).all()
        for text in fig.findobj(Text):
            if text.get_text():
                assert text.get_fontsize() >= 9
                assert np.mean(to_rgb(text.get_color())) < 0.2


def test_house_style_overrides_the_readers_and_leaves_it_alone(monkeypatch):
    monkeypatch.setitem(rcParams, "figure.facecolor", "black")
    monkeypatch.setitem(rcParams, "text.color", "white")
    fig = plots.image_grid(torch.zeros(1, 1, 4, 4), titles=["dark"])
    assert (pixels(fig)[0, 0, :3] == WHITE).all()
    assert rcParams["figure.facecolor"] == "black"
    assert rcParams["text.color"] == "white"


def test_same_input_gives_the_same_file():
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert plots.image_grid(images)._repr_png_() == plots.image_grid(images)._repr_png_()


def test_a_saved_grid_shows_every_image_pixel_as_a_square(tmp_path):
    images = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plots.image_grid(images, scale=3).savefig(tmp_path / "grid.png")
    shown = np.round(imread(tmp_path / "grid.png")[..., :3] * 255).astype(np.uint8)
    for image in images.permute(0, 2, 3, 1).numpy():
        square = image.repeat(3, 0).repeat(3, 1)
        windows = np.lib.stride_tricks.sliding_window_view(shown, square.shape)
        assert (windows == square).all(axis=(-3, -2, -1)).sum() == 1


def test_grey_floats_and_bytes_look_the_same():
    images = torch.randint(0, 256, (3, 1, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(pixels(plots.image_grid(images)), pixels(plots.image_grid(images.float() / 255)))
    assert np.array_equal(pixels(plots.image_grid(images)), pixels(plots.image_grid(images.numpy())))


def test_grid_fills_rows_from_left_to_right():
    images = torch.zeros(3, 1, 4, 4)
    images[1] = 1  # of two columns, the right one in the first row
    picture = pixels(plots.image_grid(images, columns=2, scale=4))[..., 0]
    black = picture < 128
    middle = picture.shape[1] // 2
    half = picture.shape[0] // 2
    assert black[:half, :middle].any()
    assert not black[:half, middle:].any()
    assert black[half:, :middle].any()


def test_titles_and_labels_are_written():
    assert {"7", "9"} <= set(words(plots.image_grid(torch.zeros(2, 1, 4, 4), titles=torch.tensor([7, 9]))))
    rows = plots.image_rows({"input": torch.zeros(2, 1, 4, 4), "output": torch.ones(2, 1, 4, 4)}, titles=["a", "b"])
    assert {"input", "output", "a", "b"} <= set(words(rows))


def test_rows_stand_in_the_order_given():
    fig = plots.image_rows({"dark": torch.zeros(2, 1, 8, 8), "bright": torch.full((2, 1, 8, 8), 0.8)}, scale=4)
    column = pixels(fig)[:, -20, 0]
    assert np.flatnonzero(column == 0).max() < np.flatnonzero(column == 204).min()


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        (torch.zeros(4, 8, 8), r"\(N, C, H, W\)"),
        (torch.zeros(4, 2, 8, 8), "C = 1 or 3"),
        (torch.zeros(0, 1, 8, 8), "N >= 1"),
        (torch.full((1, 1, 8, 8), 1.5), r"lie in \[0, 1\]"),
        (torch.full((1, 1, 8, 8), -0.5), r"lie in \[0, 1\]"),
        (torch.full((1, 1, 8, 8), float("nan")), r"lie in \[0, 1\]"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.int64), "uint8"),
    ],
)
def test_what_is_no_image_is_refused(images, complaint):
    with pytest.raises(ValueError, match=complaint):
        plots.image_grid(images)
    with pytest.raises(ValueError, match=complaint):
        plots.image_rows({"row": images})
    with pytest.raises(ValueError, match=complaint):
        plots.manifold_sweep(lambda z: images, steps=2)


def test_manifold_gives_every_image_an_equal_share_of_the_prior():
    seen = []
    plots.manifold_sweep(lambda z: seen.append(z) or two_latents(z), steps=4)
    shares = Normal(0.0, 1.0).cdf(seen[0]).view(4, 4, 2)
    middles = torch.tensor([0.125, 0.375, 0.625, 0.875])
    torch.testing.assert_close(shares[..., 0], middles.expand(4, 4))  # z1 grows to the right
    torch.testing.assert_close(shares[..., 1], middles.flip(0)[:, None].expand(4, 4))  # z2 grows upwards


def latents_of(start, end, **options):
    seen = []
    plots.interpolation(lambda z: seen.append(z) or torch.zeros(len(z), 1, 4, 4), start, end, **options)
    return seen[0]


def test_straight_interpolation_is_evenly_spaced_between_its_ends():
    path = latents_of(torch.tensor([0.0, 2.0]), torch.tensor([4.0, 0.0]), steps=5)
    torch.testing.assert_close(path, torch.tensor([[0.0, 2.0], [1.0, 1.5], [2.0, 1.0], [3.0, 0.5], [4.0, 0.0]]))


def test_spherical_interpolation_turns_evenly_and_keeps_the_length():
    path = latents_of(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0]), steps=4, spherical=True)
    angles = torch.deg2rad(torch.tensor([0.0, 30.0, 60.0, 90.0]))
    torch.testing.assert_close(path, 3 * torch.stack([angles.cos(), angles.sin()], dim=1))


def test_spherical_interpolation_of_one_direction_is_straight():
    path = latents_of(torch.tensor([1.0, 1.0]), torch.tensor([3.0, 3.0]), steps=3, spherical=True)
    torch.testing.assert_close(path, torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))


def test_each_pair_of_ends_gets_its_own_row():
    start, end = torch.tensor([[0.0], [10.0]]), torch.tensor([[1.0], [12.0]])
    assert latents_of(start, end, steps=3)[:, 0].tolist() == [0.0, 0.5, 1.0, 10.0, 11.0, 12.0]


@pytest.mark.parametrize(
    ("start", "end", "options", "complaint"),
    [
        ([0.0, 1.0], [0.0, 1.0, 2.0], {}, "share a shape"),
        ([0.0, 1.0], [1.0, 0.0], {"steps": 1}, "at least 2"),
        ([0.0, 0.0], [1.0, 0.0], {"spherical": True}, "not 0"),
        ([1.0, 0.0], [-2.0, 0.0], {"spherical": True}, "opposite"),
    ],
)
def test_paths_that_are_not_defined_are_refused(start, end, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        latents_of(start, end, **options)


def test_decoders_must_return_one_image_per_latent():
    with pytest.raises(ValueError, match="4 in, 1 out"):
        plots.manifold_sweep(lambda z: torch.zeros(1, 1, 4, 4), steps=2)


def lines(fig):
    return [[line.get_ydata().tolist() for line in ax.lines] for ax in fig.axes]


def test_loss_curves_draw_one_panel_per_term():
    run = history()
    fig = plots.loss_curves(run)
    assert [ax.get_title() for ax in fig.axes] == ["loss", "kl"]
    assert lines(fig) == [[run["loss"]], [run["kl"]]]
    assert lines(plots.loss_curves(run, terms="kl")) == [[run["kl"]]]


@pytest.mark.parametrize("count", range(1, 8))
def test_loss_curves_lose_no_term(count):
    run = {"step": [1, 2], **{f"term_{i}": [float(i), 0.0] for i in range(count)}}
    assert [ax.get_title() for ax in plots.loss_curves(run).axes] == [f"term {i}" for i in range(count)]


def test_smoothing_is_the_mean_of_the_last_values():
    fig = plots.loss_curves({"step": [1, 2, 3, 4], "loss": [4.0, 2.0, 6.0, 1.0]}, smooth=2)
    raw, smooth = lines(fig)[0]
    assert raw == [4.0, 2.0, 6.0, 1.0]
    assert smooth == pytest.approx([4.0, 3.0, 4.0, 3.5])


def test_validation_is_drawn_at_its_own_steps():
    fig = plots.loss_curves(history(), validation={"step": [4, 8], "loss": [0.3, 0.2]})
    with_validation, without = fig.axes
    assert with_validation.lines[1].get_xydata().tolist() == [[4, 0.3], [8, 0.2]]
    assert len(without.lines) == 1


@pytest.mark.parametrize(
    ("run", "options", "complaint"),
    [
        ({}, {}, "at least one term"),
        ({"loss": [1.0]}, {}, "has no 'step'"),
        ({"step": [1], "loss": [1.0]}, {"terms": ["kl"]}, "has no 'kl'; it has 'step', 'loss'"),
        ({"step": [1, 2], "loss": [1.0]}, {}, "one value per step"),
        ({"step": [], "loss": []}, {}, "at least one step"),
        ({"step": [1], "loss": [1.0]}, {"smooth": 0}, "smooth"),
    ],
)
def test_histories_that_cannot_be_drawn_are_refused(run, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        plots.loss_curves(run, **options)


def test_scatter_gives_each_point_the_colour_of_its_class():
    codes = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(30) % 10
    fig = plots.latent_scatter(codes, labels)
    points = fig.axes[0].collections[0]
    wanted = {tuple(code): plots.COLORS[label] for code, label in zip(codes.tolist(), labels.tolist(), strict=True)}
    assert len(points.get_offsets()) == 30
    for offset, color in zip(points.get_offsets().tolist(), points.get_facecolors(), strict=True):
        assert to_hex(color) == wanted[tuple(offset)]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == [str(digit) for digit in range(10)]


def test_scatter_names_classes():
    fig = plots.latent_scatter(torch.zeros(2, 2), torch.tensor([0, 2]), classes=("cat", "dog", "owl"))
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["cat", "owl"]


@pytest.mark.parametrize(
    ("codes", "labels", "classes", "complaint"),
    [
        (torch.zeros(4, 3), None, None, r"codes\[:, :2\]"),
        (torch.zeros(0, 2), None, None, r"\(N, 2\)"),
        (torch.zeros(4, 2), torch.zeros(3, dtype=torch.int64), None, "4 class indices"),
        (torch.zeros(4, 2), torch.zeros(4), None, "class indices"),
        (torch.zeros(4, 2), torch.tensor([0, 1, 2, -1]), None, "class indices"),
        (torch.zeros(4, 2), torch.tensor([0, 1, 2, 3]), ("a", "b"), "class 3, but there are 2"),
    ],
)
def test_scatters_that_do_not_fit_are_refused(codes, labels, classes, complaint):
    with pytest.raises(ValueError, match=complaint):
        plots.latent_scatter(codes, labels, classes)


# Machado, Oliveira and Fernandes (2009), full severity, on linear RGB.
VISION = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


@pytest.mark.parametrize("vision", VISION)
def test_ten_colours_stay_apart_for_every_eye(vision):
    rgb = np.array([to_rgb(color) for color in plots.COLORS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(VISION[vision]).T, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = seen @ to_xyz.T / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
    assert len(plots.COLORS) == 10
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)) > 15


def test_notebooks_show_a_figure_without_pyplot_or_magic():
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    sources = (
        "import sys, torch\nfrom coursekit import plots",
        "plots.image_grid(torch.zeros(2, 1, 8, 8))",
        "'matplotlib.pyplot' in sys.modules",
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    silent, shown, pyplot = (cell.outputs for cell in notebook.cells)
    assert silent == []
    assert len(shown) == 1
    assert "image/png" in shown[0].data
    assert pyplot[0].data["text/plain"] == "False"


def curves(fig):
    return {line.get_label(): (ax, line) for ax in fig.axes for line in ax.lines if line.get_label()[0] != "_"}


def test_frame_draws_densities_on_one_axis_and_discriminators_on_the_other():
    fig = moment()
    drawn = curves(fig)
    assert set(drawn) == {r"$p_\mathrm{data}$", "$p_g$", "$D$", "$D^*$"}
    for name, peak in ((r"$p_\mathrm{data}$", 0.0), ("$p_g$", 1.0)):
        ax, line = drawn[name]
        assert line.get_xdata()[np.argmax(line.get_ydata())] == pytest.approx(peak)
        assert ax.get_ylim()[1] > max(line.get_ydata())
    for name, at_the_middle in (("$D$", 0.3), ("$D^*$", 0.5)):
        ax, line = drawn[name]
        assert np.interp(0.5, line.get_xdata(), line.get_ydata()) == pytest.approx(at_the_middle)
        assert ax.get_ylim() == (0, 1.05)
    assert "step 3" in words(fig)
    assert {text.get_text() for text in fig.legends[0].get_texts()} == set(drawn)


def test_arrows_end_at_the_generated_x():
    strip = moment().axes[-1]
    arrows = [text for text in strip.texts if text.arrow_patch is not None]
    assert [arrow.xy for arrow in arrows] == [(0.0, 1), (1.0, 1), (3.0, 1)]
    starts = [arrow.xyann[0] for arrow in arrows]
    assert starts[1] == 0 and starts[2] == pytest.approx(-2 * starts[0])
    assert strip.get_xlim() == (-4, 4)
    beyond = moment(arrows=(torch.zeros(2), torch.tensor([0.0, 9.0])))
    assert len([text for text in beyond.axes[-1].texts if text.arrow_patch is not None]) == 1


def test_a_frame_needs_neither_discriminator_nor_arrows():
    fig = moment(d=None, d_star=None, arrows=None, title=None)
    assert set(curves(fig)) == {r"$p_\mathrm{data}$", "$p_g$"}
    assert len(fig.axes) == 1


def test_the_best_discriminator_may_be_undefined_in_places():
    d_star = torch.where(GRID < 0, float("nan"), 0.5)
    assert pixels(moment(d_star=d_star)).any()


def test_frames_with_the_same_top_share_their_axes():
    axes = [moment(d=torch.full_like(GRID, level), top=0.7).axes[0] for level in (0.1, 0.9)]
    assert {(ax.get_xlim(), ax.get_ylim()) for ax in axes} == {((-4, 4), (0, 0.7))}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"d": torch.zeros(3)}, "d must have one value for each of the 161 points"),
        ({"d_star": torch.zeros(161, 1)}, "d_star must have one value"),
        ({"arrows": (torch.zeros(2), torch.zeros(3))}, "pair every z"),
        ({"arrows": (torch.zeros(0), torch.zeros(0))}, "pair every z"),
    ],
)
def test_frames_that_do_not_fit_are_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        moment(**changes)


@pytest.mark.parametrize("x", [GRID.flip(0), GRID[:1], GRID[None], torch.zeros(4)])
def test_a_grid_must_increase(x):
    with pytest.raises(ValueError, match="increasing grid"):
        plots.density_frame(x, x, x)


LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)


@functools.cache
def player():
    frames = (moment(d=torch.full_like(GRID, level)) for level in LEVELS)
    labels = [f"level <{level}>" for level in LEVELS]
    return plots.animation(frames, 'A line "D" rises step by step', labels=labels, seconds=0.5)


def test_animation_holds_every_frame_in_nearly_its_own_colours():
    frames = player().frames
    assert len(frames) == len(LEVELS)
    for level, frame in zip(LEVELS, frames, strict=True):
        shown = np.round(imread(io.BytesIO(frame))[..., :3] * 255)
        exact = pixels(moment(d=torch.full_like(GRID, level)))[..., :3].astype(float)
        assert shown.shape == exact.shape
        assert (shown[0, 0] == WHITE).all()
        assert np.abs(shown - exact).mean() < 1


def test_twenty_frames_stay_under_400_kilobytes():
    html = player()._repr_html_()
    assert len(html) / len(LEVELS) * 20 < 400_000


def test_animation_asks_nobody_and_has_no_ids():
    html = player()._repr_html_()
    assert html.count("data:image/png;base64,") == 2  # the first frame, and what the script puts before the others
    assert not re.search(r"https?://|//cdn|\bsrc=\"(?!data:)|\bhref=|\bid=|url\(|@import", html)
    assert 'alt="A line &quot;D&quot; rises step by step"' in html
    assert "svg" not in html


def test_animation_is_described_where_html_is_not_shown(tmp_path):
    animation = player()
    assert repr(animation) == 'Animation of 5 frames: A line "D" rises step by step'
    animation.save(tmp_path / "player.html")
    assert (tmp_path / "player.html").read_text(encoding="utf-8") == animation._repr_html_()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"frames": [moment()]}, "at least 2 frames, got 1"),
        ({"frames": [moment(), plots.image_grid(torch.zeros(1, 1, 4, 4))]}, "one size"),
        ({"alt": ""}, "in words"),
        ({"alt": "GAN"}, "in words"),
        ({"alt": None}, "in words"),
        ({"labels": ["one"]}, "labels must name 2 frames, got 1"),
        ({"seconds": 0}, "seconds must be positive"),
    ],
)
def test_animations_that_make_no_sense_are_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        plots.animation(**{"frames": [moment(), moment()], "alt": "Two frames alike"} | options)


@pytest.fixture(scope="module")
def page(browser):
    """A page with the same player twice, in the dark, on a narrow screen; with what went wrong on it."""
    context = browser.new_context(viewport={"width": 375, "height": 900}, color_scheme="dark")
    page = context.new_page()
    page.wrong = []
    page.on("console", lambda message: page.wrong.append(message.text))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("request", lambda request: request.url.startswith("data:") or page.wrong.append(request.url))
    html = player()._repr_html_()
    page.set_content(f"<!doctype html><body style='background: #111; color: #eee'>{html}{html}</body>")
    yield page
    context.close()


@pytest.mark.browser
@pytest.mark.needs("chromium")
def test_player_plays_pauses_and_steps_in_a_browser(page):
    first, second = (page.locator("figure.coursekit-player").nth(i) for i in range(2))
    sources = set()

    def state(of):
        image = of.locator("img")
        sources.add(image.get_attribute("src"))
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 540
        return of.locator("output").inner_text(), of.locator("button").inner_text()

    page.wait_for_timeout(700)
    assert state(first) == state(second) == ("level <0.1>", "Play")  # nothing moves by itself

    page.keyboard.press("Tab")  # to the first player's button
    page.keyboard.press("Enter")
    first.get_by_text("level <0.9>").wait_for()
    assert state(first) == ("level <0.9>", "Play")  # once, then it stops
    assert state(second) == ("level <0.1>", "Play")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    assert state(first) == ("level <0.7>", "Play")
    assert first.get_by_role("slider").get_attribute("aria-valuetext") == "level <0.7>"
    page.keyboard.press("Home")
    assert state(first) == ("level <0.1>", "Play")

    second.locator("button").click()
    second.get_by_text("level <0.3>").wait_for()
    second.locator("button").click()
    paused = state(second)
    page.wait_for_timeout(700)
    assert state(second) == paused and paused[1] == "Play" and paused[0] != "level <0.9>"

    assert len(sources) >= 4
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    assert page.locator("button").first.evaluate("button => getComputedStyle(button).color") == "rgb(238, 238, 238)"
    assert page.wrong == []


SPOKEN = """figure => {
    const output = figure.querySelector("output");
    figure.spoken = [];
    new MutationObserver(() => output.ariaLive === "polite" && figure.spoken.push(output.textContent))
        .observe(output, {childList: true, characterData: true, subtree: true});
}"""


@pytest.mark.browser
@pytest.mark.needs("chromium")
def test_player_says_where_it_stopped_and_not_every_frame_on_the_way(page):
    first = page.locator("figure.coursekit-player").first
    first.evaluate(SPOKEN)
    first.get_by_role("slider").press("Home")
    first.get_by_role("slider").press("ArrowRight")
    first.locator("button").click()
    first.get_by_text("level <0.9>").wait_for()
    assert first.evaluate("figure => figure.spoken") == ["level <0.9>"]


@pytest.mark.browser
@pytest.mark.needs("chromium")
def test_player_moves_a_frame_at_a_time_where_less_motion_is_wanted(page):
    first = page.locator("figure.coursekit-player").first
    button, output = first.locator("button"), first.locator("output")
    first.get_by_role("slider").press("Home")
    page.emulate_media(reduced_motion="reduce")
    first.get_by_role("button", name="Next").wait_for()
    shown = []
    for _ in range(len(LEVELS)):
        button.click()
        shown.append(output.inner_text())
    assert shown == [f"level <{level}>" for level in (*LEVELS[1:], LEVELS[0])]
    assert button.inner_text() == "Next"
    page.emulate_media(reduced_motion="no-preference")
    first.get_by_role("button", name="Play").wait_for()


@pytest.mark.browser
@pytest.mark.needs("chromium")
def test_player_prints_its_picture_without_its_controls(page):
    first = page.locator("figure.coursekit-player").first
    page.emulate_media(media="print")
    assert first.locator("img").is_visible() and not first.locator("button").is_visible()
    page.emulate_media(media="screen")
    assert first.locator("button").is_visible()


@pytest.mark.browser
@pytest.mark.needs("chromium")
def test_player_follows_the_pointer_along_its_slider(page):
    second = page.locator("figure.coursekit-player").nth(1)
    slider = second.get_by_role("slider")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    y = box["y"] + box["height"] / 2
    seen = []
    page.mouse.move(box["x"] + 8, y)
    page.mouse.down()
    for part in (0.25, 0.5, 0.75, 1):
        page.mouse.move(box["x"] + 8 + part * (box["width"] - 16), y)
        seen.append(second.locator("output").inner_text())
    page.mouse.up()
    assert seen == [f"level <{level}>" for level in LEVELS[1:]]
    assert page.wrong == []
