"""The theorem of the chapter on GANs in practice."""

import itertools

import pytest
import torch

from coursekit.metrics import nearest_neighbours


@pytest.mark.theorem("thm-exchangeable-neighbours")
@pytest.mark.parametrize(("n_train", "n_held_out"), [(1, 1), (3, 3), (4, 2), (1, 4)])
def test_a_sample_that_knows_nothing_is_nearest_to_training_data_in_proportion_to_its_number(n_train, n_held_out):
    # Over all ways to deal the same points into two sets, as likely as each other: exact, no sampling error.
    generator = torch.Generator().manual_seed(n_train)
    points = torch.randn(n_train + n_held_out, 3, generator=generator)
    sample = torch.randn(1, 3, generator=generator)
    nearer = []
    for chosen in itertools.combinations(range(len(points)), n_train):
        train = points[list(chosen)]
        held_out = points[[i for i in range(len(points)) if i not in chosen]]
        to_train, to_held_out = (nearest_neighbours(sample, images)[0] for images in (train, held_out))
        nearer.append((to_train < to_held_out).item())
    assert sum(nearer) / len(nearer) == pytest.approx(n_train / (n_train + n_held_out))


@pytest.mark.theorem("thm-exchangeable-neighbours")
def test_fresh_draws_are_nearest_to_training_data_in_proportion_and_copies_always():
    generator = torch.Generator().manual_seed(0)
    trials, n_train, n_held_out = 1000, 5, 15
    fresh = copied = 0
    for _ in range(trials):
        points = torch.randn(n_train + n_held_out + 1, 2, generator=generator)
        sample, train, held_out = points[:1], points[1 : n_train + 1], points[n_train + 1 :]
        nearest = lambda s: (nearest_neighbours(s, train)[0] < nearest_neighbours(s, held_out)[0]).item()  # noqa: E731
        fresh += nearest(sample)
        copied += nearest(train[:1] + 1e-3 * sample)
    standard_error = (0.25 * 0.75 / trials) ** 0.5
    assert abs(fresh / trials - 0.25) < 4 * standard_error
    assert copied / trials > 0.99
