import numpy as np
import pytest
from skimage import data

import course_lib as cl
from course_lib import fast_lab, lab
from course_lib.inference import predict_ab


@pytest.fixture(scope="module")
def colours():
    """Every 8-bit gray, and every fifth of each channel with every fifth of the others."""
    fifths = np.arange(0, 256, 5, dtype=np.uint8)
    cube = np.stack(np.meshgrid(fifths, fifths, fifths, indexing="ij"), axis=-1).reshape(-1, 3)
    grays = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    return np.concatenate([cube, grays])[None]


def back(L, a, b):
    out = np.empty((*L.shape, 3), np.uint8)
    fast_lab.lab_to_rgb(L, a, b, out)
    return out


def test_lab_is_that_of_the_readable_way(colours):
    exact = lab.rgb_to_lab(colours)
    L, a, b = fast_lab.rgb_to_lab(colours)
    assert np.array_equal(L, fast_lab.lightness(colours))
    for channel, got, most in ((0, L, 0.01), (1, a, 0.1), (2, b, 0.1)):
        assert got.dtype == np.float32
        assert np.abs(got - exact[..., channel]).max() < most


def test_8_bit_pictures_survive(colours):
    assert np.array_equal(back(*fast_lab.rgb_to_lab(colours)), colours)


def test_any_lab_is_within_one_level_of_the_readable_way():
    low, high = [0, -110, -110], [100, 110, 110]
    values = np.random.RandomState(0).uniform(low, high, (300, 300, 3)).astype(np.float32)
    off = np.abs(back(*np.moveaxis(values, -1, 0)).astype(int) - lab.lab_to_rgb(values))
    assert off.max() <= 1 and off.mean() < 0.01


def test_bands_cover_every_row_once(monkeypatch):
    monkeypatch.setattr(fast_lab, "BAND_PIXELS", 20)
    for height, width in ((1, 1), (7, 5), (3, 100), (40, 3)):
        rows = np.zeros(height, int)

        def count(band, rows=rows):
            rows[band] += 1

        fast_lab.in_bands(count, height, width)
        assert (rows == 1).all()


def test_what_fails_in_a_band_is_raised():
    def fail(rows):
        raise ValueError("a band")

    with pytest.raises(ValueError, match="a band"):
        fast_lab.in_bands(fail, 10, 10)


def test_colorize_is_what_the_readable_steps_give():
    rgb, net = data.coffee(), cl.ECCV16(0.03).eval()
    small_l, ab = predict_ab(rgb, net, size=64)
    L = cl.lightness(rgb)
    by_hand = cl.lab_to_rgb(cl.merge_lab(L, cl.upsample_ab(ab, small_l, L)))
    off = np.abs(cl.colorize(rgb, net, size=64).astype(int) - by_hand)
    assert off.max() <= 1 and off.mean() < 0.01


@pytest.mark.parametrize(
    "edit",
    [
        lab.to_gray,
        lambda rgb: lab.set_saturation(rgb, 1.3),
        lambda rgb: lab.set_temperature(rgb, 4500),
    ],
)
def test_edits_in_bands_are_those_of_the_whole(edit, monkeypatch):
    rgb = data.astronaut()[:101]
    monkeypatch.setattr(fast_lab, "BAND_PIXELS", 512 * 7)
    seen = []

    def watched(band):
        seen.append(band.shape)
        return edit(band)

    assert np.array_equal(fast_lab.edit_in_bands(watched, rgb), edit(rgb))
    assert sorted(seen) == [(3, 512, 3), *[(7, 512, 3)] * 14]
