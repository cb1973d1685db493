"""Much small work on all cores: pictures to read and to write."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item, Result = TypeVar("Item"), TypeVar("Result")


def in_threads(do: Callable[[Item], Result], items: Iterable[Item], what: str = "") -> Iterator[Result]:
    """`do(item)` for each of `items`, in their order, with a progress bar named `what` if given; an error ends it.

    Threads suffice: Pillow decodes, resizes and compresses without holding the interpreter. Handing out 64 at a time
    spares waking the main thread for every small picture.
    """
    items = list(items)
    groups = [items[start : start + 64] for start in range(0, len(items), 64)]
    bar = tqdm(desc=what, total=len(items), unit="pictures", disable=None if what else True)
    with bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        for results in pool.map(lambda group: [do(item) for item in group], groups):
            bar.update(len(results))
            yield from results
