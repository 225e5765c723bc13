import base64
import io
import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import course_lib as cl
from authoring import build
from course_lib.hint_painter.colourer import VIEW_PIXELS, Colourer, checked_hints
from course_lib.hints import suggest_colours
from course_lib.inference import predict_ab
from course_lib.lab import lightness

HINT = (60, 40, (200, 80, 30))


@pytest.fixture(scope="module")
def net():
    return cl.siggraph17()


@pytest.fixture(scope="module")
def photo():
    return np.ascontiguousarray(cl.load_photo("scenes/cups")[::4, ::4])


@pytest.fixture(scope="module")
def colourer(photo, net):
    return Colourer(photo, net)


def small_ab(colourer, hints=(), **more):
    content, (ab,) = colourer.answer({"kind": "colour", "hints": hints, **more})
    assert content == {}
    return np.frombuffer(ab, np.float32).reshape(2, *colourer.L.shape[-2:])


# -- the messages


def test_opening_hands_over_the_photograph_and_what_the_network_sees(colourer, photo):
    content, (view, L) = colourer.answer({"kind": "open"})
    height, width = photo.shape[:2]
    assert content["photo"] == content["view"] == [height, width]
    assert content["hints"] and content["suggestions"]
    assert np.array_equal(np.frombuffer(view, np.uint8).reshape(photo.shape), photo)
    assert np.array_equal(
        np.frombuffer(L, np.float32).reshape(content["small"]),
        predict_ab(photo, colourer.net)[0][0, 0],
    )


@pytest.mark.parametrize("hints", [[], [HINT], [HINT, (10, 100, (0, 0, 255))]])
def test_small_colours_are_those_of_the_library(colourer, photo, hints):
    _, ab = predict_ab(photo, colourer.net, hints=hints)
    assert np.abs(small_ab(colourer, hints) - ab[0].numpy()).max() < 1e-3


def test_a_larger_hint_changes_more(colourer):
    plain = small_ab(colourer)
    reach = [
        (np.abs(small_ab(colourer, [HINT], patch=patch) - plain) > 5).mean()
        for patch in (1, 7, 15)
    ]
    assert reach[0] < reach[1] < reach[2]


def test_suggestions_are_the_class_heads_at_that_pixel(colourer, photo, net):
    row, column = 50, 70
    content, _ = colourer.answer({"kind": "suggest", "row": row, "column": column, "hints": []})
    L, _ = predict_ab(photo, net)
    with torch.inference_mode():
        logits = net.logits(L)[0]
    y = int((row + 0.5) * logits.shape[1] / photo.shape[0])
    x = int((column + 0.5) * logits.shape[2] / photo.shape[1])
    colours, shares = suggest_colours(logits[:, y, x], float(lightness(photo)[row, column]))
    assert content["colours"] == colours.tolist()
    assert content["shares"] == pytest.approx(shares.tolist(), abs=1e-3)


def test_suggestions_listen_to_the_hints_there_are(colourer):
    def shares(hints):
        question = {"kind": "suggest", "row": 60, "column": 50, "hints": hints}
        return colourer.answer(question)[0]["shares"]

    assert shares([]) != shares([HINT])


def test_the_export_is_the_result_at_full_size(colourer, photo, net):
    _, (png,) = colourer.answer({"kind": "export", "hints": [HINT]})
    exported = np.asarray(Image.open(io.BytesIO(png)))
    assert np.array_equal(exported, cl.colorize(photo, net, hints=[HINT]))


def test_what_was_answered_once_is_not_computed_again(photo, net):
    passes = []
    handle = net.model_out.register_forward_hook(lambda *_: passes.append(1))
    try:
        colourer = Colourer(photo, net)
        for hints in ([], [HINT], [], [HINT]):
            small_ab(colourer, hints)
            colourer.answer({"kind": "suggest", "row": 5, "column": 5, "hints": hints})
    finally:
        handle.remove()
    assert len(passes) == 2


def test_the_network_keeps_its_mode_and_a_painter_opened_anew_sees_its_training(photo):
    net = cl.siggraph17(weights=None, width=0.05)
    colourer = Colourer(photo, net)
    before = small_ab(colourer)
    with torch.no_grad():
        net.model_out[0].bias += 1
    assert net.training
    colourer.answer({"kind": "open"})
    assert (small_ab(colourer) != before).any()


def test_a_large_photograph_is_painted_on_a_smaller_view(net):
    large = np.random.default_rng(0).integers(0, 255, (1500, 1200, 3), np.uint8)
    content, (view, _) = Colourer(large, net).answer({"kind": "open"})
    height, width = content["view"]
    assert height * width <= VIEW_PIXELS and len(view) == 3 * height * width
    assert height / width == pytest.approx(1500 / 1200, rel=0.01)
    assert content["photo"] == [1500, 1200]


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (2, 3)])
def test_tiny_photographs_are_answered(net, shape):
    colourer = Colourer(np.full((*shape, 3), 120, np.uint8), net)
    colourer.answer({"kind": "open"})
    hint = (shape[0] - 1, shape[1] - 1, (200, 30, 30))
    assert np.isfinite(small_ab(colourer, [hint])).all()
    assert colourer.answer({"kind": "suggest", "row": 0, "column": 0})[0]["colours"]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"kind": "paint"}, "of kind open"),
        ({}, "of kind open"),
        ({"kind": "colour", "hints": [(999, 0, (0, 0, 0))]}, "outside the photo"),
        ({"kind": "suggest", "row": 999, "column": 0}, "outside the photograph"),
    ],
)
def test_bad_messages_are_refused(colourer, message, text):
    with pytest.raises(ValueError, match=text):
        colourer.answer(message)


def test_a_network_without_hints_colours_by_itself_and_refuses_them(photo):
    colourer = Colourer(photo, cl.eccv16())
    content, _ = colourer.answer({"kind": "open"})
    assert not content["hints"] and not content["suggestions"]
    assert np.abs(small_ab(colourer)).max() > 5
    with pytest.raises(ValueError, match="takes no hints"):
        small_ab(colourer, [HINT])
    assert colourer.answer({"kind": "suggest", "row": 0, "column": 0})[0]["colours"] == []


# -- hints

numbers = st.integers(0, 99) | st.floats(0, 99) | st.integers(0, 99).map(np.int64)
levels = st.integers(0, 255) | st.integers(0, 255).map(np.uint8)
colours = st.tuples(levels, levels, levels)
hint_lists = st.lists(st.tuples(numbers, numbers, colours | colours.map(np.array)), max_size=6)


@given(hint_lists)
def test_any_form_of_hints_becomes_plain_and_stays_the_same(hints):
    plain = checked_hints(hints, (100, 100))
    assert checked_hints(plain, (100, 100)) == plain
    for (row, column, colour), (r, c, rgb) in zip(hints, plain, strict=True):
        assert (r, c, list(rgb)) == (row, column, list(colour))
        assert all(type(value) in (int, float) for value in (r, c, *rgb))


@pytest.mark.parametrize(
    ("hints", "text"),
    [
        ([(1, 2)], "a list of"),
        ([(1, 2, 3)], "a list of"),
        (["abc"], "a list of"),
        (7, "a list of"),
        ([("1", 2, (0, 0, 0))], "a list of"),
        ([(float("nan"), 2, (0, 0, 0))], "a list of"),
        ([(1, 2, (0, 0))], "red, green, blue"),
        ([(1, 2, (0, 0, 300))], "0..255"),
        ([(100, 2, (0, 0, 0))], "outside the photo"),
        ([(0, -1, (0, 0, 0))], "outside the photo"),
    ],
)
def test_bad_hints_say_what_is_wrong(hints, text):
    with pytest.raises(ValueError, match=text):
        checked_hints(hints, (100, 100))


# -- the widget


@pytest.fixture
def painter(photo, net):
    pytest.importorskip("anywidget", reason="anywidget is not installed: pip install '.[lab]'")
    painter = cl.HintPainter(photo, net)
    sent = []
    painter.send = lambda content, buffers=None: sent.append((content, buffers))
    painter.sent = sent
    return painter


def test_hints_and_result_live_in_python(painter, photo, net):
    assert painter.hints == [] and np.array_equal(painter.rgb, photo)
    assert np.array_equal(painter.result, cl.colorize(photo, net))
    seen = []
    painter.observe(lambda change: seen.append(change["new"]), "hints")
    painter.hints = [HINT]
    assert painter.hints == [HINT] and len(seen) == 1
    assert np.array_equal(painter.result, cl.colorize(photo, net, hints=[HINT]))
    painter.hints += [(5, 5, (0, 0, 255))]
    assert len(painter.hints) == 2 and len(seen) == 2


def test_what_is_painted_in_front_arrives_as_colorize_takes_it(painter, photo, net):
    painter.set_state({"hints": [[60, 40, [200, 80, 30]]], "patch": 7})
    assert painter.hints == [HINT]
    assert painter.get_state(["hints"])["hints"] == [[60, 40, [200, 80, 30]]]
    assert np.array_equal(painter.result, cl.colorize(photo, net, hints=painter.hints))


def test_the_size_of_hints_counts_for_the_result(painter, photo, net):
    painter.hints = [HINT]
    usual = painter.result
    painter.patch = 15
    larger = painter.result
    assert np.array_equal(usual, cl.colorize(photo, net, hints=[HINT]))
    assert (larger != usual).any()


def test_bad_hints_leave_what_was_there(painter):
    painter.hints = [HINT]
    for bad in ([(1, 2)], [(1e6, 0, (0, 0, 0))], None):
        with pytest.raises(ValueError):
            painter.hints = bad
    assert painter.hints == [HINT]


def test_appending_to_a_copy_changes_nothing(painter):
    painter.hints.append(HINT)
    assert painter.hints == []


def test_messages_are_answered_under_their_number(painter):
    painter._handle_custom_msg({"kind": "open", "id": "a-1"}, [])
    painter._handle_custom_msg({"kind": "colour", "id": "a-2", "hints": [list(HINT)]}, [])
    (opened, buffers), (_, coloured) = painter.sent
    assert opened["id"] == "a-1" and len(buffers) == 2
    assert len(coloured) == 1 and painter.sent[1][0] == {"id": "a-2"}


def test_an_error_reaches_the_reader_as_a_sentence(painter):
    painter._handle_custom_msg({"kind": "colour", "id": "b", "hints": [[1e6, 0, [0, 0, 0]]]}, [])
    ((content, buffers),) = painter.sent
    assert "outside the photo" in content["error"] and content["id"] == "b" and not buffers


@pytest.mark.parametrize(
    "image",
    [
        np.full((20, 30), 90, np.uint8),  # gray
        np.dstack([np.full((20, 30, 3), 90, np.uint8), np.zeros((20, 30), np.uint8)]),
        Image.new("RGB", (3, 2)),
    ],
)
def test_gray_transparent_and_tiny_pictures_are_taken(painter, net, image):
    result = type(painter)(image, net).result
    assert result.dtype == np.uint8 and result.shape[2] == 3


def test_what_is_no_picture_is_refused(painter, net):
    with pytest.raises(cl.ImageError):
        type(painter)("no-such-file.jpg", net)


def test_a_network_without_hints_is_said_to_take_none(painter, photo):
    automatic = type(painter)(photo, cl.eccv16())
    assert np.array_equal(automatic.result, cl.colorize(photo, "eccv16"))
    with pytest.raises(ValueError, match="takes no hints"):
        automatic.hints = [HINT]
    assert automatic.hints == []


def test_the_library_is_there_without_anywidget():
    code = (
        "import sys; sys.modules['anywidget'] = None\n"
        "import course_lib as cl; print(cl.eccv16.__name__)\n"
        "try: cl.HintPainter\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "eccv16",
        "HintPainter needs one more package: pip install anywidget",
    ]


# -- a caption, and what stands in for the widget


def test_a_program_writes_a_line_below_the_photograph(photo, net):
    painter = cl.HintPainter(photo, net)
    assert painter.caption == ""
    painter.observe(lambda _: setattr(painter, "caption", f"{len(painter.hints)} hints"), "hints")
    painter.hints = [HINT]
    assert painter.caption == "1 hints" and painter.get_state("caption") == {"caption": "1 hints"}


def stand_in(painter):
    data, _ = painter._repr_mimebundle_()
    (encoded,) = re.findall(r'src="data:image/webp;base64,([^"]+)"', data["text/html"])
    return data, np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"))


def test_where_no_widget_runs_a_picture_shows_hints_and_result(photo, net):
    data, sheet = stand_in(cl.HintPainter(photo, net, hints=[HINT]))
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/plain"].startswith("[figure] The hint painter: ")
    assert f'alt="{data["text/plain"].removeprefix("[figure] ")}"' in data["text/html"]
    height, width = photo.shape[:2]
    result = sheet[:, -width:].astype(int)
    assert sheet.shape[0] == height
    assert np.abs(result - cl.colorize(photo, net, hints=[HINT])).mean() < 4  # stored with loss
    dot = sheet[HINT[0], HINT[1]].astype(int)
    assert np.abs(dot - HINT[2]).max() < 25
    assert np.ptp(sheet[:20, :width].astype(int), axis=-1).max() < 12  # the rest of it is gray


@pytest.mark.parametrize("shape", [(1, 2), (3, 2000), (900, 1200)])
def test_the_picture_is_small_for_photographs_of_any_shape(net, shape):
    rgb = np.full((*shape, 3), 120, np.uint8)
    corners = [(0, 0, (9, 9, 9)), (shape[0] - 1, shape[1] - 1, (200, 9, 9))]
    _, sheet = stand_in(cl.HintPainter(rgb, net, hints=corners))
    assert max(sheet.shape) < 900


def test_a_network_that_fails_leaves_the_widget_to_say_so(photo):
    class Broken(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, L):
            raise RuntimeError("worn out")

    data, _ = cl.HintPainter(photo, Broken())._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data and "text/html" not in data


def test_a_built_notebook_keeps_the_picture_and_no_widget():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/html": "<b>x</b>"}
    code = f"from IPython.display import display\ndisplay({view}, raw=True)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    build.execute(notebook)
    assert notebook.cells[0].outputs[0].data == {"text/html": "<b>x</b>"}
    assert "widgets" not in notebook.metadata
