import numpy as np
import pytest
import torch
from torch import nn

from inference.sampling import make_images
from runtime.device import Execution

CPU = Execution(torch.device("cpu"))


class Colour(nn.Module):
    """A generator whose pictures show their latents, and which remembers the batches it saw."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, latents):
        self.seen.append(latents)
        return latents[:, :, None, None].expand(-1, 3, 2, 2)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
def test_the_network_sees_whole_chunks_and_pictures_keep_their_order(count):
    generator = Colour()
    latents = torch.linspace(-1, 1, 3 * count).reshape(count, 3)
    pictures = make_images(generator, latents, execution=CPU, chunk=4)
    assert [len(seen) for seen in generator.seen] == [4] * -(-count // 4)
    assert torch.equal(torch.cat(generator.seen)[:count], latents)
    assert not torch.cat(generator.seen)[count:].any()
    assert pictures.shape == (count, 2, 2, 3)
    assert pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures[:, 0, 0], ((latents + 1) * 127.5).round().byte().numpy())


def test_sampling_computes_in_the_chosen_precision_without_gradients():
    layer = nn.Conv2d(3, 3, 1)
    results = []
    layer.register_forward_hook(lambda module, inputs, output: results.append(output))

    class Generator(nn.Module):
        def forward(self, latents):
            return layer(latents[:, :, None, None])

    make_images(Generator(), torch.zeros(2, 3), execution=Execution(torch.device("cpu"), "bf16"))
    assert results[0].dtype == torch.bfloat16
    assert not results[0].requires_grad
