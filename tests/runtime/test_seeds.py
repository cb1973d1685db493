import torch

from runtime import processes
from runtime.seeds import RandomStream, derived_seed, image_noise, image_seeds, random_stream


def draw(*name):
    return torch.rand(4, generator=random_stream(*name)).tolist()


def test_streams_differ_by_seed_and_by_name():
    names = [(0,), (1,), (1, "noise"), (1, "labels"), (1, "noise", 0), (1, "noise", 1), (1, "noise", -1), (11, "noise")]
    assert len({derived_seed(*name) for name in names}) == len(names)
    assert len({tuple(draw(*name)) for name in names}) == len(names)
    assert all(0 <= derived_seed(*name) < 2**63 for name in names)


def test_a_stream_depends_on_its_name_alone():
    first = draw(1, "noise", 5)
    torch.manual_seed(7)
    torch.rand(3)
    assert draw(1, "noise", 5) == first
    assert derived_seed(999, "weights") == 0x40AC8B6D4700D234  # for ever, on every machine


def latents(seed, indices, size):
    return image_noise(image_seeds(seed, indices), (size,))()


def test_an_image_has_the_same_latents_however_many_there_are():
    many, few = latents(3, range(1000), 8), latents(3, range(40), 8)
    assert torch.equal(many[:40], few)
    assert torch.equal(latents(3, [17], 8)[0], many[17])
    assert not torch.equal(latents(4, [17], 8)[0], many[17])


def test_latents_are_standard_normal():
    drawn = latents(0, range(1000), 64)
    assert drawn.shape == (1000, 64)
    assert drawn.mean().abs() < 0.02
    assert (drawn.std() - 1).abs() < 0.02
    assert len(drawn[:, 0].unique()) == 1000


def test_draws_of_one_name_come_from_one_generator():
    draws, generator = RandomStream(5).draws("noise", 3), random_stream(5, "noise", 3)
    assert torch.equal(draws.integers(1, 9, 6), torch.randint(1, 9, (6,), generator=generator))
    assert torch.equal(draws.uniform(6), torch.rand(6, generator=generator))
    assert torch.equal(draws.normal(6, 2), torch.randn(6, 2, generator=generator))
    assert torch.equal(RandomStream(5).within("noise").draws(3).normal(6), RandomStream(5).draws("noise", 3).normal(6))


def test_every_process_gets_its_share_of_what_is_drawn_for_the_global_batch(monkeypatch):
    def draw():
        draws = RandomStream(5).draws("noise")
        return draws.normal(120, 2), draws.uniform(3, 120, batch_dim=1)

    normal, uniform = draw()
    assert len(normal.unique()) == 240  # no block repeats another
    monkeypatch.setattr(processes, "world_size", lambda: 3)
    monkeypatch.setattr(processes, "process_number", lambda: 1)
    assert torch.equal(draw()[0], normal[40:80])
    assert torch.equal(draw()[1], uniform[:, 40:80])


def test_a_process_draws_little_more_than_its_share(monkeypatch):
    monkeypatch.setattr(processes, "world_size", lambda: 8)
    monkeypatch.setattr(processes, "process_number", lambda: 5)
    drawn = []

    def draw(shape, generator):
        drawn.append(shape)
        return torch.zeros(shape)

    assert len(RandomStream(5).draws("noise").of(draw, 512, 3)) == 64
    assert drawn == [(32, 3), (32, 3)]
