"""The sampling benchmark: its copied loop ends where our ancestral sampler does, and the command says a ratio."""

import torch

from benchmarks import sampling
from models.context_unet import ContextUNet
from models.generator import Sampling

NETWORK = ContextUNet(width=8, steps=500).eval()


def test_the_copied_loop_is_ddpm(monkeypatch):
    """Without noise added on the way, it ends where our sampler does, which does not clip either."""
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    x, labels = torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 1])
    draws = iter([x])
    ours = NETWORK.reverse(lambda: next(draws, torch.zeros_like(x)), labels, Sampling("ddpm", 500, 1.0))
    with torch.no_grad():
        for _ in range(4):
            _, expected = next(ours)
    torch.testing.assert_close(sampling.ancestral(NETWORK, x, labels, 3), expected, atol=1e-4, rtol=1e-4)


def test_both_are_timed(monkeypatch, capsys):
    monkeypatch.setitem(sampling.NETWORKS, "context-unet", lambda: NETWORK)
    sampling.main(sampling.Config(images=2, copied_steps=1, turns=1, device="cpu"))
    assert "median ratio" in capsys.readouterr().out
