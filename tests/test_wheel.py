import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    assert wheel.stat().st_size < 40_000_000
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


COLOUR = """
import course_lib as cl
from course_lib.files import data_folder
print(data_folder())
print(len(cl.photos()))
out = cl.colorize(cl.load_photo("gray/camera")[::8, ::8], "eccv16")
print(out.shape, (out.max(-1) > out.min(-1)).mean() > 0.5)
"""


def test_an_installed_package_finds_its_photographs_and_weights(unpacked, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", COLOUR],
        cwd=tmp_path,  # far from the checkout and its data folder
        env={**os.environ, "PYTHONPATH": str(unpacked), "COURSE_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    folder, count, colours = done.stdout.splitlines()
    assert Path(folder) == unpacked / "course_lib" / "_shipped"
    assert int(count) > 150
    assert colours == "(64, 64, 3) True"


def test_licences_of_what_ships_travel_along(unpacked):
    (info,) = unpacked.glob("*.dist-info")
    names = {path.name for path in (info / "licenses").rglob("*") if path.is_file()}
    assert {"LICENSE", "README.md", "GPL-2.txt", "LGPL-3.txt"} <= names


def test_nothing_of_the_tests_or_notebooks_is_installed(unpacked):
    tops = {path.name for path in unpacked.iterdir()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"course_lib"}
