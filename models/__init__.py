"""Networks and their mathematics, one family a file; no files, no arguments, no printing."""

from models.acgan import ACGAN28Discriminator, ACGAN28Generator, ACGAN64Discriminator, ACGAN64Generator
from models.attention_unet import AttentionUNet
from models.context_unet import ContextUNet
from models.dcgan import DCGANDiscriminator, DCGANGenerator
from models.pixelshuffle import PixelShuffleGenerator
from models.sagan import SAGANDiscriminator, SAGANGenerator

NETWORKS = {
    "dcgan-generator": DCGANGenerator,
    "dcgan-discriminator": DCGANDiscriminator,
    "pixelshuffle-generator": PixelShuffleGenerator,
    "sagan-generator": SAGANGenerator,
    "sagan-discriminator": SAGANDiscriminator,
    "acgan28-generator": ACGAN28Generator,
    "acgan28-discriminator": ACGAN28Discriminator,
    "acgan64-generator": ACGAN64Generator,
    "acgan64-discriminator": ACGAN64Discriminator,
    "context-unet": ContextUNet,
    "attention-unet": AttentionUNet,
}
