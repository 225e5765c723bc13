import pytest

from course_lib.sliders import explore


@pytest.fixture
def drawn():
    return []


@pytest.mark.parametrize("why", ["strict", "no ipywidgets"])
def test_without_sliders_the_picture_is_drawn_once_for_the_start(drawn, why, monkeypatch, capsys):
    if why == "no ipywidgets":
        monkeypatch.setenv("COURSE_STRICT", "")
        monkeypatch.setattr("course_lib.sliders.find_spec", lambda name: None)
    explore(lambda **values: drawn.append(values), hue=(0, 360, 40), kind=("soft", "hard"))
    assert drawn == [{"hue": 40, "kind": "soft"}]
    assert capsys.readouterr().out == ""


def test_a_slider_that_moves_draws_anew(drawn, monkeypatch):
    ipywidgets = pytest.importorskip("ipywidgets")
    shown = []
    monkeypatch.setenv("COURSE_STRICT", "")
    monkeypatch.setattr("course_lib.sliders.display", shown.append)
    choices = {"row": (0, 9, 4), "chroma": (0.0, 2.0, 1.0), "kind": ("soft", "hard")}
    explore(lambda **values: drawn.append(values), **choices)
    row, chroma, kind, _ = shown[0].children
    assert isinstance(row, ipywidgets.IntSlider) and isinstance(chroma, ipywidgets.FloatSlider)
    assert drawn[-1] == {"row": 4, "chroma": 1.0, "kind": "soft"}
    row.value, kind.value = 12, "hard"
    assert drawn[-1] == {"row": 9, "chroma": 1.0, "kind": "hard"}
