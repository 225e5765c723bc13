import numpy as np
import pytest
from skimage import data

from course_lib.bins import ab_bins
from course_lib.lab import to_gray
from course_lib.metrics import (
    ab_error_curve,
    auc,
    balanced_auc,
    colourfulness_ratio,
    mean_chroma,
    psnr,
    rarity_of,
    ssim,
)


def test_the_gray_picture_scores_what_is_published_for_it():
    # Facts of scikit-image's own photographs: PSNR alone misleads.
    for name, expected in [("astronaut", 17.80), ("coffee", 14.12), ("hubble_deep_field", 31.29)]:
        rgb = getattr(data, name)()
        assert psnr(to_gray(rgb), rgb) == pytest.approx(expected, abs=0.02)


def test_equal_pictures():
    rgb = data.coffee()
    assert psnr(rgb, rgb) == float("inf")
    assert ssim(rgb, rgb) == pytest.approx(1)


def test_psnr_of_a_known_error():
    truth = np.full((16, 16, 3), 100, np.uint8)
    assert psnr(truth + 16, truth) == pytest.approx(20 * np.log10(255 / 16))


def test_the_curve_counts_pixels_within_each_threshold():
    true = np.zeros((1, 2, 1, 4))
    predicted = np.array([[0, 2.3, 30, 200], [0, 0, 40, 0]]).reshape(1, 2, 1, 4)
    curve = ab_error_curve(predicted, true)
    assert curve.shape == (151,)
    assert curve[[0, 2, 3, 49, 50, 150]].tolist() == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75]


def test_auc_of_perfect_and_hopeless():
    true = np.zeros((1, 2, 8, 8))
    assert auc(ab_error_curve(true, true)) == 100
    assert auc(ab_error_curve(true + 1000, true)) == 0


def test_balanced_counts_rare_colours_as_much_as_common_ones():
    # 99 gray pixels right, one red pixel wrong: raw hardly notices.
    true = np.zeros((1, 2, 10, 10))
    true[0, :, 0, 0] = 60, 50
    predicted = np.zeros_like(true)
    weights = np.full(313, 1e-9)
    bins = ab_bins()
    weights[(bins == (0, 0)).all(1)] = 1 / 0.99
    weights[(bins == (60, 50)).all(1)] = 1 / 0.01
    raw, balanced = (
        auc(ab_error_curve(predicted, true)),
        auc(ab_error_curve(predicted, true, rarity_of(true, weights))),
    )
    assert raw > 99
    assert balanced == pytest.approx(50 + (100 * (1 - np.hypot(60, 50) / 150)) / 2, abs=0.5)


def test_one_rare_pixel_does_not_decide_the_balanced_figure_of_many_pictures():
    weights = np.ones(313)
    weights[(ab_bins() == (60, 50)).all(1)] = 1e9
    true = np.zeros((10, 2, 4, 4))
    true[0, :, 0, 0] = 60, 50
    predicted = np.zeros_like(true)
    missed = 100 * (1 - np.hypot(60, 50) / 150)
    in_one_sum = auc(ab_error_curve(predicted, true, rarity_of(true, weights)))
    assert in_one_sum == pytest.approx(missed, abs=0.5)
    assert balanced_auc(predicted, true, weights) == pytest.approx(
        np.mean([missed] + 9 * [100]), abs=0.5
    )


def test_chroma():
    ab = np.zeros((1, 2, 2, 2))
    ab[:, 0], ab[:, 1] = 3, 4
    assert mean_chroma(ab) == 5
    assert colourfulness_ratio(ab / 2, ab) == pytest.approx(0.5)


def test_wrong_pairs_are_refused():
    with pytest.raises(ValueError, match="shape"):
        psnr(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        ssim(np.zeros((16, 16, 3)), np.zeros((16, 16, 3)))
    with pytest.raises(ValueError, match=r"\(N, 2, H, W\)"):
        ab_error_curve(np.zeros((2, 4, 4)), np.zeros((2, 4, 4)))
