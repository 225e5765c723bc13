import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from course_lib.bins import rebalancing_weights
from course_lib.data.arrays import encode_lab, square
from course_lib.data.copies import near_copies, thumbnails
from course_lib.data.photos import SPLITS
from course_lib.data.prior import ab_prior
from course_lib.data.public import PUBLIC_SETS, PublicSet
from course_lib.data.split import only_part, part_of
from course_lib.evaluation import (
    MeanColour,
    NearestPicture,
    bootstrap,
    contact_sheet,
    evaluate,
    format_table,
    held_out_pictures,
    markdown_table,
    measure,
    measure_all,
    summarize,
)
from course_lib.evaluation.__main__ import main
from course_lib.evaluation.baselines import training_codes
from course_lib.evaluation.contact_sheet import from_best_to_worst
from course_lib.evaluation.results import format_results
from course_lib.evaluation.summary import summarize_gain, summarize_hues
from course_lib.files import file_hash
from course_lib.image import load_image
from course_lib.lab import rgb_to_lab, to_gray
from course_lib.metrics import HUES, ab_error_curve, auc, bins_of, hue_counts, rarity_of
from course_lib.models import SIGGRAPH17, shipped_weights


@pytest.fixture(scope="module")
def pictures():
    return [square(p, 48) for p in (data.astronaut(), data.coffee(), data.chelsea())]


def test_the_truth_scores_perfectly_and_gray_has_no_colour(pictures):
    truth = iter(pictures)
    perfect = measure(pictures, lambda _: next(truth))
    assert (perfect["auc_raw"] == 100).all() and np.isinf(perfect["psnr"]).all()
    assert (perfect["ssim"] == 1).all()
    gray = measure(pictures, lambda picture: picture)
    assert gray["chroma"].max() < 0.1
    assert (gray["auc_balanced"] < gray["auc_raw"]).all()


def test_each_picture_has_the_area_under_its_own_curve(pictures):
    found = measure(pictures, lambda gray: gray[::-1])
    weights = rebalancing_weights(ab_prior(), lam=0)
    for number, truth in enumerate(pictures):
        pairs = (to_gray(truth)[::-1], truth)
        gray, true = (np.moveaxis(rgb_to_lab(x)[..., 1:], -1, 0)[None] for x in pairs)
        assert found["auc_raw"][number] == pytest.approx(auc(ab_error_curve(gray, true)))
        curve = ab_error_curve(gray, true, rarity_of(true, weights))
        assert found["auc_balanced"][number] == pytest.approx(auc(curve))


def test_one_picture_of_a_rare_colour_does_not_decide(pictures):
    green = np.full_like(pictures[0], (0, 255, 0))
    found = measure([*pictures, green], lambda gray: gray)["auc_balanced"]
    assert found[:3].min() - found[3] > 10
    true = np.stack([np.moveaxis(rgb_to_lab(x)[..., 1:], -1, 0) for x in (*pictures, green)])
    weights = rebalancing_weights(ab_prior(), lam=0)
    in_one_sum = auc(ab_error_curve(np.zeros_like(true), true, rarity_of(true, weights)))
    assert in_one_sum == pytest.approx(found[3], abs=1) and found.mean() > in_one_sum + 10


def test_pooled_figures_are_those_of_all_pixels_in_one_sum(pictures):
    methods = {"gray": lambda gray: gray, "upside down": lambda gray: gray[::-1]}
    found = measure_all(pictures, methods)
    true = np.stack([np.moveaxis(rgb_to_lab(x)[..., 1:], -1, 0) for x in pictures])
    counts = np.bincount(bins_of(true).ravel(), minlength=313)
    weights = 1 / np.maximum(counts, 1)
    for name, method in methods.items():
        out = [np.moveaxis(rgb_to_lab(method(to_gray(x)))[..., 1:], -1, 0) for x in pictures]
        curve = ab_error_curve(np.stack(out), true, rarity_of(true, weights))
        assert found[name]["pool"].sum() == pytest.approx(1)
        assert summarize(found[name])["auc_pooled"][0] == pytest.approx(auc(curve))
    gain = summarize_gain(found["upside down"], found["gray"])
    for key, (middle, low, high) in gain.items():
        means = [summarize(found[name])[key][0] for name in methods]
        assert middle == pytest.approx(means[1] - means[0], abs=1e-9) and low <= middle <= high


def test_methods_are_measured_together_as_alone(pictures):
    methods = {"gray": lambda gray: gray, "dark": lambda gray: gray // 2}
    together = measure_all(pictures, methods)
    for name, method in methods.items():
        for key, values in measure(pictures, method).items():
            assert np.array_equal(together[name][key], values), (name, key)


def test_methods_see_gray_pictures_only(pictures):
    seen = []
    measure(pictures, lambda picture: seen.append(picture) or picture)
    assert all((p[..., :1] == p).all() for p in seen)


def test_the_interval_holds_the_mean_and_narrows_with_more_pictures():
    def figures(count):
        x = np.random.RandomState(0).rand(count)
        names = ("psnr", "ssim", "auc_raw", "auc_balanced", "auc_pooled", "chroma")
        return dict.fromkeys(names, x) | dict.fromkeys(("true_chroma", "pool"), np.ones(count))

    few, many = summarize(figures(10)), summarize(figures(1000))
    for name in ("psnr", "colourfulness"):
        mean, low, high = many[name]
        assert low < mean < high
        assert high - low < (few[name][2] - few[name][1]) / 3
    assert few == summarize(figures(10))


def test_the_interval_holds_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(100):
        _, low, high = bootstrap(rng.normal(5, 2, 60))
        held.append(low < 5 < high)
    assert 88 <= sum(held) <= 99
    _, low, high = bootstrap(rng.normal(5, 2, 60))
    assert high - low == pytest.approx(2 * 1.96 * 2 / 60**0.5, rel=0.3)


def test_a_ratio_weighs_pictures_by_what_they_have():
    part, whole = np.array([1.0, 0, 0, 30]), np.array([1.0, 0, 9, 90])
    middle, low, high = bootstrap(part, over=whole)
    assert middle == pytest.approx(0.31) and low < middle < high <= 1
    assert bootstrap(part[:1], over=whole[:1]) == (1, 1, 1)


def test_a_markdown_table_has_a_line_a_row():
    table = markdown_table([["a", "b"], ["1", "2"], ["3", "4"]])
    assert table == "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |"


def ab_of(*colours):
    """One row of pixels, (2, 1, N) ab."""
    lab = rgb_to_lab(np.array([colours], np.uint8))
    return np.moveaxis(lab[..., 1:], -1, 0)


def test_hues_are_told_apart_and_gray_is_no_hue():
    red, leaf, sky, gray = (200, 30, 40), (60, 120, 40), (90, 140, 220), (128, 128, 128)
    brown, violet = (120, 70, 20), (150, 40, 170)
    true = ab_of(red, leaf, leaf, leaf, sky, brown, violet, gray)
    counts = hue_counts(ab_of(red, leaf, brown, gray, violet, brown, violet, red), true)
    found = dict(zip(HUES, counts.tolist(), strict=True))
    assert found == {
        "red": [1, 1, 0],
        "orange, yellow": [1, 1, 0],
        "green": [3, 1, 1],
        "blue": [1, 0, 0],
        "purple": [1, 1, 0],
    }


def test_hues_are_shares_of_what_there_is(pictures):
    truth = iter(pictures)
    perfect = summarize_hues(measure(pictures, lambda _: next(truth)))
    gray = summarize_hues(measure(pictures, lambda picture: picture))
    assert sum(hue["pixels"] for hue in perfect.values()) == pytest.approx(1)
    assert perfect["orange, yellow"]["pictures"] == len(pictures)
    for name, hue in perfect.items():
        assert hue["right"] == (1, 1, 1) and hue["gray"] == (0, 0, 0)
        assert gray[name]["right"] == (0, 0, 0) and gray[name]["gray"] == (1, 1, 1)
    seen = {"hues": np.zeros((2, len(HUES), 3), int)}
    seen["hues"][0, 2] = 10, 5, 1  # green, in one picture of two
    assert list(summarize_hues(seen)) == ["green"]
    assert summarize_hues(seen)["green"]["right"] == (0.5, 0.5, 0.5)


def test_pictures_are_shown_from_the_best_to_the_worst():
    gains = np.array([3.0, -1, 7, 0, 5, 2])
    assert from_best_to_worst(gains, 3) == [2, 0, 1]
    assert from_best_to_worst(gains, 9) == [2, 4, 0, 5, 3, 1]
    assert from_best_to_worst(gains, 1) == [2]


def test_the_table_has_a_row_for_each_method(pictures):
    result = summarize(measure(pictures, lambda picture: picture))
    lines = format_table({"gray": result, "other": result}).splitlines()
    assert len(lines) == 4 and lines[2].startswith("| gray | ")


def test_the_sheet_has_gray_above_methods_between_and_truth_below(pictures):
    def mark(rgb, number):
        return np.full_like(rgb, 100 + number)

    margin, cell = 6, 54
    sheet = contact_sheet(pictures, {"marked": mark})
    assert sheet.shape == (3 * cell, margin + 3 * cell, 3)
    names, sheet = sheet[:, :margin], sheet[:, margin:]
    for row in range(3):  # each row has its name beside it
        assert names[row * cell : (row + 1) * cell].min() < 200
    assert np.ptp(sheet[3:51].astype(int), axis=-1).max() == 0
    assert (sheet[57:105, 57:105] == 101).all()
    assert np.array_equal(sheet[2 * 54 + 3 : 2 * 54 + 51, 3:51], pictures[0])

    two_bands = contact_sheet(pictures, {"marked": mark}, columns=2)
    assert two_bands.shape == (2 * 3 * cell + margin, margin + 2 * cell, 3)
    second = two_bands[3 * cell + margin :, margin:]
    assert (second[57:105, 3:51] == 102).all()
    assert (second[:, cell:] == 255).all()


def _codes(pictures):
    return np.stack([encode_lab(rgb_to_lab(rgb)).transpose(2, 0, 1) for rgb in pictures])


def test_the_mean_colour_is_the_training_pictures_mean(pictures):
    out = MeanColour(_codes(pictures[:2]))(np.full((20, 30, 3), 128, np.uint8))
    expected = np.mean(
        [rgb_to_lab(rgb)[..., 1:].mean(axis=(0, 1)) for rgb in pictures[:2]], axis=0
    )
    assert np.allclose(rgb_to_lab(out)[..., 1:], expected, atol=1.0)


def test_a_known_picture_gets_its_own_colours_back(pictures):
    method = NearestPicture(_codes(pictures))
    for truth in pictures:
        assert np.abs(method(to_gray(truth)).astype(int) - truth).mean() < 3
    stretched = method(square(to_gray(pictures[0]), 96))
    assert stretched.shape == (96, 96, 3)


def test_a_network_is_measured_with_hints_and_its_suggestions_against_the_prior(pictures):
    nets = {"siggraph17": SIGGRAPH17(0.03).eval()}
    results, gains = evaluate(pictures, nets, NearestPicture(_codes(pictures)))
    curve, suggestions = results["hints"], results["suggestions"]
    assert list(curve) == ["0", "1", "2", "5", "10", "20", "50", "100"]
    head, prior = suggestions["five of the class head"][0], suggestions["five of the prior"][0]
    assert suggestions["class head less prior"][0] == pytest.approx(head - prior)
    intervals = [*curve.values(), *suggestions.values()]
    assert all(low <= mean <= high for mean, low, high in intervals)
    methods = results["methods"]
    assert gains.mean() == pytest.approx(
        methods["siggraph17"]["psnr"][0] - methods["gray"]["psnr"][0]
    )

    lines = format_results(results).splitlines()
    row = lines.index("| hints | 0 | 1 | 2 | 5 | 10 | 20 | 50 | 100 |") + 2
    assert lines[row].startswith("| PSNR, dB |") and f"{curve['10'][0]:.2f}" in lines[row]
    assert "five of the prior" in lines[-3] and f"{head:.1f}" in lines[-1]


def test_baselines_learn_from_the_training_photographs_alone():
    assert len(training_codes(None)) > 100


@pytest.fixture
def public_set(tmp_path):
    """Two hundred small files, of which some are in each part."""
    folder = tmp_path / "set"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(200):
        (folder / f"{number}.bin").write_bytes(rng.bytes(8))
    return folder


def test_parts_follow_from_the_bytes_alone(public_set):
    paths = sorted(public_set.iterdir())
    parts = {part: only_part(paths, part) for part in ("train", "validation", "test")}
    assert sorted(p for found in parts.values() for p in found) == paths
    assert 150 < len(parts["train"]) < 195 and parts["validation"] and parts["test"]
    held_out = parts["test"][0]
    copy = public_set / "another name.bin"
    copy.write_bytes(held_out.read_bytes())
    assert part_of(copy) == part_of(held_out) == "test"
    assert only_part(paths[::-1], "test") == parts["test"]
    with pytest.raises(ValueError, match="train, validation or test"):
        only_part(paths, "holdout")


@pytest.fixture
def photographs(tmp_path):
    """Crops of real photographs, large, small and gray, of which some are held out."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    coffee = data.coffee()
    for number in range(60):
        Image.fromarray(coffee[number : number + 170, 2 * number : 2 * number + 180]).save(
            folder / f"{number:02}.png"
        )
    Image.fromarray(coffee[:100, :100]).save(folder / "small.png")
    Image.fromarray(to_gray(coffee)).save(folder / "gray.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def test_small_gray_and_broken_pictures_are_not_measured(photographs):
    parts = [held_out_pictures([photographs], part, 100) for part in SPLITS]
    assert sum(map(len, parts)) == 60
    assert all(picture.shape == (256, 256, 3) for part in parts for picture in part)
    assert len(held_out_pictures([photographs], "train", 3)) == 3
    # "small.png", of 100 pixels, is large enough for squares of 96
    smaller = [held_out_pictures([photographs], part, 100, size=96) for part in SPLITS]
    assert sum(map(len, smaller)) == 61
    for path in photographs.glob("[0-9]*"):
        path.unlink()
    with pytest.raises(ValueError, match="at least 160 pixels"):
        held_out_pictures([photographs], "train", 3)


def test_copies_of_training_pictures_are_not_measured(photographs):
    pictures = held_out_pictures([photographs], "train", 4)
    known = thumbnails(_codes([square(pictures[0], 64)]))
    others = held_out_pictures([photographs], "train", 4, known=known)
    copies = near_copies(thumbnails(_codes([square(p, 64) for p in pictures])), known)
    expected = [p for p, copy in zip(pictures, copies.tolist(), strict=True) if not copy]
    assert len(others) == 4 and 0 < len(expected) < 4
    assert all(np.array_equal(*pair) for pair in zip(others, expected, strict=False))


def test_copies_are_told_from_other_pictures(pictures):
    known = thumbnails(_codes(pictures))
    darker = thumbnails(_codes([square(picture, 40) // 2 for picture in pictures]))
    upside_down = thumbnails(_codes([picture[::-1] for picture in pictures]))
    flat = thumbnails(_codes([np.full_like(pictures[0], 90)] * 2))
    assert near_copies(darker, known).all()
    assert not near_copies(upside_down, known).any()
    assert not near_copies(known[:1], known[1:]).any()
    assert not near_copies(flat, torch.cat([flat, known])).any()
    mirrored = thumbnails(_codes([picture[:, ::-1] for picture in pictures[1:]]))
    assert near_copies(mirrored, known).all()
    assert not near_copies(mirrored, known, mirrored=False).any()


def test_many_pictures_are_compared_a_block_at_a_time(monkeypatch):
    monkeypatch.setattr("course_lib.data.copies._BLOCK", 7)
    known = torch.rand(50, 256)
    pictures = torch.rand(30, 256)
    pictures[[2, 13, 29]] = known[[49, 0, 20]]
    assert near_copies(pictures, known).nonzero().flatten().tolist() == [2, 13, 29]


def test_only_some_subfolders_count(photographs):
    (photographs / "some" / "thing").mkdir(parents=True)
    for path in list(photographs.glob("0*.png")):
        path.rename(photographs / "some" / "thing" / path.name)

    def count(only=(), without=()):
        parts = []
        for part in SPLITS:
            parts += held_out_pictures([photographs], part, 100, only=only, without=without)
        return len(parts)

    assert count() == 60 and count(without=["some"]) == count(without=["some/thing"]) == 50
    assert count(["some"]) == count(["thing"]) == count(["some", "other"]) == 10
    with pytest.raises(ValueError, match="photographs, other"):
        held_out_pictures([photographs], "train", 3, only=["other"])


def test_a_public_set_is_called_by_its_name(photographs, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    (tmp_path / "cache").mkdir()
    archive = tmp_path / "cache" / "photographs.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in photographs.iterdir():
            file.write(path, path.name)
    checksum = f"sha256:{file_hash(archive)}"
    one = PublicSet("https://example.org/photographs.zip", checksum, 1, "coffee", "free")
    monkeypatch.setitem(PUBLIC_SETS, "photographs", one)
    other = PublicSet("https://example.org/others.zip", checksum, 1, "coffee", "free")
    monkeypatch.setitem(PUBLIC_SETS, "others", other)
    assert main(["--folder", "photographs", "--part", "validation", "--count", "1"]) == 0
    assert "1 photographs, 256 x 256" in capsys.readouterr().out
    assert main(["--folder", "others"]) == 2
    assert "COURSE_OFFLINE forbids" in capsys.readouterr().err


def test_the_command_measures_a_folder_and_keeps_earlier_figures(photographs, tmp_path, capsys):
    results, sheet = tmp_path / "results.json", tmp_path / "sheet.png"
    results.write_text('{"earlier": {}}')
    command = ["--folder", str(photographs), "--part", "validation", "--count", "2"]
    command += ["--name", "coffee", "--json", str(results), "--picture", str(sheet)]
    assert main(command) == 0
    written = json.loads(results.read_text())
    assert list(written) == ["earlier", "coffee"]
    methods = written["coffee"]["methods"]
    assert list(methods) == ["gray", "mean colour", "nearest picture", "eccv16", "siggraph17"]
    assert written["coffee"]["weights"] == {
        name: one.sha256 for name, one in shipped_weights().items()
    }
    assert written["coffee"]["training_pictures"] == len(training_codes(None))
    assert list(written["coffee"]["hues"]) == ["eccv16", "siggraph17"]
    # the gray picture was rounded to 8 bits on the way in, and the curve takes L as it is
    unaided = methods["siggraph17"]["psnr"][0]
    assert written["coffee"]["hints"]["0"][0] == pytest.approx(unaided, abs=0.1)
    assert written["coffee"]["suggestions"]["single answer"][0] > 0
    out = capsys.readouterr().out
    assert "coffee: 2 photographs" in out and "| nearest picture |" in out
    assert load_image(sheet).shape == (5 * 262, 32 + 2 * 262, 3)
    assert main(["--folder", str(tmp_path / "nothing")]) == 2
    assert "nothing" in capsys.readouterr().err
