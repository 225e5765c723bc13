import csv
import hashlib

import numpy as np
import pytest
from PIL import Image

import course_lib as cl
from course_lib.bins import ab_bins
from course_lib.data.folder import data_folder
from course_lib.data.photos import KINDS, SPLITS
from course_lib.data.prior import ab_prior, load_prior

PHOTOS = data_folder() / "photos"


def table():
    with (PHOTOS / "photos.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_and_the_folder_agree_to_the_byte():
    rows = table()
    on_disk = {p.relative_to(PHOTOS).as_posix() for p in PHOTOS.rglob("*.jpg")}
    assert {row["file"] for row in rows} == on_disk
    for row in rows:
        content = (PHOTOS / row["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"], row["file"]


def test_every_photo_says_where_it_comes_from():
    for row in table():
        for key in ("title", "author", "licence", "package", "version", "source", "description"):
            assert row[key].strip(), (row["file"], key)
        assert row["kind"] in KINDS and row["split"] in SPLITS


def test_sizes_and_kinds():
    total = sum(p.stat().st_size for p in PHOTOS.rglob("*") if p.is_file())
    assert total <= 12_000_000
    counts = {kind: len(cl.photos(kind=kind)) for kind in KINDS}
    assert counts["scene"] >= 25 and counts["object"] >= 100 and counts["gray"] >= 4
    for photo in cl.photos():
        with Image.open(photo.path) as picture:
            assert max(picture.size) <= 768, photo.name
            assert (picture.mode == "L") == (photo.kind == "gray"), photo.name


def test_no_picture_is_in_two_splits():
    names = [photo.name for split in SPLITS for photo in cl.photos(split)]
    assert len(names) == len(set(names)) == len(cl.photos())
    sources = [row["source"] for row in table()]
    assert len(sources) == len(set(sources))


def test_no_near_duplicates_across_splits():
    # Gray thumbnails of different photographs correlate less than this; copies correlate more.
    thumbs, where = [], []
    for photo in cl.photos(kind="scene"):
        with Image.open(photo.path) as picture:
            small = np.asarray(picture.convert("L").resize((16, 16)), dtype=float).ravel()
        thumbs.append((small - small.mean()) / small.std())
        where.append(photo)
    correlation = np.array(thumbs) @ np.array(thumbs).T / 256
    for i, j in zip(*np.nonzero(np.triu(correlation > 0.97, 1)), strict=True):
        assert where[i].split == where[j].split, (where[i].name, where[j].name)


def test_photos_can_be_chosen():
    assert {p.split for p in cl.photos("test")} == {"test"}
    assert {p.kind for p in cl.photos(kind="object")} == {"object"}
    subject = cl.photos(kind="object")[0].subject
    assert {p.subject for p in cl.photos(subject=subject)} == {subject}
    one = cl.photos("train", "scene")[0]
    assert np.array_equal(cl.load_photo(one.name), one.load())
    assert one.load().dtype == np.uint8


@pytest.mark.parametrize(
    "choice", [{"split": "exam"}, {"kind": "painting"}, {"subject": "submarine"}]
)
def test_wrong_choices_are_refused(choice):
    with pytest.raises(ValueError, match=next(iter(choice.values()))):
        cl.photos(**choice)


def test_a_misspelt_photo_is_answered_with_names():
    name = cl.photos(kind="scene")[0].name
    with pytest.raises(ValueError, match=name):
        cl.load_photo(name.rsplit("/", 1)[1])
    with pytest.raises(ValueError, match="lists them"):
        cl.load_photo("qwertz")


def test_the_prior_is_a_distribution_with_gray_on_top():
    prior = ab_prior()
    assert prior.shape == (313,) and prior.sum() == pytest.approx(1) and prior.min() > 0
    assert ab_bins()[prior.argmax()].tolist() == [0, 0]


def test_another_table_is_no_prior(tmp_path):
    (tmp_path / "p.csv").write_text("a,b,probability\n0,0,1\n")
    with pytest.raises(ValueError, match="313 bins"):
        load_prior(tmp_path / "p.csv")
