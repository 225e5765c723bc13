"""The page of common errors: each of its messages is what the course really says."""

import builtins
import re
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from IPython.core.inputtransformer2 import TransformerManager
from PIL import Image

import course_lib as cl
from authoring import build, course
from course_lib import cli, environment
from course_lib.checks import lesson_05
from course_lib.device import pick_device
from course_lib.inference import predict_ab
from course_lib.models import NETWORKS, loading
from course_lib.models import weights as weights_module
from tests.lesson import defined_in

PAGE = course.NOTEBOOKS / "common_errors.md"
OUTSIDE = "Outside the course's library"


@dataclass(frozen=True)
class Entry:
    section: str
    title: str
    message: str | None


def entries():
    page = PAGE.read_text(encoding="utf-8")
    for section in re.split(r"^## ", page, flags=re.M)[1:]:
        name, _, rest = section.partition("\n")
        for part in re.split(r"^### ", rest, flags=re.M)[1:]:
            title, _, body = part.partition("\n")
            message = re.search(r"^```text\n(.*?)\n```$", body, re.M | re.S)
            yield Entry(name, title, message and message[1])


PRODUCED = {entry.title: entry for entry in entries() if entry.section != OUTSIDE}
PROVOKE = {}


def provokes(title):
    """Mark a function that makes an entry happen and returns what the learner then reads."""

    def mark(function):
        PROVOKE[title] = function
        return function

    return mark


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder to work in, as a learner's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(action, *arguments, **options):
    """An exception's last line as a notebook shows it."""
    with pytest.raises(Exception) as caught:
        action(*arguments, **options)
    return f"{caught.typename}: {caught.value}".removesuffix(": ")


def small_net():
    return cl.eccv16(weights=None, width=0.1)


@provokes("The library is not found")
def library_not_found(desk, **_):
    command = [sys.executable, "-I", "-S", "-c", "import course_lib"]  # -S: nothing installed
    done = subprocess.run(command, cwd=desk, capture_output=True, text=True, check=False)
    return done.stderr.splitlines()[-1]


@provokes("The first cell of a lesson finds no library")
def no_library_and_no_source(monkeypatch, **_):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    return said(exec, TransformerManager().transform_cell(build.setup(None)), {})


@provokes("Python is too old")
def old_python(**_):
    return str(environment._python((3, 9, 18)))


@provokes("A library is missing or too old")
def missing_library(monkeypatch, **_):
    monkeypatch.setattr(environment, "_version", lambda name: None)
    minimum = next(
        minimum
        for name, minimum, _ in map(
            environment._parsed, environment.metadata.requires("course-lib")
        )
        if name == "torch"
    )
    return str(environment._library("torch", minimum))


@provokes("A name is not defined")
def unknown_name(**_):
    return said(exec, "cl.eccv16()", {"__builtins__": builtins})


@provokes("There is no such file")
def no_such_file(desk, **_):
    return said(cl.load_image, "holiday.jpg")


@provokes("The file is not a picture")
def not_a_picture(desk, **_):
    (desk / "holiday.jpg").write_text("<html>", encoding="utf-8")
    return said(cl.load_image, "holiday.jpg")


@provokes("The picture is damaged")
def damaged_picture(desk, **_):
    cl.save_image("holiday.jpg", cl.load_photo("gray/camera"))
    whole = (desk / "holiday.jpg").read_bytes()
    (desk / "holiday.jpg").write_bytes(whole[: len(whole) // 2])
    return said(cl.load_image, "holiday.jpg")


@provokes("The picture is too large")
def too_large(desk, **_):
    Image.new("1", (13_000, 10_000)).save("scan.png")
    return said(cl.load_image, "scan.png")


@provokes("A web address instead of a file")
def web_address(**_):
    return said(cl.load_image, "https://example.org/holiday.jpg")


@provokes("Numbers from 0 to 255 in a float array")
def large_floats(**_):
    return said(cl.load_image, cl.load_photo("gray/camera").astype(np.float32))


@provokes("A gray array where a picture is expected")
def gray_array(**_):
    gray = cl.load_photo("gray/camera")[..., 0]
    assert cl.load_image(gray).shape == (*gray.shape, 3)  # the page's advice
    return said(cl.colorize, gray, small_net())


@provokes("RGB goes in where lightness belongs")
def rgb_for_lightness(**_):
    return said(small_net(), torch.zeros(1, 3, 64, 64))


@provokes("Channels stand last")
def channels_last(**_):
    return said(small_net(), torch.zeros(64, 64, 3))


@provokes("A hint lies outside the photograph")
def hint_outside(**_):
    photo = np.zeros((384, 512, 3), np.uint8)
    net = cl.siggraph17(weights=None, width=0.1)
    return said(cl.colorize, photo, net, hints=[(500, 120, (200, 40, 40))])


@provokes("Hints for a network that takes none")
def hints_for_eccv16(**_):
    photo = np.zeros((64, 64, 3), np.uint8)
    return said(cl.colorize, photo, small_net(), hints=[(5, 5, (200, 40, 40))])


@provokes("No such device")
def no_such_device(**_):
    return said(pick_device, "cuda:9")


@provokes("The course's weights are missing")
def weights_missing(desk, monkeypatch, **_):
    monkeypatch.setattr(loading, "data_folder", lambda: desk)
    return said(cl.eccv16)


@provokes("The course's weights are not the ones that were shipped")
def weights_changed(desk, monkeypatch, **_):
    monkeypatch.setattr(loading, "data_folder", lambda: desk)
    (desk / "weights").mkdir()
    pointer = "version https://git-lfs.github.com/spec/v1\n"
    file = desk / "weights" / NETWORKS["eccv16"].shipped.file
    file.write_text(pointer, encoding="utf-8")
    return said(cl.eccv16)


@provokes("A file of weights is damaged")
def weights_damaged(desk, **_):
    (desk / "mine.safetensors").write_text("version https://git-lfs", encoding="utf-8")
    return said(cl.eccv16, "mine.safetensors")


@provokes("The published weights are not on this machine")
def published_weights_offline(desk, monkeypatch, **_):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    monkeypatch.setenv("COURSE_CACHE", str(desk))
    return said(cl.eccv16, "official")


@provokes("Weights of the other network")
def other_network(desk, **_):
    weights_module.save_weights("mine.safetensors", cl.siggraph17(weights=None, width=0.1))
    return said(cl.eccv16, "mine.safetensors")


@provokes("A whole network was pickled")
def pickled_network(desk, **_):
    torch.save(small_net(), "mine.pth")
    return said(cl.eccv16, "mine.pth")


@provokes("Names or shapes that do not fit")
def parallel_names(desk, **_):
    state = torch.nn.DataParallel(small_net()).state_dict()
    torch.save(state, "mine.pth")
    message = said(cl.eccv16, "mine.pth")
    mended = {key.removeprefix("module."): value for key, value in state.items()}
    torch.save(mended, "mine.pth")
    cl.eccv16("mine.pth")  # the page's advice
    return message


@provokes("The result is there already")
def result_exists(desk, capsys, **_):
    cl.save_image("holiday.jpg", cl.load_photo("gray/camera")[::8, ::8])
    cli.main(["holiday.jpg", "--output", "out", "--quiet"])
    cli.main(["holiday.jpg", "--output", "out"])
    return capsys.readouterr().out.strip()


@provokes("No pictures in the folder")
def empty_folder(desk, capsys, **_):
    (desk / "holiday").mkdir()
    cli.main(["holiday", "--output", "out"])
    return capsys.readouterr().err.strip()


@provokes("Not enough memory")
def no_memory(desk, capsys, monkeypatch, **_):
    def colorize(*_, **__):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr(cli, "colorize", colorize)
    cl.save_image("holiday.jpg", np.zeros((8, 8, 3), np.uint8))
    cli.main(["holiday.jpg", "--output", "out", "--quiet"])
    return capsys.readouterr().err.strip()


@provokes("A check still says [todo]")
def still_to_do(capsys, **_):
    lesson_05.keep_lightness(defined_in("05_inference", solved=False)["keep_lightness"])
    return capsys.readouterr().out.strip()


@provokes("NotImplementedError")
def not_implemented(**_):
    stub = defined_in("05_inference", solved=False)["keep_lightness"]
    return said(stub, np.zeros((8, 8, 3), np.uint8), torch.zeros(1, 2, 2, 2))


@provokes("A result is None")
def no_return(capsys, **_):
    lesson_05.keep_lightness(lambda rgb, ab: None)
    return capsys.readouterr().out.strip()


@provokes("Everything has the same brownish tint")
def nothing_loaded(**_):
    net = small_net().eval()
    state = torch.nn.DataParallel(small_net()).state_dict()
    before = cl.colorize(cl.load_photo("gray/camera"), net)
    returned = net.load_state_dict(state, strict=False)
    assert np.array_equal(cl.colorize(cl.load_photo("gray/camera"), net), before)
    assert "All keys matched" in repr(net.load_state_dict(net.state_dict(), strict=False))
    return repr(returned)


@provokes("Every photograph gets the same stain")
def wrong_scale(**_):
    net = cl.eccv16()
    names = ("scenes/mountain-trail", "scenes/fallen-leaf")
    inputs = [predict_ab(cl.load_photo(name), net)[0] for name in names]

    def apart(scale):
        """Distance of the two photographs' mean colours."""
        with torch.inference_mode():
            one, two = (net(L * scale).mean(dim=(0, 2, 3)) for L in inputs)
        return (one - two).norm()

    assert apart(1 / 100) < 0.5 * apart(1)


@provokes("The picture stays gray")
def stays_gray(**_):
    photo = cl.load_photo("scenes/mountain-trail")
    assert np.ptp(cl.to_gray(photo), axis=-1).max() == 0
    assert np.ptp(cl.set_saturation(cl.colorize(photo), 0), axis=-1).max() <= 1
    for net in ("eccv16", "siggraph17", small_net()):
        assert np.ptp(cl.colorize(photo, net), axis=-1).max() > 5


def test_every_entry_is_produced_here_and_nothing_else_is():
    assert PRODUCED.keys() == PROVOKE.keys()
    assert len(PRODUCED) == sum(entry.section != OUTSIDE for entry in entries())  # no title twice
    assert any(entry.section == OUTSIDE for entry in entries())


@pytest.mark.parametrize("title", PROVOKE)
def test_the_page_shows_what_the_course_says(title, desk, monkeypatch, capsys):
    shown = PRODUCED[title].message
    really = PROVOKE[title](desk=desk, monkeypatch=monkeypatch, capsys=capsys)
    if shown is None:  # wrong colours: the function asserted what the page describes
        assert really is None
        return
    pattern = ".*".join(map(re.escape, shown.split("…")))
    assert re.fullmatch(pattern, really, re.S), f"the page:\n{shown}\nthe course:\n{really}"


def test_every_entry_says_why_and_what_to_do():
    page = PAGE.read_text(encoding="utf-8")
    for title, entry in PRODUCED.items():
        body = page.split(f"### {title}\n")[1].split("\n### ")[0]
        assert "**Why.**" in body and "**What to do.**" in body, title
        assert entry.message or "**What you see.**" in body, title


def test_it_names_no_section_or_command_that_is_not_there():
    page = PAGE.read_text(encoding="utf-8")
    makefile = (course.ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.M))
    named = set(re.findall(r"`make (?:[A-Z]+=\S+ )*([a-z0-9-]+)`", page))
    assert named and named <= targets
    for number, section in re.findall(r"Lesson (\d\d), section (\d+)", page):
        (source,) = course.LESSONS.glob(f"{number}_*.py")
        assert f"# ## {section}. " in source.read_text(encoding="utf-8")
