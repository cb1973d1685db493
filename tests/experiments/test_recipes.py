"""The list of all systems, and printed networks."""

from experiments.recipes import Config, main, recipes
from experiments.rows import scripts


def test_every_recipe_is_listed_with_what_it_changes():
    rows = {row[0]: row[1:] for row in recipes().to_numpy().tolist()}
    assert set(rows) == set(scripts())
    assert rows["dann28"][:3] == ["001", "train_dann.py", "dann28"]
    assert rows["dcgan"][0] == "000, 004" and rows["dcgan-ema"][0] == ""
    assert rows["acgan64"][3].startswith("epochs 10, ") and rows["vae"][2] == "vae"


def test_layers_are_printed_with_their_parameters(capsys, error_of):
    main(Config("acgan28"))
    printed = capsys.readouterr().out
    assert "acgan28-generator" in printed and "acgan28-discriminator" in printed and "ConvTranspose2d(" in printed
    assert printed.count(" parameters") > 2
    assert "no network x: there are dcgan-generator, " in error_of(lambda: main(Config("x")))
