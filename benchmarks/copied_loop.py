"""The DCGAN loop that everyone copies, as a yardstick: eager float32, a DataLoader that decodes PNG files.

Run by benchmarks.train_dcgan: `python -m benchmarks.copied_loop DATA BATCH_SIZE WARM_UP STEPS` prints seconds.
"""

import sys
import time
from pathlib import Path

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from data.decoded import image_names
from data.faces import face_folder
from models.dcgan import DCGANDiscriminator, DCGANGenerator


class PictureFolder(Dataset):
    """A folder of pictures the way tutorials read it: decoded, resized and normalised anew for every batch."""

    def __init__(self, folder: Path):
        self.files = [folder / name for name in image_names(folder)]
        self.transform = transforms.Compose(
            [
                transforms.Resize(64),
                transforms.CenterCrop(64),
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.files[index]).convert("RGB"))


def main(data: Path, batch_size: int, warm_up: int, steps: int) -> None:
    """Train for `warm_up` and then `steps` steps, and print the seconds of the latter."""
    loader = DataLoader(PictureFolder(face_folder(data)), batch_size, shuffle=True, num_workers=2, drop_last=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator, discriminator = DCGANGenerator().to(device), DCGANDiscriminator().to(device)
    criterion = nn.BCEWithLogitsLoss()
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    times = []
    while len(times) <= warm_up + steps:
        for images in loader:
            times.append(time.perf_counter())
            real = images.to(device)
            ones, zeros = torch.ones(len(real), 1, device=device), torch.zeros(len(real), 1, device=device)
            discriminator.zero_grad()
            real_loss = criterion(discriminator(real), ones)
            real_loss.backward()
            fake = generator(torch.randn(len(real), 100, device=device))
            fake_loss = criterion(discriminator(fake.detach()), zeros)
            fake_loss.backward()
            d_optimizer.step()
            generator.zero_grad()
            g_loss = criterion(discriminator(fake), ones)
            g_loss.backward()
            g_optimizer.step()
            g_loss.item()  # what tutorials print; it also waits for the device
    print(times[warm_up + steps] - times[warm_up])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
