import numpy as np
import pytest
from skimage import data

from course_lib.data.arrays import square
from course_lib.evaluation import contact_sheet, format_table, measure, summarize
from course_lib.models import ECCV16


@pytest.fixture(scope="module")
def pictures():
    return [square(p, 48) for p in (data.astronaut(), data.coffee(), data.chelsea())]


def test_the_truth_scores_perfectly_and_gray_has_no_colour(pictures):
    truth = iter(pictures)
    perfect = measure(pictures, lambda _: next(truth))
    assert (perfect["auc_raw"] == 100).all() and np.isinf(perfect["psnr"]).all()
    gray = measure(pictures, lambda picture: picture)
    assert gray["chroma"].max() < 0.1
    assert (gray["auc_balanced"] < gray["auc_raw"]).all()


def test_methods_see_gray_pictures_only(pictures):
    seen = []
    measure(pictures, lambda picture: seen.append(picture) or picture)
    assert all((p[..., :1] == p).all() for p in seen)


def test_the_interval_holds_the_mean_and_narrows_with_more_pictures():
    def figures(count):
        x = np.random.RandomState(0).rand(count)
        return dict.fromkeys(("psnr", "auc_raw", "auc_balanced", "chroma"), x) | {
            "true_chroma": np.ones(count)
        }

    few, many = summarize(figures(10)), summarize(figures(1000))
    for name in ("psnr", "colourfulness"):
        mean, low, high = many[name]
        assert low < mean < high
        assert high - low < (few[name][2] - few[name][1]) / 3
    assert few == summarize(figures(10))


def test_the_table_has_a_row_for_each_method(pictures):
    result = summarize(measure(pictures, lambda picture: picture))
    lines = format_table({"gray": result, "other": result}).splitlines()
    assert len(lines) == 4 and lines[2].startswith("| gray | ")


def test_the_sheet_has_gray_above_and_truth_below(pictures):
    sheet = contact_sheet(pictures, [ECCV16(0.03)])
    assert sheet.shape == (3 * 54, 3 * 54, 3)
    assert np.ptp(sheet[3:51].astype(int), axis=-1).max() == 0
    assert np.array_equal(sheet[2 * 54 + 3 : 2 * 54 + 51, 3:51], pictures[0])
