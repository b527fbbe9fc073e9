import pytest
import torch

from coursekit.trainers.pool import ImagePool


def images(*values):
    return torch.tensor(values, dtype=torch.float32)[:, None, None, None]


def values(tensor):
    return tensor.flatten().tolist()


def test_pool_fills_first_and_gives_back_what_it_is_given():
    pool, generator = ImagePool(3), torch.Generator().manual_seed(0)
    assert values(pool.query(images(1, 2), generator)) == [1, 2]
    assert values(pool.images) == [1, 2]
    given = pool.query(images(3, 4), generator)
    assert values(given)[0] == 3 and len(pool.images) == 3


def test_full_pool_exchanges_half_of_the_images_and_loses_none():
    pool, generator = ImagePool(50), torch.Generator().manual_seed(0)
    pool.query(torch.arange(50.0)[:, None, None, None], generator)
    exchanged = 0
    for number in range(50, 2050, 4):
        new = images(*range(number, number + 4))
        before = values(pool.images)
        given = pool.query(new, generator)
        assert sorted(values(given) + values(pool.images)) == sorted(values(new) + before)
        exchanged += (given != new).sum().item()
    assert exchanged / 2000 == pytest.approx(0.5, abs=0.04)


def test_every_place_is_exchanged_about_as_often():
    pool, generator = ImagePool(5), torch.Generator().manual_seed(0)
    pool.query(images(0, 1, 2, 3, 4), generator)
    count = torch.zeros(5)
    for _ in range(1000):
        before = pool.images
        pool.query(images(9.0 + torch.rand(1, generator=generator).item()), generator)
        count += (pool.images != before).flatten()
    assert count.sum().item() == pytest.approx(500, abs=60) and count.min() > 60


def test_images_in_the_pool_are_not_changed_from_outside():
    pool, generator = ImagePool(2), torch.Generator().manual_seed(0)
    new = images(1, 2)
    pool.query(new, generator)
    new += 10
    assert values(pool.images) == [1, 2]


def test_pool_of_size_0_keeps_nothing():
    pool = ImagePool(0)
    assert values(pool.query(images(1, 2), torch.Generator())) == [1, 2] and pool.images is None
