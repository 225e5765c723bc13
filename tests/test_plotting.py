import base64
import io
import re

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_output
from PIL import Image
from skimage import data

from authoring import course
from course_lib import plotting


@pytest.fixture
def shown(monkeypatch):
    displayed = []
    monkeypatch.setattr(plotting, "display", lambda bundle, raw: displayed.append(bundle))
    return displayed


def figure(bundle):
    """Address and description of the one figure of an output."""
    (found,) = course.figures(new_code_cell(outputs=[new_output("display_data", bundle)]))
    return found


def picture(bundle):
    kind, content = figure(bundle)[0].split(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert kind == f"data:{image.get_format_mimetype()}"
        return np.asarray(image.convert("RGB"))


def test_a_figure_carries_its_description(shown):
    said = 'a cup & a <man> of "skill"'
    plotting.show_pictures([data.coffee(), data.camera()], ["one", "two"], said)
    assert figure(shown[0])[1] == said
    assert shown[0]["text/plain"] == f"[figure] {said}"


def test_a_figure_is_stored_with_two_pixels_for_each_that_it_is_shown_at(shown):
    plotting.show_pictures([data.coffee()], ["one"], "a cup", width=3)
    assert picture(shown[0]).shape[1] == 600
    assert 'width="300"' in shown[0]["text/html"]


def test_a_chart_loses_nothing_and_is_small(shown):
    plotting.show_lines({"a": ([1, 2], [3, 4])}, "x", "y", "a line")
    chart = picture(shown[0])
    line = np.abs(chart.astype(int) - (0, 0x72, 0xB2)).max(axis=-1) == 0  # the colour itself
    assert line.sum() > 1000
    assert len(shown[0]["text/html"]) < 30_000


def test_a_table_has_header_cells_for_its_columns_and_rows(shown):
    rows = [["gray", "19.2"], ["ECCV16 & co", 20]]
    plotting.show_table(["method", "PSNR, dB"], rows, "How good they are")
    page = shown[0]["text/html"]
    assert re.findall(r'<th scope="col">(.*?)</th>', page) == ["method", "PSNR, dB"]
    assert re.findall(r'<th scope="row">(.*?)</th>', page) == ["gray", "ECCV16 &amp; co"]
    assert re.findall(r"<td>(.*?)</td>", page) == ["19.2", "20"]
    assert "<caption>How good they are</caption>" in page
    assert shown[0]["text/plain"].splitlines() == [
        "How good they are",
        "method       PSNR, dB",
        "gray             19.2",
        "ECCV16 & co        20",
    ]


def test_a_table_with_a_short_row_is_refused(shown):
    with pytest.raises(ValueError, match="needs 2 cells"):
        plotting.show_table(["method", "PSNR"], [["gray"]], "short")


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
    assert (np.abs(picture(shown[0]).astype(int) - 100) <= 1).all(-1).mean() > 0.3


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
