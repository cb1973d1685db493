"""t-SNE of a run's features."""

import shutil

import numpy as np

from metrics.tsne import Config, main


def test_features_of_both_domains_get_a_place(adapted, digits, tmp_path):
    run = shutil.copytree(adapted[1], tmp_path / "a run", ignore=shutil.ignore_patterns("tsne.npz"))
    main(Config((run,), digits, count=1000, device="cpu"))
    with np.load(run / "tsne.npz") as file:
        assert file["names"].tolist() == ["a", "b"]
        count = len(file["labels"])  # val.csv has fewer than were asked for
        assert file["features"].shape == (count, 192) and file["plane"].shape == (count, 2)
        assert np.bincount(file["domains"]).tolist() == [count // 2] * 2
        plane = file["plane"]
    main(Config((run,), digits, count=1000, device="cpu"))
    with np.load(run / "tsne.npz") as file:
        assert (file["plane"] == plane).all()


def test_latents_are_measured_in_their_deviations(tmp_path, error_of):
    random = np.random.default_rng(0)
    latents, deviations = random.standard_normal((50, 4)), np.array([0.1, 1, 2, 4])
    about = {"names": np.arange(50).astype(str), "attribute_names": ["Hat"], "attributes": np.ones((50, 1))}
    np.savez(tmp_path / "latents.npz", latents=latents, deviations=deviations, **about)
    main(Config((tmp_path,), count=24))
    with np.load(tmp_path / "tsne.npz") as file:
        np.testing.assert_allclose(file["features"], latents[:48] / deviations, rtol=1e-6)
        assert file["names"].tolist() == ["Hat"] and file["plane"].shape == (48, 2)
    (tmp_path / "latents.npz").write_bytes(b"nothing")
    assert "latents.npz is damaged" in error_of(lambda: main(Config((tmp_path,))))


def test_wrong_runs_end_in_one_line(adapted, digits, tmp_path, error_of):
    def error(run, **options):
        return error_of(lambda: main(Config((run,), digits, device="cpu", **options)))

    assert "is no run of an adaptation" in error(tmp_path)
    assert "t-SNE needs at least 40 images" in error(adapted[1], count=3)
    assert "no domain c in" in error(adapted[1], domains=("c",))
