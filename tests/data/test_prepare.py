import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.digits import digit_domains, load_digits
from data.faces import load_attributes, load_faces
from data.prepare import Config, prepare
from runtime.errors import UserError
from tests.data.raw_files import write_celeba, write_mnist, write_photographs, write_svhn, write_usps

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def raw(tmp_path):
    write_mnist(tmp_path / "raw")
    write_photographs(tmp_path / "raw")
    write_svhn(tmp_path / "raw")
    write_usps(tmp_path / "raw")
    write_celeba(tmp_path / "raw")
    return tmp_path / "raw"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_whole_tree(raw, out, capsys):
    prepare(Config(raw, out))
    assert sorted(os.listdir(out)) == ["digits", "face"]
    assert digit_domains(out) == ["mnistm", "svhn", "usps"]
    counts = {
        domain: [len(load_digits(out, domain, split)[0]) for split in ("train", "val", "test")]
        for domain in digit_domains(out)
    }
    assert counts == {"mnistm": [12, 4, 4], "svhn": [16, 4, 5], "usps": [16, 4, 5]}
    for name, mode in (("usps", "L"), ("svhn", "RGB"), ("mnistm", "RGB")):
        with Image.open(out / "digits" / name / "data/00000.png") as image:
            assert image.size == (28, 28) and image.mode == mode

    # Done already: said, and nothing is written again.
    before = contents(out)
    capsys.readouterr()
    prepare(Config(raw, out))
    assert capsys.readouterr().out.count("is there already and left as it is") == 4
    assert contents(out) == before
    prepare(Config(raw, out.parent / "again"))
    again = contents(out.parent / "again")
    assert {path.relative_to(out.parent / "again"): content for path, content in again.items()} == {
        path.relative_to(out): content for path, content in before.items()
    }


def test_mnistm_pools_training_and_test_and_blends_them(tmp_path, out):
    digits = write_mnist(tmp_path)
    write_photographs(tmp_path)
    prepare(Config(tmp_path, out, ("mnistm",)))
    images, labels = load_digits(out, "mnistm", "train")
    names = (out / "digits/mnistm/train.csv").read_text().split()[1:]
    place = int(names[-1][:5])
    assert place >= 12 and labels[-1] == place % 10  # one of MNIST's test digits
    difference = images[-1][..., 1].astype(int) - np.abs(100 - digits[place].astype(int))
    assert np.abs(difference).max() <= 3  # every photograph's green is 100, but for the JPEG


def test_usps_is_white_on_black(raw, out):
    prepare(Config(raw, out, ("usps",)))
    image = np.asarray(Image.open(out / "digits/usps/data/00003.png"))
    assert image[14, 14] == 255 and image[14, 2] == 0


def test_faces_are_numbered_on_and_named_in_the_attributes(raw, out):
    prepare(Config(raw, out, ("faces",)))
    assert sorted(os.listdir(out / "face/train")) == [f"0000{index}.png" for index in range(4)]
    assert sorted(os.listdir(out / "face/val")) == ["00004.png", "00005.png"]
    train, val = load_faces(out, "train"), load_faces(out, "val")
    assert abs(train[..., 1].mean((1, 2)) - [41, 42, 44, 46]).max() < 3  # in the order of the list
    assert (train[..., 0] > 180).all() and (val[..., 2] > 180).all()
    names, columns, values = load_attributes(out)
    assert names == ["00000.png", "00003.png", "00004.png"] and columns == ["Male", "Smiling"]
    assert values.tolist() == [[-1, 1], [-1, -1], [1, -1]]


def test_face_is_the_centred_square(raw, out):
    picture = np.zeros((218, 178, 3), np.uint8)
    picture[20:198] = 200
    Image.fromarray(picture).save(raw / "celeba/img_align_celeba/000002.jpg", quality=100)
    prepare(Config(raw, out, ("faces",)))
    assert load_faces(out)[1].min() > 180


def test_counts_cut_the_faces(raw, out):
    (raw / "celeba/list_attr_celeba.txt").unlink()
    prepare(Config(raw, out, ("faces",), train_count=2, val_count=1))
    assert sorted(os.listdir(out / "face")) == ["train", "val"]  # attributes are optional
    assert os.listdir(out / "face/val") == ["00002.png"]
    with pytest.raises(UserError, match=r"has 2 faces, not 3: remove .* to build it anew"):
        prepare(Config(raw, out, ("faces",), train_count=3))
    prepare(Config(raw, out, ("faces",), train_count=2))


@pytest.mark.parametrize("counts", [{"train_count": 5}, {"val_count": 3}])
def test_counts_beyond_what_there_is(raw, out, counts):
    with pytest.raises(UserError, match=r"--(train|val)-count -?\d: the raw data has [42] such faces"):
        prepare(Config(raw, out, ("faces",), **counts))
    assert not out.exists()


@pytest.mark.parametrize("counts", [{"train_count": 0}, {"val_count": -1}])
def test_counts_below_one(raw, out, counts):
    with pytest.raises(UserError, match=r"--(train|val)-count must be at least 1"):
        prepare(Config(raw, out, ("faces",), **counts))
    assert not out.exists()


def test_only_what_is_there_by_default(tmp_path, out, capsys):
    write_usps(tmp_path)
    prepare(Config(tmp_path, out))
    assert digit_domains(out) == ["usps"] and not (out / "face").exists()
    said = capsys.readouterr().out
    assert "no raw data for mnistm: give --download, or put https://ossci-datasets" in said
    assert "the folder BSR/BSDS500/data/images of https://www2.eecs.berkeley.edu" in said
    assert f"at {tmp_path / 'SVHN/train_32x32.mat'}" in said
    assert "no raw data for faces: put the unpacked Img/img_align_celeba.zip of https://mmlab" in said


def test_nothing_there(tmp_path, out):
    with pytest.raises(UserError, match=r"nothing to prepare in .*nowhere: give --raw"):
        prepare(Config(tmp_path / "nowhere", out))
    with pytest.raises(UserError, match=r"no raw data for svhn: give --download.*test_32x32\.mat"):
        prepare(Config(tmp_path / "nowhere", out, ("svhn",)))
    assert not out.exists()


def test_a_part_asked_for_is_missed_before_any_work(raw, out):
    (raw / "SVHN/test_32x32.mat").unlink()
    with pytest.raises(UserError, match=r"no raw data for svhn: .*test_32x32\.mat"):
        prepare(Config(raw, out, ("usps", "svhn")))
    assert not out.exists()


def test_broken_raw_data_leaves_the_parts_built_before(raw, out):
    prepare(Config(raw, out, ("usps",)))
    before = contents(out)
    path = raw / "SVHN/test_32x32.mat"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"test_32x32\.mat"):
        prepare(Config(raw, out, ("usps", "svhn")))
    face = raw / "celeba/img_align_celeba/000006.jpg"
    face.write_bytes(face.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"cannot read the picture .*000006\.jpg"):
        prepare(Config(raw, out, ("faces",)))
    face.unlink()
    with pytest.raises(UserError, match=r"lacks 1 of the 6 pictures listed, the first is 000006\.jpg"):
        prepare(Config(raw, out, ("faces",)))
    assert contents(out) == before
    assert os.listdir(out) == ["digits"] and os.listdir(out / "digits") == ["usps"]


def test_incomplete_part_is_never_mixed(raw, out):
    (out / "face/train").mkdir(parents=True)
    (out / "face/train/mine.png").write_text("mine")
    with pytest.raises(UserError, match=r"face exists but is incomplete \(no val\): remove it"):
        prepare(Config(raw, out))
    assert list(contents(out)) == [out / "face/train/mine.png"]


def test_wrapper_from_another_folder_with_spaces(tmp_path):
    here = tmp_path / "a folder"
    write_usps(here / "raw data")
    write_svhn(here / "raw data")
    (here / "raw data/SVHN/test_32x32.mat").write_bytes(b"broken")
    (here / "data").mkdir()
    (here / "data/__init__.py").write_text("raise RuntimeError('the wrong package')")
    command = ["bash", REPOSITORY / "scripts/prepare.sh", "--raw", "raw data", "--out", "the tree"]
    done = subprocess.run([*command, "--parts", "usps", "svhn"], cwd=here, capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: cannot read raw data/SVHN/test_32x32.mat") and "Traceback" not in done.stderr
    assert digit_domains(here / "the tree") == ["usps"]
