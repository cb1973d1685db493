import torch

from models.pixelshuffle import PixelShuffleGenerator


def test_the_generator_is_the_reported_one(layers):
    assert layers(PixelShuffleGenerator()) == (
        "Upsample(x4,nearest) C(100→256,3,1,same) BN ReLU Drop0.2 PS2 C(64→256,3,1,same) BN ReLU Drop0.2 PS2 "
        "C(64→128,3,1,same) BN ReLU Drop0.2 PS2 C(32→128,3,1,same) BN ReLU Drop0.2 PS2 C(32→3,3,1,same) Tanh"
    )


def test_dropout_acts_in_training_only():
    generator = PixelShuffleGenerator(latent_size=6, width=8)
    latents = torch.randn(2, 6)
    assert not torch.equal(generator(latents), generator(latents))
    generator.eval()
    assert torch.equal(generator(latents), generator(latents))
