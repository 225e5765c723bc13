import os
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image
from skimage import data

import course_lib as cl
from course_lib.cli import main
from course_lib.models import ECCV16, SIGGRAPH17
from course_lib.models.weights import save_weights


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
    command = [sys.executable, "-m", "course_lib", "empty.jpg", "--output", "out"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "COURSE_OFFLINE": "1"},
    )
    assert done.returncode == 1
    assert done.stderr.strip() == "colorize: empty.jpg: the file is empty"
