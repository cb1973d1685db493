"""Networks, their mathematics and their weights files, one family a file; no options, no printing."""

from functools import partial

from models.acgan import ACGAN28Discriminator, ACGAN28Generator, ACGAN64Discriminator, ACGAN64Generator
from models.attention_unet import AttentionUNet
from models.autoguidance import AutoGuided
from models.context_unet import ContextUNet
from models.dann import dann
from models.dcgan import DCGANDiscriminator, DCGANGenerator
from models.digit_classifiers import DANN_NETWORKS, digit_classifier, ensemble
from models.dsn import DSN, dsn_classifier
from models.fastgan import FastGANGenerator
from models.pixelshuffle import PixelShuffleGenerator
from models.r3gan import R3GANDiscriminator
from models.residual_unet import ResidualUNet
from models.sagan import SAGANDiscriminator, SAGANGenerator
from models.vae import VAE

NETWORKS = {
    "dcgan-generator": DCGANGenerator,
    "dcgan-discriminator": DCGANDiscriminator,
    "pixelshuffle-generator": PixelShuffleGenerator,
    "sagan-generator": SAGANGenerator,
    "sagan-discriminator": SAGANDiscriminator,
    "fastgan-generator": FastGANGenerator,
    "r3gan-discriminator": R3GANDiscriminator,
    "vae": VAE,
    **{name: partial(dann, name) for name in DANN_NETWORKS},
    **{f"{name}-classifier": partial(digit_classifier, name) for name in DANN_NETWORKS},
    "ensemble": ensemble,
    "dsn": DSN,
    "dsn-classifier": dsn_classifier,
    "acgan28-generator": ACGAN28Generator,
    "acgan28-discriminator": ACGAN28Discriminator,
    "acgan64-generator": ACGAN64Generator,
    "acgan64-discriminator": ACGAN64Discriminator,
    "context-unet": ContextUNet,
    "attention-unet": AttentionUNet,
    "residual-unet": ResidualUNet,
    "autoguided": AutoGuided,
}
