import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from inference.generate_digits import Config, main
from inference.generate_faces import Config as FaceConfig
from inference.generate_faces import main as generate_faces
from models import NETWORKS
from models.generator import Sampling
from models.weights import save_weights

QUICK = Sampling("dpm++", 2, 1.0)


def make_weights(path, name, **arguments):
    torch.manual_seed(0)
    network = NETWORKS[name](**arguments)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0, 0.1)  # untrained, but not all gray
    save_weights(path, network, name, arguments, {})
    return path


@pytest.fixture(scope="module")
def acgan(tmp_path_factory):
    return make_weights(tmp_path_factory.mktemp("acgan") / "w.safetensors", "acgan28-generator", latent_size=8, width=4)


@pytest.fixture(scope="module")
def diffusion(tmp_path_factory):
    return make_weights(tmp_path_factory.mktemp("ddpm") / "w.safetensors", "context-unet", width=8, steps=10)


@pytest.fixture(params=["acgan", "diffusion"])
def weights(request):
    return request.getfixturevalue(request.param)


def generate(weights, out, sampling=None, **options):
    """Digits by name, in few steps where the weights take any."""
    sampling = sampling or (QUICK if "ddpm" in weights.parent.name else Sampling())
    main(Config(weights, out, sampling=sampling, device="cpu", **options))
    return {name: (out / name).read_bytes() for name in sorted(os.listdir(out))}


def test_names_and_format(weights, tmp_path):
    digits = generate(weights, tmp_path / "new" / "digits", per_class=2)
    assert list(digits) == [f"{digit}_{number:03d}.png" for digit in range(10) for number in (1, 2)]
    with Image.open(tmp_path / "new" / "digits" / "7_002.png") as image:
        assert (image.mode, image.size, image.format) == ("RGB", (28, 28), "PNG")
    assert len(set(digits.values())) == 20


def test_a_digit_does_not_depend_on_how_many_there_are(weights, tmp_path):
    many = generate(weights, tmp_path / "many", per_class=7)
    few = generate(weights, tmp_path / "few", per_class=2)
    assert few == {name: many[name] for name in few}
    other = generate(weights, tmp_path / "other seed", per_class=2, seed=1)
    assert not set(other.values()) & set(few.values())
    assert generate(weights, tmp_path / "few", per_class=2) == few


def test_the_grid_has_the_same_noise_down_a_column(acgan, tmp_path):
    generate(acgan, tmp_path / "digits", per_class=1, grid=tmp_path / "grid.png")
    page = np.asarray(Image.open(tmp_path / "grid.png"))
    assert page.shape == (302, 302, 3)
    cells = page[2:, 2:].reshape(10, 30, 10, 30, 3)[:, :28, :, :28].transpose(0, 2, 1, 3, 4).astype(float)
    down = np.abs(cells[0, 0] - cells[1, 0]).mean()
    across = np.abs(cells[0, 0] - cells[0, 1]).mean()
    assert 0 < down < across  # another label changes these less than other noise does


def test_snapshots_and_animation(diffusion, tmp_path):
    generate(
        diffusion, tmp_path / "digits", per_class=1, snapshots=tmp_path / "new" / "snapshots.png", snapshot_digit=3
    )
    assert sorted(os.listdir(tmp_path / "new")) == ["snapshots.gif", "snapshots.png"]
    page = np.asarray(Image.open(tmp_path / "new" / "snapshots.png"))
    assert page.shape == (8 * 28 + 16, 6 * (8 * 28 + 8) + 8, 3)
    with Image.open(tmp_path / "new" / "snapshots.gif") as animation:
        assert animation.n_frames == 3  # as many steps as the digits took
        assert animation.size == (224, 224)
    # The process is that of the digit.
    last, digit = page[8:-8, -8 - 224 : -8][::8, ::8], np.asarray(Image.open(tmp_path / "digits" / "3_001.png"))
    np.testing.assert_allclose(last.astype(int), digit.astype(int), atol=1)


def test_chosen_snapshots(diffusion, tmp_path):
    path = tmp_path / "snapshots.png"
    generate(diffusion, tmp_path / "digits", per_class=1, snapshots=path, snapshot_times=(10, 10, 10, 0, 0, 0))
    page = np.asarray(Image.open(path))
    cells = [page[:, start : start + 224] for start in range(8, page.shape[1] - 8, 232)]
    assert np.array_equal(cells[0], cells[2]) and np.array_equal(cells[3], cells[5])
    assert not np.array_equal(cells[2], cells[3])


@pytest.mark.parametrize(
    ("sampling", "options", "message"),
    [
        (Sampling(steps=20), {}, "steps 20 does not divide the 10 steps"),
        (Sampling(steps=3), {}, "steps 3 does not divide the 10 steps"),
        (QUICK, {"per_class": 0}, "--per-class must be from 1 to 1e+06"),
        (QUICK, {"per_class": 10**7}, "--per-class must be from 1 to 1e+06"),
        (QUICK, {"snapshot_digit": 10}, "--snapshot-digit must be from 0 to 9"),
        (
            QUICK,
            {"snapshot_times": (11, 0, 0, 0, 0, 0)},
            "--snapshot-times must lie between 0 and 10, ",
        ),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(diffusion, tmp_path, error_of, sampling, options, message):
    assert message in error_of(lambda: generate(diffusion, tmp_path / "digits", sampling, **options))
    assert os.listdir(tmp_path) == []


def test_an_acgan_has_no_process(acgan, tmp_path, error_of):
    line = error_of(lambda: generate(acgan, tmp_path / "digits", QUICK))
    assert line == "error: sampler is for diffusion networks: these weights make an image in one step"
    assert not (tmp_path / "digits").exists()
    line = error_of(lambda: generate(acgan, tmp_path / "digits", snapshots=tmp_path / "s.png"))
    assert line == "error: --snapshots shows the process of a diffusion network: these weights are an ACGAN's"


def test_other_folders_and_weights_are_refused(acgan, tmp_path, error_of):
    out = tmp_path / "digits"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert "holds other files (mine.txt …)" in error_of(lambda: generate(acgan, out))
    assert os.listdir(out) == ["mine.txt"]
    faces = make_weights(tmp_path / "faces.safetensors", "dcgan-generator", latent_size=8, width=4)
    line = error_of(lambda: generate(faces, tmp_path / "new"))
    assert line == "error: these weights make faces, which have no labels: use inference.generate_faces"
    line = error_of(lambda: generate_faces(FaceConfig(acgan, tmp_path / "faces", count=1, device="cpu")))
    assert line == "error: these weights make digits and need labels: use inference.generate_digits"


def test_graders_get_a_thousand_digits(run, root, acgan, tmp_path):
    """With other weights than the shipped ones, from another folder, in a repository whose path has spaces."""
    (tmp_path / "a repository").symlink_to(root)
    elsewhere = tmp_path / "some where else"
    elsewhere.mkdir()
    shutil.copy(acgan, elsewhere / "my weights")
    script = tmp_path / "a repository" / "scripts" / "hw2_2.sh"
    done = run("new/the digits", "--weights", "my weights", command=("bash", script), cwd=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    expected = [f"{digit}_{number:03d}.png" for digit in range(10) for number in range(1, 101)]
    assert sorted(os.listdir(elsewhere / "new" / "the digits")) == expected
    usage = run(command=("bash", script), cwd=elsewhere)
    assert usage.returncode == 2
    assert usage.stderr.startswith("usage: ")


def test_the_script_leaves_other_weights_their_own_defaults(run, root, tmp_path):
    """The shipped network's sampler and guidance would be refused by a distilled one."""
    student = make_weights(tmp_path / "student.safetensors", "residual-unet", width=8, prediction="consistency")
    for number, words in enumerate((("--weights", student), (f"--weights={student}",))):
        out = tmp_path / str(number)
        done = run(out, "--per-class", 1, *words, command=("bash", root / "scripts" / "generate_digits.sh"))
        assert (done.returncode, done.stderr) == (0, "")
        assert len(os.listdir(out)) == 10
