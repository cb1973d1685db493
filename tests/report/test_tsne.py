"""t-SNE of a run's features."""

import numpy as np
from PIL import Image

from report.tsne import Config, main


def test_features_are_saved_and_can_be_drawn_again(adapted, digits, tmp_path, error_of):
    _, dann, _ = adapted
    out = tmp_path / "new" / "pictures"
    main(Config(dann, out, digits, count=1000, device="cpu"))
    with np.load(out / "features.npz") as file:
        assert file["names"].tolist() == ["a", "b"]
        count = len(file["labels"])  # val.csv has fewer than were asked for
        assert file["features"].shape == (count, 192) and file["plane"].shape == (count, 2)
        assert np.bincount(file["domains"]).tolist() == [count // 2] * 2
    pictures = {name: (out / name).read_bytes() for name in ("by_class.png", "by_domain.png")}
    main(Config(out / "features.npz", tmp_path / "again"))
    for name, content in pictures.items():
        assert (tmp_path / "again" / name).read_bytes() == content
        with Image.open(out / name) as page:
            assert page.width > 300


def test_wrong_runs_end_in_one_line(adapted, digits, tmp_path, error_of):
    def error(run, **options):
        return error_of(lambda: main(Config(run, tmp_path / "out", digits, device="cpu", **options)))

    assert "is no run of train_dann.py, nor a features.npz" in error(tmp_path)
    assert "no such file" in error(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    assert "holds no features of report.tsne" in error(tmp_path / "bad.npz")
    assert "t-SNE needs at least 40 pictures" in error(adapted[1], count=3)
    assert "no domain c in" in error(adapted[1], domains=("c",))
