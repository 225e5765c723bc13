import base64
import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from course_lib import plotting


@pytest.fixture
def shown(monkeypatch):
    displayed = []
    monkeypatch.setattr(
        plotting, "display", lambda bundle, raw, metadata: displayed.append((bundle, metadata))
    )
    return displayed


def picture(bundle):
    kind = next(key for key in bundle if key.startswith("image/"))
    with Image.open(io.BytesIO(base64.b64decode(bundle[kind]))) as image:
        assert image.get_format_mimetype() == kind
        return np.asarray(image.convert("RGB"))


def test_a_figure_carries_its_description(shown):
    plotting.show_pictures([data.coffee(), data.camera()], ["one", "two"], "a cup and a man")
    bundle, metadata = shown[0]
    assert metadata["image/jpeg"]["alt"] == "a cup and a man"
    assert bundle["text/plain"] == "[figure] a cup and a man"
    assert picture(bundle).shape[1] == 800


def test_a_figure_without_description_is_refused(shown):
    with pytest.raises(ValueError, match="description"):
        plotting.show_pictures([data.coffee()], ["one"], "  ")


def test_the_same_figure_gives_the_same_bytes(shown):
    for _ in range(2):
        plotting.show_lines({"loss": ([1, 2], [3, 4])}, "step", "loss", "a line")
    assert shown[0] == shown[1]


def test_pictures_and_titles_must_pair(shown):
    with pytest.raises(ValueError, match="titles"):
        plotting.show_pictures([data.coffee()], ["one", "two"], "a cup")


def test_a_gray_picture_is_not_stretched_in_contrast(shown):
    plotting.show_pictures([np.full((50, 50), 100, np.uint8)], ["flat"], "even gray", width=2)
    assert (np.abs(picture(shown[0][0]).astype(int) - 100) <= 1).all(-1).mean() > 0.3


def test_figures_do_not_stay_open(shown):
    import matplotlib.pyplot as plt

    plotting.show_lines(
        {"a": ([1], [1]), "b": ([1], [2])}, "x", "y", "dots", log_x=True, log_y=True
    )
    assert plt.get_fignums() == []


def test_the_ab_plane_is_gray_in_the_middle_and_white_outside_srgb():
    plane = plotting.ab_plane(60)
    middle = plane[110, 110].astype(int)
    assert np.ptp(middle) <= 2
    assert (plane[0, 0] == 255).all()
    red, green = plane[110, 110 + 30], plane[110, 110 - 30]
    assert red[0] > red[1] and green[1] > green[0]


def test_histograms_share_one_scale(shown):
    ab = np.random.RandomState(0).randn(1000, 2) * 20
    plotting.show_ab_histograms([ab, ab / 4], ["wide", "narrow"], "two clouds")
    assert len(shown) == 1
