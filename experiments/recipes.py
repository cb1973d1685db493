"""All systems by name: `python -m experiments.recipes`; `--print NETWORK` prints a network's layers and parameters."""

from dataclasses import dataclass

import pandas as pd

from experiments.documents import lines_of
from experiments.reports import reports_of
from experiments.rows import config_of, scripts
from experiments.tables import table
from models import NETWORKS
from runtime.command_line import run_main
from runtime.errors import UserError
from training.provenance import printout


@dataclass
class Config:
    """Print a table of all recipes, or the layers of networks."""

    print: str = ""
    """Networks at their reported size, dcgan or dann28 say, to be printed instead of the table."""


def main(config: Config) -> None:
    """Print what `config` asks for; raises UserError for unknown networks."""
    if not config.print:
        print("\n".join(lines_of(recipes())))
        return
    endings = ("", "-generator", "-discriminator")
    chosen = {name: make() for name, make in NETWORKS.items() if name in {config.print + end for end in endings}}
    if not chosen:
        raise UserError(f"no network {config.print}: there are {', '.join(NETWORKS)}")
    print(printout(chosen))


def recipes() -> pd.DataFrame:
    """A row for every recipe: the reports that have it, script, networks, and the settings in which it has its own."""
    lines = []
    for recipe, script in scripts().items():
        config = config_of(recipe)
        settings, defaults = config.to_json(), type(config)().to_json()
        networks = settings.get("networks") or settings.get("network") or {"train_vae.py": "vae"}.get(script, "")
        own = [f"{name} {value}" for name, value in settings.items() if value != defaults[name]]
        lines.append([recipe, ", ".join(reports_of(recipe)), script, networks, ", ".join(own)])
    return table(["recipe", "reports", "script", "networks", "settings"], lines)


if __name__ == "__main__":
    run_main(main, Config)
