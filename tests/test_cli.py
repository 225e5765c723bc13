import os
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import course_lib as cl
from course_lib.cli import main
from course_lib.models import ECCV16, SIGGRAPH17
from course_lib.models.weights import save_weights
from course_lib.results import result_name


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for name, network in (("eccv16", ECCV16(0.03)), ("siggraph17", SIGGRAPH17(0.03))):
        save_weights(folder / f"{name}.safetensors", network, {"input_size": "32"})
    return folder


@pytest.fixture
def colour(tmp_path):
    path = tmp_path / "in" / "coffee.jpg"
    path.parent.mkdir()
    Image.fromarray(data.coffee()[::8, ::8]).save(path)
    return path


def run(weights, *arguments):
    return main([*map(str, arguments), "--weights", str(weights / "eccv16.safetensors")])


def test_a_photo_is_coloured_and_keeps_its_lightness(weights, colour, tmp_path, capsys):
    assert run(weights, colour, "--output", tmp_path / "out") == 0
    out = cl.load_image(tmp_path / "out" / "coffee-eccv16.jpg")
    rgb = cl.load_image(colour)
    assert out.shape == rgb.shape
    assert np.abs(cl.to_gray(out).astype(int) - cl.to_gray(rgb)).mean() < 6
    assert capsys.readouterr().out.startswith("1 written to")


def test_a_folder_is_done_to_the_end_though_one_file_is_bad(weights, colour, tmp_path, capsys):
    (colour.parent / "broken.png").write_bytes(b"not a picture")
    (colour.parent / "deep").mkdir()
    Image.fromarray(data.camera()[::8, ::8]).save(colour.parent / "deep" / "gray.png")
    assert run(weights, colour.parent, "--output", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "broken.png: not a picture" in captured.err and "Traceback" not in captured.err
    assert "2 written" in captured.out and "1 failed" in captured.out
    written = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")
    )
    assert written == ["coffee-eccv16.jpg", "deep/gray-eccv16.png"]


def test_a_folder_gives_byte_for_byte_what_its_photos_give_alone(weights, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(data.coffee()[number :: 5 + number]).save(folder / f"{number}.png")
    assert run(weights, folder, "--output", tmp_path / "all") == 0
    for path in folder.iterdir():
        assert run(weights, path, "--output", tmp_path / "alone") == 0
    written = {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()}
    assert len(written) == 6
    assert written == {path.name: path.read_bytes() for path in (tmp_path / "alone").iterdir()}


def test_existing_results_stay_unless_asked(weights, colour, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    target = out / "coffee-eccv16.jpg"
    target.write_bytes(b"mine")
    assert run(weights, colour, "--output", out) == 0
    assert target.read_bytes() == b"mine"
    assert "already there" in capsys.readouterr().out
    assert run(weights, colour, "--output", out, "--overwrite", "--quiet") == 0
    assert cl.load_image(target).shape == cl.load_image(colour).shape
    assert capsys.readouterr().out == ""


def test_two_inputs_of_one_name_do_not_overwrite_each_other(weights, colour, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(data.coffee()[::10, ::10]).save(other / "coffee.jpg")
    Image.fromarray(data.coffee()[::12, ::12]).save(other / "coffee.png")
    Image.fromarray(data.coffee()[::14, ::14]).save(other / "coffee.bmp")
    assert run(weights, colour, other, "--output", tmp_path / "out") == 0
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_options_change_the_picture(weights, colour, tmp_path):
    results = {}
    for name, options in {
        "plain": [],
        "gray": ["--saturation", "0"],
        "warm": ["--temperature", "4000"],
        "compare": ["--compare"],
        "small": ["--size", "16"],
    }.items():
        assert run(weights, colour, "--output", tmp_path / name, *options) == 0
        results[name] = cl.load_image(tmp_path / name / "coffee-eccv16.jpg").astype(int)
    assert np.ptp(results["gray"], axis=-1).max() <= 3
    warmth = {k: (v[..., 0] - v[..., 2]).mean() for k, v in results.items()}
    assert warmth["warm"] > warmth["plain"] + 5
    height, width = results["plain"].shape[:2]
    assert results["compare"].shape == (height, 2 * width, 3)
    assert results["small"].shape == results["plain"].shape


def test_siggraph17_and_both(weights, colour, tmp_path, capsys, monkeypatch):
    path = weights / "siggraph17.safetensors"
    out = tmp_path / "out"
    arguments = [str(colour), "--output", str(out), "--model", "siggraph17"]
    assert main([*arguments, "--weights", str(path)]) == 0
    assert (out / "coffee-siggraph17.jpg").exists()
    assert run(weights, colour, "--output", out, "--model", "both") == 2
    assert "--model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "4"], "8..2048"),
        (["--saturation", "x"], "expected a number"),
        (["--temperature", "100"], "4000"),
        (["--device", "warp9"], "no device"),
    ],
)
def test_wrong_use_ends_with_2_and_one_clear_line(
    weights, colour, tmp_path, capsys, arguments, message
):
    try:
        status = run(weights, colour, "--output", tmp_path / "out", *arguments)
    except SystemExit as error:
        status = error.code
    assert status == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_missing_weights_empty_folder_and_a_file_as_output(weights, colour, tmp_path, capsys):
    missing = ["--weights", str(tmp_path / "none.safetensors")]
    assert main([str(colour), "--output", str(tmp_path / "out"), *missing]) == 2
    assert "none.safetensors" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run(weights, tmp_path / "empty", "--output", tmp_path / "out") == 2
    assert "no pictures" in capsys.readouterr().err
    assert run(weights, colour, "--output", colour) == 2
    assert "--output needs a folder" in capsys.readouterr().err


def test_a_missing_picture_is_reported_and_the_rest_is_done(weights, colour, tmp_path, capsys):
    assert run(weights, tmp_path / "nothing.jpg", colour, "--output", tmp_path / "out") == 1
    assert "no such file" in capsys.readouterr().err
    assert (tmp_path / "out" / "coffee-eccv16.jpg").exists()


def bomb():
    """A PNG of a few bytes that claims to hold 60,000 x 60,000 pixels."""
    parts = ((b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)), (b"IDAT", b"x"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


def test_bombs_and_cut_files_take_a_line_each_and_the_rest_is_done(
    weights, colour, tmp_path, capsys
):
    (colour.parent / "bomb.png").write_bytes(bomb())
    (colour.parent / "cut.jpg").write_bytes(colour.read_bytes()[:1500])
    out = tmp_path / "out"
    assert run(weights, colour.parent, "--output", out, "--quiet") == 1
    captured = capsys.readouterr()
    first, second = captured.err.splitlines()
    assert first.startswith(f"colorize: {colour.parent / 'bomb.png'}: more than ")
    assert "pixels; make it smaller first" in first
    assert second.startswith(f"colorize: {colour.parent / 'cut.jpg'}: damaged or cut short")
    assert [path.name for path in out.iterdir()] == ["coffee-eccv16.jpg"]


def test_an_output_folder_that_cannot_be_made_ends_at_once(weights, colour, tmp_path, capsys):
    Image.fromarray(data.coffee()[::8, ::8]).save(colour.parent / "second.jpg")
    (tmp_path / "file").write_text("mine")
    assert run(weights, colour.parent, "--output", tmp_path / "file" / "out") == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith(f"colorize: {tmp_path / 'file' / 'out'}: cannot be made (")
    assert (tmp_path / "file").read_text() == "mine" and captured.out == ""


def test_a_result_that_cannot_be_written_takes_a_line_and_the_rest_is_done(
    weights, colour, tmp_path, capsys
):
    (colour.parent / "deep").mkdir()
    shutil.copy(colour, colour.parent / "deep" / "second.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").write_text("a file where a folder must be")
    assert run(weights, colour.parent, "--output", tmp_path / "out", "--quiet") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"colorize: {tmp_path / 'out' / 'deep'}: cannot be made (")
    assert (tmp_path / "out" / "coffee-eccv16.jpg").exists()


def test_official_weights_offline_end_with_2_and_say_what_to_do(
    colour, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    arguments = [str(colour), "--output", str(tmp_path / "out"), "--weights", "official"]
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("colorize: the published weights of eccv16 are not on this machine")
    assert str(tmp_path / "cache") in message and "Traceback" not in message
    assert not (tmp_path / "out").exists() and not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"),
    ],
)
def test_a_picture_too_large_for_the_memory_takes_a_line(
    weights, colour, tmp_path, capsys, monkeypatch, error
):
    def colorize(*_, **__):
        raise error

    monkeypatch.setattr("course_lib.cli.colorize", colorize)
    assert run(weights, colour, "--output", tmp_path / "out", "--quiet") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"colorize: {colour}: not enough memory; try a smaller --size or photo"


def test_a_fault_of_the_program_itself_is_not_hidden(weights, colour, tmp_path, monkeypatch):
    def colorize(*_, **__):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("course_lib.cli.colorize", colorize)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(weights, colour, "--output", tmp_path / "out")


def test_the_module_runs_as_a_program_without_a_traceback(tmp_path):
    (tmp_path / "empty.jpg").touch()
    # tifffile and Pillow would have something to say, each, about such files
    (tmp_path / "a.tif").write_bytes(b"II*\0" + b"\x7f" * 30)
    many = b"\1\0" + struct.pack("<HHII", 277, 3, 1, 9999) + bytes(4)
    (tmp_path / "b.tif").write_bytes(b"II*\0" + struct.pack("<I", 8) + many)
    # and libtiff about these codes
    Image.fromarray(data.coffee()).save(tmp_path / "c.tif", compression="tiff_lzw")
    content = (tmp_path / "c.tif").read_bytes()
    (tmp_path / "c.tif").write_bytes(content[:500] + b"\xff" * 500 + content[1000:])
    command = [sys.executable, "-m", "course_lib", ".", "--output", "out", "--quiet"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "COURSE_OFFLINE": "1"},
    )
    assert done.returncode == 1
    *others, last = done.stderr.splitlines()
    assert last == "colorize: empty.jpg: the file is empty"
    assert len(others) == 3 and all(line.startswith("colorize: ") for line in others), others


def results(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*-eccv16*.*"))


def picture(path, step=8, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(data.coffee()[::step, ::step]).save(path, **options)
    return path


# Names


@pytest.mark.parametrize(
    ("photo", "result"),
    [
        ("a.jpg", "a-eccv16.jpg"),
        ("a.png", "a-eccv16.png"),
        ("a.jpeg", "a.jpeg-eccv16.jpg"),
        ("a.JPG", "a.JPG-eccv16.jpg"),
        ("a.bmp", "a.bmp-eccv16.png"),
        ("a.bmp.png", "a.bmp.png-eccv16.png"),
        ("a.b.png", "a.b-eccv16.png"),
        ("a", "a-eccv16.png"),
    ],
)
def test_a_result_is_named_after_its_photograph_alone(photo, result):
    assert result_name(photo, "eccv16") == result


def test_no_two_names_of_a_folder_share_a_result_even_where_case_does_not_count():
    stems = ("a", "a-bmp", "a.bmp", "a.bmp-eccv16", "a-eccv16", "b.tif", "b")
    endings = (".jpg", ".JPG", ".png", ".Png", ".bmp", ".tif", ".tiff", ".jpeg", ".jfif", ".webp")
    photos = [stem + ending for stem in stems for ending in endings]
    names = [result_name(photo, "eccv16") for photo in photos]
    assert len(set(names)) == len(photos)
    assert result_name("IMG_1.JPG", "eccv16").lower() != result_name("img_1.jpg", "eccv16")


def test_long_names_are_shortened_and_stay_apart():
    photos = [letter * 80 + end for letter in "写真" for end in (".jpg", "1.jpg", ".tiff")]
    names = {result_name(photo, "eccv16") for photo in photos}
    assert len(names) == len(photos) and max(len(name.encode()) for name in names) <= 255
    assert all(name.endswith(("-eccv16.jpg", "-eccv16.png")) for name in names)


def test_a_picture_that_comes_later_is_coloured_too(weights, tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    picture(folder / "a.png")
    assert run(weights, folder, "--output", out) == 0
    before = (out / "a-eccv16.png").read_bytes()
    picture(folder / "a.bmp", 10)
    picture(folder / "A.PNG", 12)
    assert run(weights, folder, "--output", out) == 0
    assert "2 written" in capsys.readouterr().out
    assert (out / "a-eccv16.png").read_bytes() == before and len(results(out)) == 3


def test_another_photograph_of_the_same_name_is_not_already_there(weights, tmp_path, capsys):
    out = tmp_path / "out"
    for step, name in enumerate(("one", "two", "three"), 8):
        picture(tmp_path / name / "photo.jpg", step)
        assert run(weights, tmp_path / name / "photo.jpg", "--output", out, "--overwrite") == 0
    assert len(results(out)) == 3
    capsys.readouterr()
    for name in ("one", "two", "three"):
        assert run(weights, tmp_path / name, "--output", out) == 0
        assert "1 already there" in capsys.readouterr().out
    assert len(results(out)) == 3


def test_names_that_differ_in_case_alone_get_results_that_do_not(weights, tmp_path):
    for step, name in enumerate(("photo.jpg", "Photo.jpg"), 8):
        picture(tmp_path / "in" / name, step)
    if len(list((tmp_path / "in").iterdir())) < 2:
        pytest.skip("this disk does not heed case")
    assert run(weights, tmp_path / "in", "--output", tmp_path / "out") == 0
    assert len({name.lower() for name in results(tmp_path / "out")}) == 2


# Results are never inputs


@pytest.mark.parametrize("place", [".", "out", "deep/out"])
def test_results_are_not_coloured_again(weights, tmp_path, capsys, place):
    folder = tmp_path / "in"
    picture(folder / "a.jpg")
    picture(folder / "deep" / "b.png")
    for flags in ([], [], ["--overwrite"]):
        assert run(weights, folder, "--output", folder / place, *flags) == 0
        assert len(results(folder)) == 2
    assert run(weights, folder, "--output", folder / "another") == 0
    assert len(results(folder)) == 4
    assert "results of earlier calls" in capsys.readouterr().out


def test_results_that_a_shell_names_are_not_coloured_again(weights, tmp_path):
    picture(tmp_path / "a.jpg")
    for _ in range(3):
        assert run(weights, *tmp_path.glob("*.jpg"), "--output", tmp_path) == 0
    assert results(tmp_path) == ["a-eccv16.jpg"]


def test_overwriting_never_destroys_a_photograph(weights, tmp_path):
    picture(tmp_path / "a.jpg")
    original = picture(tmp_path / "a-eccv16.jpg", 10)
    before = original.read_bytes()
    for _ in range(2):
        assert run(weights, tmp_path, "--output", tmp_path, "--overwrite") == 0
        assert original.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 4


# What is kept


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_date_and_caption_stay_and_the_orientation_goes(weights, tmp_path, ending):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x0132] = 6, "Großmutter 1932".encode(), "2001:02:03 04:05:06"
    exif[0x8298], exif[0x010F] = "public domain", "a camera"
    exif.get_ifd(0x8769)[0x9003] = "1932:05:06 07:08:09"
    exif.get_ifd(0x8825)[1] = "N"
    source = picture(tmp_path / f"a.{ending}", exif=exif)
    assert run(weights, source, "--output", tmp_path / "out") == 0
    (name,) = results(tmp_path / "out")
    with Image.open(tmp_path / "out" / name) as result:
        found = result.getexif()
        assert found[0x010E].encode("latin-1").decode() == "Großmutter 1932"
        assert found[0x0132] == "2001:02:03 04:05:06" and found[0x8298] == "public domain"
        if ending != "tif":  # Pillow writes no second table into the test's own TIFF
            assert found.get_ifd(0x8769)[0x9003] == "1932:05:06 07:08:09"
        assert not {0x0112, 0x010F} & set(found) and not found.get_ifd(0x8825)
        assert result.size == cl.load_image(source).shape[1::-1]


def test_damaged_or_endless_notes_cost_themselves_alone(weights, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    for name, notes in (("a", b"Exif\0\0II*\0\xff\xff\xff\xff"), ("b", exif.tobytes())):
        picture(tmp_path / f"{name}.jpg", exif=notes)
    assert run(weights, tmp_path, "--output", tmp_path / "out") == 0
    assert len(results(tmp_path / "out")) == 2


# One bad file costs one line


def test_names_of_every_length_are_coloured_or_take_a_line(weights, colour, tmp_path, capsys):
    longest = colour.with_name("写" * 83 + ".jpg")
    shutil.copy(colour, longest)
    missing = tmp_path / ("x" * 300 + ".jpg")
    assert run(weights, colour.parent, missing, "--output", tmp_path / "out") == 1
    captured = capsys.readouterr()
    (line,) = [line for line in captured.err.splitlines() if line.startswith("colorize:")]
    assert str(missing) in line and "2 written" in captured.out


def test_folders_say_what_they_passed_over(weights, colour, tmp_path, capsys):
    for name in ("a.txt", "b.TXT", "c.mov", "noending", ".hidden.jpg", ".cache/x.jpg"):
        (colour.parent / name).parent.mkdir(exist_ok=True)
        (colour.parent / name).touch()
    assert run(weights, colour.parent, "--output", tmp_path / "out") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "passed over: 1 .mov, 2 .txt, 2 hidden, 1 no ending"
    assert run(weights, colour.parent, "--output", tmp_path / "out", "--quiet") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_broken_links_take_a_line_each(weights, colour, tmp_path, capsys):
    os.mkfifo(colour.parent / "pipe.png")
    (colour.parent / "link.jpg").symlink_to(tmp_path / "nothing.jpg")
    (colour.parent / "loop").symlink_to(colour.parent)
    assert run(weights, colour.parent, "--output", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "pipe.png: a device or a pipe, not a file" in captured.err
    assert "link.jpg: a link to what is not there" in captured.err
    assert "1 written" in captured.out and "2 failed" in captured.out
    assert "1 links to folders" in captured.out


def test_a_folder_that_may_not_be_read_is_said_and_the_rest_is_done(
    weights, colour, tmp_path, capsys, monkeypatch
):
    (colour.parent / "locked").mkdir()
    scan = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert run(weights, colour.parent, "--output", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert f"{colour.parent / 'locked'}: cannot be read (Permission denied)" in captured.err
    assert "1 written" in captured.out
    with pytest.warns(UserWarning, match="locked: cannot be read"):
        assert cl.list_images(colour.parent) == [colour]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_of_several_lines_takes_one(weights, colour, tmp_path, capsys):
    colour.with_name("a\nb\r.png").write_bytes(b"no picture")
    colour.with_name("c\nd.jpg").write_bytes(colour.read_bytes())
    assert run(weights, colour.parent, "--output", tmp_path / "out", "--quiet") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "a\\nb\\r.png: not a picture" in line and len(results(tmp_path / "out")) == 2


def test_an_empty_folder_does_not_stop_the_others(weights, colour, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(weights, tmp_path / "empty", colour, "--output", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "no pictures in this folder" in captured.err and "1 written" in captured.out


@pytest.mark.parametrize("which", ["input", "output"])
def test_an_empty_name_is_no_folder(weights, colour, tmp_path, capsys, monkeypatch, which):
    monkeypatch.chdir(colour.parent)
    names = {"input": colour, "output": tmp_path / "out"} | {which: ""}
    with pytest.raises(SystemExit) as caught:
        run(weights, names["input"], "--output", names["output"])
    assert caught.value.code == 2
    assert "expected a path, got an empty text" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists() and [p.name for p in colour.parent.iterdir()] == [
        "coffee.jpg"
    ]


def test_colours_that_are_not_finite_are_an_error_and_no_black_picture(
    weights, colour, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(ECCV16, "forward", lambda self, L: torch.full_like(L, float("nan")))
    assert run(weights, colour, "--output", tmp_path / "out") == 1
    assert f"{colour}: the network's colours are not finite" in capsys.readouterr().err
    assert not results(tmp_path / "out")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_console_that_lacks_letters_does_not_end_the_work(weights, colour, tmp_path, encoding):
    shutil.copy(colour, colour.with_name("写真.jpg"))
    colour.with_name("日本.png").write_bytes(b"no picture")
    command = [sys.executable, "-m", "course_lib", str(colour.parent)]
    command += ["--output", str(tmp_path / "φωτο")]
    command += ["--weights", str(weights / "eccv16.safetensors")]
    done = subprocess.run(
        command,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )
    assert done.returncode == 1, done.stderr
    assert b"2 written" in done.stdout and b"charmap" not in done.stderr
    assert len(results(tmp_path / "φωτο")) == 2
