"""Networks and their mathematics, one family a file; no files, no arguments, no printing."""

from models.dcgan import DCGANDiscriminator, DCGANGenerator
from models.pixelshuffle import PixelShuffleGenerator
from models.sagan import SAGANDiscriminator, SAGANGenerator

NETWORKS = {
    "dcgan-generator": DCGANGenerator,
    "dcgan-discriminator": DCGANDiscriminator,
    "pixelshuffle-generator": PixelShuffleGenerator,
    "sagan-generator": SAGANGenerator,
    "sagan-discriminator": SAGANDiscriminator,
}
