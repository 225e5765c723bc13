import json
import re

import pytest
from PIL import Image

from authoring import model_cards
from authoring.markers import replace_between
from course_lib.files import data_folder
from course_lib.training.choices import save_choices


def test_the_pages_show_what_was_measured():
    for path, text in model_cards.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run make results"


@pytest.mark.parametrize("model", model_cards.COURSE)
def test_the_history_of_each_training_is_shown_and_told(model, tmp_path):
    text = (data_folder() / "README.md").read_text(encoding="utf-8")
    (told,) = re.findall(rf"!\[(.*)\]\({model}-history\.png\)", text)
    rows = model_cards.history(model).rows
    assert f"{rows[-1]['step']:,.0f} steps" in told
    assert f"{rows[0]['loss']:.3g} to {rows[-1]['loss']:.3g}" in told
    shipped = data_folder() / f"{model}-history.png"
    assert shipped.stat().st_size < 100_000
    model_cards.draw_history(model, tmp_path / "again.png")
    with Image.open(shipped) as one, Image.open(tmp_path / "again.png") as other:
        assert one.size == other.size and one.size[0] >= 800


@pytest.fixture
def figures():
    """What the evaluation writes, with figures that are easily found again."""
    methods = ("gray", "mean colour", "nearest picture", *model_cards.COURSE)
    names = ("psnr", "ssim", "auc_raw", "auc_balanced", "colourfulness")
    hue = {"pictures": 3, "pixels": 0.25, "right": (0.5, 0.4, 0.6), "gray": (0.1, 0, 0.2)}
    return {
        "pictures": 7,
        "size": 64,
        "training_pictures": 12_345,
        "weights": {model: one.sha256 for model, one in model_cards.COURSE.items()},
        "methods": {method: dict.fromkeys(names, (20, 10, 30)) for method in methods},
        "above gray": {model: {"psnr": (1.5, -0.5, 2.5)} for model in model_cards.COURSE},
        "hues": {model: {"green": hue} for model in model_cards.COURSE},
        "hints": {"0": (21, 19, 23), "10": (25, 24, 26)},
        "suggestions": {"answer": (14, 13, 15), "head less prior": (-1.25, -2, -0.5)},
    }


def test_public_sets_have_their_tables(figures):
    sets = {"this": figures, "that": figures | {"hints": {"0": (1, 0, 2), "10": (3, 2, 4)}}}
    sections = model_cards.held_out(sets)
    assert sections.count("#### ") == 2 and "7 pictures at 64 x 64 pixels" in sections
    assert "12,345 training pictures" in sections
    assert "| method | PSNR, dB |\n|---|---|\n| eccv16 | 1.50 (-0.50 to 2.50) |" in sections
    assert "| gray | 20.00 (10.00 to 30.00) | 20.000 (10.000 to 30.000)" in sections
    assert model_cards.hints(sets).splitlines() == [
        "| hints | this | that |",
        "|---|---|---|",
        "| 0 | 21.00 (19.00 to 23.00) | 1.00 (0.00 to 2.00) |",
        "| 10 | 25.00 (24.00 to 26.00) | 3.00 (2.00 to 4.00) |",
    ]
    assert model_cards.suggestions({"this": figures}).splitlines() == [
        "| pictures | answer | head less prior |",
        "|---|---|---|",
        "| this | 14.0 (13.0 to 15.0) | -1.2 (-2.0 to -0.5) |",
    ]
    assert "| that | green | 25 | 50 (40 to 60) | 10 (0 to 20) |" in model_cards.hues(
        sets, "eccv16"
    )


def test_the_choices_begin_with_gray_and_tell_what_ships(tmp_path, monkeypatch):
    monkeypatch.setattr(model_cards, "WEIGHTS", tmp_path)
    assert model_cards.choices() == ""
    measured = {"psnr": 20.0, "auc_raw": 80.0, "auc_balanced": 70.0, "colourfulness": 0.5}
    measured |= {"pictures": 20, "pixels": 128}
    settings = [
        (None, None, None, None),
        ("averaged", 96, 0.0, 0.38),
        ("averaged", 96, 0.3, 0.38),
        ("averaged", 96, 0.3, 0.6),
        ("averaged, two sizes", "96 + 160", 0.3, 0.38),
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
    monkeypatch.setattr(model_cards, "header", lambda model: facts)
    table = model_cards.choices()
    assert "first 20 validation pictures at 128 x 128" in table
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert rows[0].startswith("| the gray picture |  |  |  | 20.00 | 80.0 | 70.0 | 0.50 |")
    bold = [row.startswith("| **averaged** | **96** | **0.3** | **0.38**") for row in rows]
    assert bold == [False, False, True, False, False, False]
    facts["training"] = "never softened"
    assert "| **averaged** | **96** | **0.0** | **0.38**" in model_cards.choices()


def test_the_trials_begin_with_gray(tmp_path, monkeypatch):
    monkeypatch.setattr(model_cards, "WEIGHTS", tmp_path)
    assert model_cards.trials() == ""
    measured = {"psnr": 20.0, "auc_raw": 80.0, "auc_balanced": 70.0, "colourfulness": 0.5}
    measured |= {"pictures": 20, "pixels": 128}
    keys = ("changed", "samples")
    trained = [(None, None), ("nothing", 10240), ("width 0.375", 10240)]
    save_choices(
        tmp_path / "trials.csv", [dict(zip(keys, row, strict=True)) | measured for row in trained]
    )
    table = model_cards.trials()
    assert "the same 10,240 pictures" in table and "first 20 validation pictures" in table
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert rows == [
        "| the gray picture | 20.00 | 80.0 | 70.0 | 0.50 |",
        "| nothing | 20.00 | 80.0 | 70.0 | 0.50 |",
        "| width 0.375 | 20.00 | 80.0 | 70.0 | 0.50 |",
    ]


def test_figures_of_other_weights_are_refused(figures, tmp_path, monkeypatch):
    monkeypatch.setattr(model_cards, "WEIGHTS", tmp_path)
    assert model_cards.measured("held-out.json") == {}
    (tmp_path / "held-out.json").write_text(json.dumps({"this": figures}))
    assert model_cards.measured("held-out.json")["this"]["pictures"] == 7
    figures["weights"]["eccv16"] = "0" * 64
    (tmp_path / "held-out.json").write_text(json.dumps({"this": figures}))
    with pytest.raises(ValueError, match="this: measured with other weights; measure anew"):
        model_cards.measured("held-out.json")


def test_what_was_not_measured_leaves_its_place_empty():
    page = "a\n\n<!-- x -->\n\nold\n\n<!-- end of x -->\n\nb\n"
    empty = replace_between(page, "x", "")
    assert empty == "a\n\n<!-- x -->\n\n<!-- end of x -->\n\nb\n"
    assert replace_between(empty, "x", "old") == page
    assert model_cards.held_out({}) == model_cards.hues({}, "eccv16") == ""
