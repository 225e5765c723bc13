"""The offline kit: what is in it, and that a computer without a network can be set up from it."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig

import nbformat
import pytest

from authoring import course, offline_kit
from authoring.course import NOTEBOOKS, ROOT

CONSTRAINTS = (ROOT / "constraints.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("system", "present", "absent"),
    [
        ("windows-3.12", {"pywinpty", "colorama"}, {"pexpect", "ptyprocess", "appnope", "tomli"}),
        ("macos-3.13", {"appnope", "pexpect"}, {"pywinpty", "colorama", "tomli"}),
        ("linux-3.10", {"pexpect", "tomli", "decorator", "greenlet"}, {"pywinpty", "appnope"}),
    ],
)
def test_each_system_gets_the_locked_versions_that_hold_there(system, present, absent):
    versions = offline_kit.pins(CONSTRAINTS, offline_kit.target(system).environment)
    names = [version.partition("==")[0] for version in versions]
    assert present <= set(names) and not absent & set(names)
    assert len(names) == len(set(names))
    (numpy,) = (version for version in versions if version.startswith("numpy=="))
    assert (numpy < "numpy==2.3") == system.endswith("3.10")  # the last for Python 3.10 is 2.2


@pytest.mark.parametrize("wrong", ["windows", "windows-2.7", "3.12", "amiga-3.12"])
def test_a_system_that_is_none_is_named(wrong, tmp_path):
    kit = tmp_path / "kit"
    command = [sys.executable, "-m", "authoring.offline_kit", kit, "--for", wrong]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{wrong} is not linux, macos or windows with a Python")
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(FileExistsError, match="is not empty"):
        offline_kit.make_kit(tmp_path, [offline_kit.this_system()])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_lessons_and_the_course_are_in_the_kit_with_their_checksums(tmp_path, monkeypatch):
    monkeypatch.setattr(offline_kit, "download", lambda wheels, target: None)
    offline_kit.make_kit(tmp_path, [offline_kit.target("windows-3.12")])
    files = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*.*")}
    for lesson in NOTEBOOKS.glob("[0-9]*.ipynb"):
        assert files[f"notebooks/{lesson.name}"].read_bytes() == lesson.read_bytes()
    (wheel,) = (name for name in files if name.startswith("wheels/course_lib-"))
    lines = (tmp_path / "SHA256SUMS").read_text("utf-8").splitlines()
    assert dict(reversed(line.split("  ")) for line in lines) == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
    }
    assert wheel in files and "Windows (64 bit) with Python 3.12" in files["README.md"].read_text(
        "utf-8"
    )


def without_network():
    """What to put before a command to run it without a network, where that can be had."""
    prefix = [
        "unshare",
        "--map-root-user",
        "--net",
        "sh",
        "-c",
        'ip link set lo up; exec "$@"',
        "",
    ]
    allowed = shutil.which("unshare") and not subprocess.run([*prefix, "true"]).returncode
    return prefix if allowed else []


@pytest.mark.environments
def test_a_computer_without_a_network_is_set_up_from_the_kit_and_runs_a_lesson(tmp_path):
    kit = tmp_path / "stick" / "kit"
    subprocess.run([sys.executable, "-m", "authoring.offline_kit", kit], cwd=ROOT, check=True)
    computer = tmp_path / "computer"
    shutil.copytree(kit, computer)
    shutil.rmtree(kit)

    readme = (computer / "README.md").read_text("utf-8")
    install, begin = re.findall(r"```\n(.*?)```", readme, re.S)
    python = f"python{sysconfig.get_python_version()}"
    assert python in install
    (computer / python).symlink_to(sys.executable)
    lesson = computer / "notebooks" / re.search(r"jupyter lab (\S+)", begin)[1]
    notebook = nbformat.read(lesson, as_version=4)
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.outputs = []
    nbformat.write(notebook, lesson)
    begin = begin.replace("jupyter lab", "jupyter execute --inplace")
    script = f"set -e\n{install}\n{begin}"

    environment = {name: value for name, value in os.environ.items() if "PIP_" not in name}
    environment |= {
        "PATH": f"{computer}{os.pathsep}{os.environ['PATH']}",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "COURSE_OFFLINE": "1",
    }
    done = subprocess.run(
        [*without_network(), "sh", "-c", script],
        cwd=computer,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "This machine has what it takes." in done.stdout
    assert "[OK]   a first picture" in done.stdout
    site = computer / ".venv" / "lib" / python / "site-packages"
    installed = {path.name.partition("-")[0] for path in site.glob("*.dist-info")}
    assert {"course_lib", "jupyterlab", "torch"} <= installed
    assert "nbgrader" not in installed
    assert any(course.figures(cell) for cell in nbformat.read(lesson, 4).cells)
