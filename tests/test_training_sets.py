"""The arrays of all public sets: by hash, without what any of them holds out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from course_lib.data.copies import near_copies, thumbnails
from course_lib.data.prepare import kinds_of, labels_of
from course_lib.data.public import PUBLIC_SETS
from course_lib.data.split import part_of
from course_lib.training.__main__ import main
from course_lib.training.runs import CONFIGS, load_array, load_arrays, read_config, stages_of
from course_lib.training.sets import TRAINING_SETS, array_of, build_arrays


def save(rgb, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path)
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two sets of patches: each of the second is a patch of the first, mirrored and darkened."""
    folder = tmp_path_factory.mktemp("sets")
    picture = data.astronaut()
    for number in range(48):
        row, column = divmod(number, 8)
        patch = picture[64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
        kind = "left" if column < 4 else "right"
        save(patch, folder / "pacs" / "photo" / kind / f"{number}.png")
        twin = (patch[:, ::-1] * 0.9).astype(np.uint8)
        save(twin, folder / "flickr8k" / f"{number}.png")
    save(picture[:64, :64], folder / "pacs" / "cartoon" / "left" / "no.png")
    return {name: folder / name for name in ("pacs", "flickr8k")}


@pytest.fixture(scope="module")
def arrays(folders, tmp_path_factory):
    output = tmp_path_factory.mktemp("arrays")
    return output, build_arrays(output, folders, names=["pacs", "flickr8k"], progress=False)


def test_every_row_is_a_public_set_that_can_be_fetched():
    assert TRAINING_SETS.keys() <= PUBLIC_SETS.keys()
    assert all(row.size <= 128 for row in TRAINING_SETS.values())


def test_no_training_picture_is_like_one_that_any_set_holds_out(arrays):
    output, counts = arrays
    held_out = np.concatenate(
        [load_array(array_of(output, n, p)) for n in TRAINING_SETS for p in ("validation", "test")
         if array_of(output, n, p).exists()]
    )  # fmt: skip
    assert len(held_out)
    for name in ("pacs", "flickr8k"):
        train = load_array(array_of(output, name, "train"))
        assert len(train) and not near_copies(thumbnails(train), thumbnails(held_out)).any()
        assert counts[f"{name}-train"]["copies"] > 0


def test_the_parts_are_those_of_the_hashes_and_of_the_subfolders_that_count(arrays, folders):
    _, counts = arrays
    parts = [part_of(path) for path in (folders["pacs"] / "photo").rglob("*.png")]
    for part in ("validation", "test"):
        assert sum(counts[f"pacs-{part}"].values()) == parts.count(part)
    assert sum(counts["pacs-train"].values()) == parts.count("train")


@pytest.mark.parametrize("network", ["eccv16", "eccv16-trial", "siggraph17"])
def test_the_networks_learn_from_these_arrays(network):
    for stage in stages_of(read_config(CONFIGS / f"{network}.json")):
        assert stage["train"].keys() <= TRAINING_SETS.keys()
        assert stage["size"] <= min(TRAINING_SETS[name].size for name in stage["train"])


def test_make_trains_on_all_of_them():
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    (line,) = (line for line in makefile.splitlines() if line.startswith("SETS :="))
    assert line.split()[2:] == [*TRAINING_SETS]


def test_kinds_come_with_the_training_pictures(arrays):
    output, _ = arrays
    train = array_of(output, "pacs", "train")
    labelled = load_arrays([f"pacs={train}"])["pacs"]
    assert len(labelled.codes) == len(labelled.labels) and set(labelled.labels) == {0, 1}
    # pictures that lie in a set's own folder are of the one kind that this folder stands for
    assert set(np.load(labels_of(array_of(output, "flickr8k", "train")))) == {0}


def test_parts_of_a_set_are_no_kinds():
    paths = ["s/train/fox/images/1.jpg", "s/train/ant/2.jpg", "s/val/3.jpg", "s/test/images/4.jpg"]
    assert kinds_of(paths) == [1, 0, -1, -1]


def test_arrays_that_are_there_are_kept(arrays, folders):
    output, _ = arrays
    gone = array_of(output, "pacs", "test")
    before, others = gone.read_bytes(), {p: p.stat() for p in output.iterdir() if p != gone}
    gone.unlink()
    assert [*build_arrays(output, folders, names=["pacs"], progress=False)] == ["pacs-test"]
    assert gone.read_bytes() == before
    assert all(p.stat().st_mtime_ns == one.st_mtime_ns for p, one in others.items())


def test_the_command_makes_them_and_refuses_names_that_nobody_knows(folders, tmp_path, capsys):
    command = ["arrays", "flickr8k", "--output", str(tmp_path / "out")]
    assert main([*command, "--folder", "flickr8k", str(folders["flickr8k"])]) == 0
    assert "flickr8k-train: " in capsys.readouterr().out
    assert main([*command, "--folder", "flickr9k", str(tmp_path)]) == 2
    assert "no training set called flickr9k; there are miniplaces" in capsys.readouterr().err
