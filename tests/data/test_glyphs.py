import torch

from coursekit.data import load_unpaired
from coursekit.data.glyphs import characters


def test_sets_are_black_on_white_and_inside_their_frame():
    for split, n in (("train", 211), ("test", 105)):
        for side, image_set in zip("XY", load_unpaired("glyphs", split)):
            images = image_set.images
            assert images.shape == (n, 1, 32, 32) and image_set.name == f"glyphs/{side}"
            assert image_set.source == "glyphs (embedded)" and image_set.classes == tuple(characters())
            assert (images.flatten(1).min(dim=1).values < 80).all(), "every letter has ink"
            assert images.float().mean() > 180
            frame = torch.cat([images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]], dim=-1)
            assert frame.min() > 127, "no letter is cut off"


def test_training_halves_share_no_character_and_test_characters_are_new():
    x, y = load_unpaired("glyphs")
    seen_x, seen_y = set(x.labels.tolist()), set(y.labels.tolist())
    tests = set(load_unpaired("glyphs", "test")[0].labels.tolist())
    assert not seen_x & seen_y and not (seen_x | seen_y) & tests
    assert seen_x | seen_y | tests == set(range(527)) == set(range(len(set(characters()))))


def test_test_sets_are_aligned_and_differ_by_their_typeface():
    x, y = load_unpaired("glyphs", "test")
    assert torch.equal(x.labels, y.labels)
    unlike = (x.images.float() - y.images.float()).abs().flatten(1).mean(dim=1) / 255
    assert unlike.min() > 0.005 and unlike.median() > 0.02
    others = torch.cdist(x.images.flatten(1).float(), y.images.flatten(1).float())
    assert (others.argmin(dim=1) == torch.arange(len(x))).float().mean() > 0.5, "a letter looks most like itself"


def test_letters_are_those_that_matplotlib_draws():
    """Against matplotlib's own outlines of the same font file: where the letter has ink, by area."""
    import matplotlib
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    x, _ = load_unpaired("glyphs", "test")
    font = FontProperties(fname=f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf")
    for want in "7BLZh":
        i = x.labels.tolist().index(characters().index(want))
        outline = TextPath((0, 0), want, size=25, prop=font)
        box = outline.get_extents()
        rows, columns = torch.where(x.images[i, 0] < 128)
        assert abs((columns.max() - columns.min() + 1) - box.width) < 2
        assert abs((rows.max() - rows.min() + 1) - box.height) < 2


def test_no_two_characters_look_alike_in_both_typefaces():
    images = {}
    for split in ("train", "test"):
        for side, image_set in zip("XY", load_unpaired("glyphs", split)):
            images.setdefault(side, []).append(image_set.images.flatten(1).float())
    for parts in images.values():
        flat = torch.cat(parts)
        distance = torch.cdist(flat, flat) + 1e6 * torch.eye(len(flat))
        assert distance.min() > 100


def test_they_are_the_same_every_time_and_leave_the_global_random_state():
    state = torch.get_rng_state()
    for first, second in zip(load_unpaired("glyphs"), load_unpaired("glyphs")):
        assert torch.equal(first.images, second.images)
    assert torch.equal(torch.get_rng_state(), state)
