"""A page to play with the networks: `python -m inference.demo`, or `bash scripts/demo.sh`."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from inference.demo_networks import load_networks
from runtime.command_line import run_main
from runtime.device import InPrecision, Precision
from runtime.errors import UserError
from runtime.settings import Range


@dataclass
class Config(InPrecision):
    """Open a page, at 127.0.0.1 only, to try the shipped networks or your own runs."""

    weights: tuple[Path, ...] = ()
    """Run directories, weights files or names of shipped ones; each replaces the shipped network of its kind."""
    port: Annotated[int, Range(1, 65535)] = 7860
    """Where the page is: http://127.0.0.1:PORT."""
    precision: Precision = "auto"


def main(config: Config) -> None:
    """Open the page until Ctrl-C; raises UserError where it cannot be opened."""
    if not find_spec("gradio"):
        raise UserError("gradio is not installed: run bash scripts/demo.sh, which installs it")
    networks = load_networks(config.weights, config.device, config.precision)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # nothing leaves this machine
    from inference.demo_page import open_page

    try:
        page = open_page(networks, config.port)
    except OSError as error:
        raise UserError(f"port {config.port} cannot be used: give another --port") from error
    print(f"the page is at http://127.0.0.1:{config.port}; Ctrl-C ends it", flush=True)
    page.block_thread()


if __name__ == "__main__":
    run_main(main, Config)
