import csv
import hashlib
import io
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

import course_lib as cl
from authoring import photographs
from course_lib.bins import ab_bins
from course_lib.data.photos import KINDS, SPLITS
from course_lib.data.prior import ab_prior, load_prior
from course_lib.data.split import only_part, part_of
from course_lib.files import data_folder

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


def test_a_file_that_cannot_be_read_stays_among_those_to_train_on(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(40)]
    for number, path in enumerate(paths):
        path.write_bytes(str(number).encode())
    (tmp_path / "folder.png").mkdir()
    paths.append(tmp_path / "folder.png")
    parts = {part: only_part(paths, part) for part in ("train", "validation", "test")}
    assert sorted(path for chosen in parts.values() for path in chosen) == sorted(paths)
    assert parts["train"][-1] == tmp_path / "folder.png"
    assert all(part_of(path) == part for part in ("test", "validation") for path in parts[part])


@pytest.fixture(scope="module")
def build_photos():
    return photographs


def png(values):
    file = io.BytesIO()
    Image.fromarray(values).save(file, format="PNG")
    return file.getvalue()


def cut_out():
    # A red square whose transparent surroundings hide black, the colour that would bleed in.
    values = np.zeros((700, 900, 4), dtype=np.uint8)
    values[100:600, 200:700] = (200, 30, 30, 255)
    return png(values)


def test_the_readme_names_every_photo(build_photos):
    text = (data_folder() / "README.md").read_text(encoding="utf-8")
    assert build_photos.fresh_readme(text, table()) == text


def test_a_table_without_its_place_is_refused(build_photos):
    with pytest.raises(ValueError, match="expected <!-- table of photographs -->"):
        build_photos.fresh_readme("nothing here", table())


def test_scenes_are_made_smaller_but_never_larger(build_photos):
    wide = build_photos.make_scene(png(np.full((100, 1000, 3), 90, dtype=np.uint8)))
    assert wide.size == (768, 77) and wide.mode == "RGB"
    assert build_photos.make_scene(png(np.zeros((20, 30, 3), dtype=np.uint8))).size == (30, 20)


def test_gray_pictures_have_one_channel_and_no_colour(build_photos):
    picture = build_photos.make_gray(png(np.full((8, 9), 77, dtype=np.uint8)))
    assert picture.mode == "L" and picture.getextrema() == (77, 77)
    with pytest.raises(build_photos.BuildError, match="has colour"):
        build_photos.make_gray(png(np.full((8, 9, 3), (1, 2, 3), dtype=np.uint8)))


def test_objects_lie_on_white_without_a_dark_edge(build_photos):
    picture = build_photos.make_object(cut_out())
    assert picture.size == (320, 320)
    values = np.asarray(picture).astype(int)
    assert (values[:4] == 255).all() and values[160, 160].tolist() == [200, 30, 30]
    # Between red and white there is only pink: red never falls below that of the object.
    assert values[..., 0].min() >= 190
    with pytest.raises(build_photos.BuildError, match="transparent throughout"):
        build_photos.make_object(png(np.zeros((5, 5, 4), dtype=np.uint8)))


def write_deb(folder, files):
    root = folder / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: tiny\nVersion: 1:2-3\nArchitecture: all\nMaintainer: a <a@example.org>\n"
        "Description: test\n"
    )
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    command = [
        "dpkg-deb",
        "--root-owner-group",
        "--build",
        str(root),
        str(folder / "tiny_2_a.deb"),
    ]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_photos_are_built_from_a_package(build_photos, tmp_path, capsys):
    write_deb(tmp_path, {"usr/share/a.png": cut_out()})
    with pytest.raises(build_photos.BuildError, match=r"no other_\*\.deb"):
        build_photos.find_package(tmp_path, "other")
    photos = tmp_path / "photos"
    keys = ("file", "kind", "package", "version", "source", "sha256")
    values = ("objects/a.jpg", "object", "tiny", "1:2-3", "usr/share/a.png", "")
    row = dict(zip(keys, values, strict=True))
    build_photos.write_whole(photos / "objects" / "a.jpg", b"shipped")
    build_photos.write_rows(photos / "photos.csv", [row])

    assert build_photos.build(photos, tmp_path) == ["objects/a.jpg"]
    assert (photos / "objects" / "a.jpg").read_bytes() == b"shipped"
    assert build_photos.build(photos, tmp_path, update=True) == ["objects/a.jpg"]
    assert build_photos.build(photos, tmp_path) == []
    content = (photos / "objects" / "a.jpg").read_bytes()
    (row,) = build_photos.read_rows(photos / "photos.csv")
    assert row["sha256"] == hashlib.sha256(content).hexdigest()
    assert sorted(p.name for p in photos.rglob("*") if p.is_file()) == ["a.jpg", "photos.csv"]
    assert "tiny" not in capsys.readouterr().out  # the version is the one of the table

    build_photos.write_rows(photos / "photos.csv", [row | {"source": "usr/share/b.png"}])
    with pytest.raises(build_photos.BuildError, match=r"does not hold usr/share/b\.png"):
        build_photos.build(photos, tmp_path)
    (tmp_path / "tiny_2_a.deb").write_bytes(b"cut short")
    with pytest.raises(build_photos.BuildError, match="not a Debian package"):
        build_photos.build(photos, tmp_path)
