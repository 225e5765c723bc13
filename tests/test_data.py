import csv
import hashlib
import importlib.util
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

import course_lib as cl
from course_lib.bins import ab_bins
from course_lib.data.photos import KINDS, SPLITS
from course_lib.data.prior import ab_prior, load_prior
from course_lib.files import data_folder
from course_lib.models import NETWORKS
from course_lib.training.choices import save_choices

PHOTOS = data_folder() / "photos"
SHIPPED = {name: row.shipped for name, row in NETWORKS.items() if row.shipped}


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


@pytest.fixture(scope="module")
def build_photos():
    path = data_folder() / "build_photos.py"
    spec = importlib.util.spec_from_file_location("build_photos", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    with pytest.raises(build_photos.BuildError, match="lacks the lines"):
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


@pytest.fixture(scope="module")
def write_cards():
    path = data_folder() / "write_cards.py"
    spec = importlib.util.spec_from_file_location("write_cards", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_show_what_was_measured(write_cards):
    for path, text in write_cards.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run make results"


@pytest.mark.parametrize("model", SHIPPED)
def test_the_history_of_each_training_is_shown_and_told(write_cards, model, tmp_path):
    text = (data_folder() / "README.md").read_text(encoding="utf-8")
    (told,) = re.findall(rf"!\[(.*)\]\({model}-history\.png\)", text)
    rows = write_cards.history(model).rows
    assert f"{rows[-1]['step']:,.0f} steps" in told
    assert f"{rows[0]['loss']:.3g} to {rows[-1]['loss']:.3g}" in told
    shipped = data_folder() / f"{model}-history.png"
    assert shipped.stat().st_size < 100_000
    write_cards.draw_history(model, tmp_path / "again.png")
    with Image.open(shipped) as one, Image.open(tmp_path / "again.png") as other:
        assert one.size == other.size and one.size[0] >= 800


@pytest.fixture
def figures(write_cards):
    """What the evaluation writes, with figures that are easily found again."""
    methods = ("gray", "mean colour", "nearest picture", *SHIPPED)
    names = ("psnr", "ssim", "auc_raw", "auc_balanced", "colourfulness")
    hue = {"pictures": 3, "pixels": 0.25, "right": (0.5, 0.4, 0.6), "gray": (0.1, 0, 0.2)}
    return {
        "pictures": 7,
        "size": 64,
        "training_pictures": 12_345,
        "weights": {model: one.sha256 for model, one in SHIPPED.items()},
        "methods": {method: dict.fromkeys(names, (20, 10, 30)) for method in methods},
        "hues": {model: {"green": hue} for model in SHIPPED},
        "hints": {"0": (21, 19, 23), "10": (25, 24, 26)},
        "suggestions": {"answer": (14, 13, 15), "head less prior": (-1.25, -2, -0.5)},
    }


def test_public_sets_have_their_tables(write_cards, figures):
    sets = {"this": figures, "that": figures | {"hints": {"0": (1, 0, 2), "10": (3, 2, 4)}}}
    sections = write_cards.held_out(sets)
    assert sections.count("#### ") == 2 and "7 pictures at 64 x 64 pixels" in sections
    assert "12,345 training pictures" in sections
    assert "| gray | 20.00 (10.00 to 30.00) | 20.000 (10.000 to 30.000)" in sections
    assert write_cards.hints(sets).splitlines() == [
        "| hints | this | that |",
        "|---|---|---|",
        "| 0 | 21.00 (19.00 to 23.00) | 1.00 (0.00 to 2.00) |",
        "| 10 | 25.00 (24.00 to 26.00) | 3.00 (2.00 to 4.00) |",
    ]
    assert write_cards.suggestions({"this": figures}).splitlines() == [
        "| pictures | answer | head less prior |",
        "|---|---|---|",
        "| this | 14.0 (13.0 to 15.0) | -1.2 (-2.0 to -0.5) |",
    ]
    assert "| that | green | 25 | 50 (40 to 60) | 10 (0 to 20) |" in write_cards.hues(
        sets, "eccv16"
    )


def test_the_choices_begin_with_gray_and_tell_what_ships(write_cards, tmp_path, monkeypatch):
    monkeypatch.setattr(write_cards, "WEIGHTS", tmp_path)
    assert write_cards.choices() == ""
    measured = {"psnr": 20.0, "auc_raw": 80.0, "auc_balanced": 70.0, "colourfulness": 0.5}
    measured |= {"pictures": 20, "pixels": 128}
    settings = [
        (None, None, None, None),
        ("averaged", 96, 0.0, 0.38),
        ("averaged", 96, 0.3, 0.38),
        ("averaged", 96, 0.3, 0.6),
        ("last step", 96, 0.3, 0.38),
    ]
    keys = ("weights", "size", "softening", "temperature")
    save_choices(
        tmp_path / "choices.csv", [dict(zip(keys, s, strict=True)) | measured for s in settings]
    )
    facts = {
        "input_size": "96",
        "temperature": "0.38",
        "training": "; rebalancing softened by 0.3",
    }
    monkeypatch.setattr(write_cards, "header", lambda model: facts)
    table = write_cards.choices()
    assert "first 20 validation pictures at 128 x 128" in table
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert rows[0].startswith("| the gray picture |  |  |  | 20.00 | 80.0 | 70.0 | 0.50 |")
    bold = [row.startswith("| **averaged** | **96** | **0.3** | **0.38**") for row in rows]
    assert bold == [False, False, True, False, False]
    facts["training"] = "never softened"
    assert "| **averaged** | **96** | **0.0** | **0.38**" in write_cards.choices()


def test_the_trials_begin_with_gray(write_cards, tmp_path, monkeypatch):
    monkeypatch.setattr(write_cards, "WEIGHTS", tmp_path)
    assert write_cards.trials() == ""
    measured = {"psnr": 20.0, "auc_raw": 80.0, "auc_balanced": 70.0, "colourfulness": 0.5}
    measured |= {"pictures": 20, "pixels": 128}
    keys = ("width", "lambda", "samples")
    trained = [(None,) * 3, (0.25, 0.5, 10240), (0.375, 0.5, 10240)]
    save_choices(
        tmp_path / "trials.csv", [dict(zip(keys, row, strict=True)) | measured for row in trained]
    )
    table = write_cards.trials()
    assert "the same 10,240 pictures" in table and "first 20 validation pictures" in table
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert rows == [
        "| the gray picture |  | 20.00 | 80.0 | 70.0 | 0.50 |",
        "| 0.25 | 0.5 | 20.00 | 80.0 | 70.0 | 0.50 |",
        "| 0.375 | 0.5 | 20.00 | 80.0 | 70.0 | 0.50 |",
    ]


def test_figures_of_other_weights_are_refused(write_cards, figures, tmp_path, monkeypatch):
    monkeypatch.setattr(write_cards, "WEIGHTS", tmp_path)
    assert write_cards.measured("held-out.json") == {}
    (tmp_path / "held-out.json").write_text(json.dumps({"this": figures}))
    assert write_cards.measured("held-out.json")["this"]["pictures"] == 7
    figures["weights"]["eccv16"] = "0" * 64
    (tmp_path / "held-out.json").write_text(json.dumps({"this": figures}))
    with pytest.raises(ValueError, match="this: measured with other weights; measure anew"):
        write_cards.measured("held-out.json")


def test_what_was_not_measured_leaves_its_place_empty(write_cards):
    page = "a\n\n<!-- x -->\n\nold\n\n<!-- end of x -->\n\nb\n"
    empty = write_cards.between_markers(page, "x", "")
    assert empty == "a\n\n<!-- x -->\n\n<!-- end of x -->\n\nb\n"
    assert write_cards.between_markers(empty, "x", "old") == page
    assert write_cards.held_out({}) == write_cards.hues({}, "eccv16") == ""
