"""Pictures from tensors to files: uint8 conversion, numbered PNGs, grids."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from runtime.errors import UserError
from runtime.files import lock_folder, naming, replacing, unfinished, write_atomically
from runtime.processes import is_first
from runtime.threads import in_threads


def to_uint8(images: Tensor) -> np.ndarray:
    """Images (N, C, H, W) in [-1, 1] as uint8 (N, H, W, C), rounded to the nearest level."""
    levels = images.float().add(1).mul(127.5).round().clamp(0, 255).byte()
    return levels.permute(0, 2, 3, 1).cpu().numpy()


def from_uint8(images: np.ndarray | Tensor, device: torch.device | str | None = None) -> Tensor:
    """Float32 images (N, C, H, W) in [-1, 1] of uint8 (N, H, W, C), on `device` or where they are."""
    images = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
    return images.to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


@contextmanager
def claimed(folder: Path, names: Sequence[str]) -> Iterator[None]:
    """`folder`, made with its parents, ready to hold exactly the files `names` and this process's alone meanwhile.

    Only the first of several processes that work together claims it. Raises UserError when it is a file, holds anything
    else, or another process has claimed it; nothing is ever deleted but what a killed process had not finished.
    """
    if not is_first():
        yield
        return
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: give a folder for the pictures")
    if folder.is_dir():
        others = set(os.listdir(folder)) - set(names) - {path.name for path in unfinished(folder)}
        if others:
            raise UserError(f"{folder} holds other files ({min(others)} …): give an empty or new folder")
    folder.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(folder)
    for path in unfinished(folder):
        path.unlink()
    yield
    del lock


def as_picture(image: np.ndarray) -> Image.Image:
    """An image uint8 (H, W, 3), or (H, W, 1), which is gray, as Pillow has it."""
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def rgb(images: np.ndarray) -> np.ndarray:
    """Pictures (…, 3) of pictures (…, C): gray is repeated over the channels."""
    return images.repeat(3 // images.shape[-1], axis=-1)


def save_png(path: Path, image: np.ndarray) -> None:
    """Write one uint8 picture (H, W, C) as PNG, whole or not at all; parents are made."""
    buffer = BytesIO()
    as_picture(image).save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())


def save_animation(path: Path, frames: np.ndarray, seconds: float = 4.0) -> None:
    """Write uint8 pictures (N, H, W, C) as a GIF of `seconds` that rests on the last for two more; parents are made."""
    first, *others = [as_picture(frame) for frame in frames]
    durations = [max(20, round(1000 * seconds / len(frames)))] * len(others) + [2000]  # milliseconds
    buffer = BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    write_atomically(path, buffer.getvalue())


def save_images(folder: Path, names: Sequence[str], images: np.ndarray) -> None:
    """Write uint8 pictures (N, H, W, C) as PNG under `names` into `folder`, which must hold nothing else.

    They appear once all are written: a full disk, or an interruption until then, leaves the former ones. Only the first
    of several processes writes.
    """
    if not is_first():
        return

    def save(picture: tuple[str, Path, np.ndarray]) -> None:
        name, temporary, image = picture
        with naming(folder / name):
            as_picture(image).save(temporary, "PNG")

    with claimed(folder, names), ExitStack() as all_written:
        temporaries = [all_written.enter_context(replacing(folder / name)) for name in names]
        list(in_threads(save, zip(names, temporaries, images, strict=True)))


def image_grid(images: np.ndarray, columns: int = 8, gap: int = 2) -> np.ndarray:
    """Pictures (N, H, W, C) side by side in rows of `columns`, on white, as one uint8 picture."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    page = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = (gap + index // columns * (height + gap), gap + index % columns * (width + gap))
        page[top : top + height, left : left + width] = image
    return page
