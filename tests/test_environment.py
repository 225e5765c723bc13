import hashlib
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
import torch

from course_lib import environment
from course_lib.environment import Finding, check_environment, main
from course_lib.models import ECCV16, NETWORKS, loading, save_weights
from course_lib.models.networks import Weights

SCRIPT = Path(environment.__file__)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A small shipped folder of our own, whole."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "photos" / "scenes").mkdir(parents=True)
    sha256 = save_weights(
        tmp_path / "weights" / "tiny.safetensors", ECCV16(0.03), {"input_size": "32"}
    )
    entry = Weights("tiny.safetensors", sha256)
    for name, shipped in (("eccv16", entry), ("siggraph17", None)):
        monkeypatch.setitem(NETWORKS, name, replace(NETWORKS[name], shipped=shipped))
    (tmp_path / "photos" / "scenes" / "dune.jpg").write_bytes(b"sand")
    table = f"file,sha256\nscenes/dune.jpg,{hashlib.sha256(b'sand').hexdigest()}\n"
    (tmp_path / "photos" / "photos.csv").write_text(table, encoding="utf-8")
    monkeypatch.setattr(loading, "data_folder", lambda: tmp_path)
    monkeypatch.setattr("course_lib.files.data_folder", lambda: tmp_path)
    return tmp_path


def statuses(findings):
    return {finding.name: finding.status for finding in findings}


def failure(findings, name):
    (finding,) = [finding for finding in findings if finding.name == name]
    assert finding.status == "FAIL" and "\n" not in finding.message
    return finding.message


def test_a_whole_machine_has_no_failure(shipped, capsys):
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "This machine has what it takes."
    assert all(line.startswith(("[OK]   ", "[NOTE] ")) for line in lines[:-1])
    for start in (
        "[OK]   Python: 3.",
        f"[OK]   torch: {metadata.version('torch')}",
        f"[OK]   scikit-image: {metadata.version('scikit-image')}",
        "[OK]   jupyterlab: ",
        "[OK]   photographs: 1, verified",
        "[OK]   weights of eccv16: tiny.safetensors (width 0.03), verified",
        "[OK]   processor: PyTorch uses ",
        "[NOTE] bfloat16: this processor has ",
        "[NOTE] graphics card: ",
        "[OK]   a first picture: coloured in ",
    ):
        assert sum(line.startswith(start) for line in lines) == 1, start


def test_every_requirement_is_read_from_the_metadata():
    for requirement in metadata.requires("course-lib"):
        name, minimum, extra = environment._parsed(requirement)
        written = f"{name}>={minimum}" + (f"; extra == '{extra}'" if extra else "")
        assert written == requirement.replace('"', "'")
    oldest = ".".join(map(str, environment.OLDEST_PYTHON))
    assert metadata.metadata("course-lib")["Requires-Python"] == f">={oldest}"


@pytest.mark.parametrize(
    ("version", "minimum", "enough"),
    [
        ("2.13.0+cpu", "2.4", True),
        ("2.4.0a0+git1234", "2.4", True),
        ("2.10", "2.9.1", True),
        ("2", "2.0", True),
        ("2.0.0", "2", True),
        ("1.26.4", "2", False),
        ("0.24.0rc1", "0.24.1", False),
        ("10.0.1", "10.1", False),
    ],
)
def test_versions_are_compared_as_numbers(monkeypatch, version, minimum, enough):
    monkeypatch.setattr(metadata, "version", lambda name: version)
    finding = environment._library("pillow", minimum)
    assert finding.status == ("OK" if enough else "FAIL")
    if not enough:
        assert f"{version} is older than {minimum}" in finding.message
        assert f'python -m pip install --upgrade "pillow>={minimum}"' in finding.message


def test_an_old_python_is_named():
    finding = environment._python((3, 9, 18, "final", 0))
    assert finding == Finding("FAIL", "Python", "3.9.18 is older than 3.10; install a newer one")
    assert environment._python((3, 10, 0, "final", 0)).status == "OK"
    assert environment._python((4, 0, 0, "final", 0)).status == "OK"


def test_libraries_for_the_lab_alone_are_no_failure(monkeypatch):
    versions = {"jupyterlab": None, "ipywidgets": "7.7.1"}
    monkeypatch.setattr(environment, "_version", lambda name: versions.get(name, "9999"))
    found = {finding.name: finding for finding in environment._libraries()}
    assert found["jupyterlab"].status == found["ipywidgets"].status == "NOTE"
    assert found["jupyterlab"].message.startswith("not installed; to open the lessons")
    assert found["ipywidgets"].message.startswith("7.7.1 is older than 8.1; ")
    assert "pytest" not in found and found["torch"].status == "OK"


def test_a_library_that_breaks_on_import_is_named(monkeypatch):
    def broken(module):
        raise OSError("wrong\nsystem")

    monkeypatch.setattr(environment.importlib, "import_module", broken)
    findings = check_environment()
    message = failure(findings, "torch")
    assert "cannot be imported (wrong system)" in message and "--force-reinstall" in message
    assert "put right first what has failed above" in failure(findings, "course_lib")


def test_a_changed_and_a_missing_photograph_are_named(shipped):
    photo = shipped / "photos" / "scenes" / "dune.jpg"
    photo.write_bytes(b"snow")
    message = failure(check_environment(), "photographs")
    assert "1 of 1 are missing or changed: scenes/dune.jpg" in message
    assert "install the package again" in message
    photo.unlink()
    assert "scenes/dune.jpg" in failure(environment._photographs(), "photographs")
    (shipped / "photos" / "photos.csv").unlink()
    assert "photos.csv cannot be read" in failure(environment._photographs(), "photographs")


def test_changed_weights_are_named_and_the_rest_is_still_looked_at(shipped, capsys):
    path = shipped / "weights" / "tiny.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    findings = check_environment()
    assert "not the file that ships" in failure(findings, "weights of eccv16")
    assert "not the file that ships" in failure(findings, "a first picture")
    assert statuses(findings)["photographs"] == statuses(findings)["processor"] == "OK"
    assert main() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "2 to put right: see [FAIL]"


@pytest.mark.parametrize("name", ["_photographs", "_weights", "_processor", "_first_picture"])
def test_a_check_that_breaks_is_a_failure_and_no_traceback(shipped, monkeypatch, name):
    def broken():
        raise KeyError("two\nlines")

    monkeypatch.setattr(environment, name, broken)
    failed = [finding for finding in check_environment() if finding.status == "FAIL"]
    assert len(failed) == 1 and "\n" not in str(failed[0])
    assert "please report this" in failed[0].message


def test_little_memory_is_worth_a_note(monkeypatch):
    psutil = pytest.importorskip("psutil")
    for free, status in ((3_900_000_000, "NOTE"), (4_100_000_000, "OK")):
        memory = type("Memory", (), {"available": free})
        monkeypatch.setattr(psutil, "virtual_memory", lambda memory=memory: memory)
        (finding,) = environment._memory()
        assert finding.status == status and f"{free / 1e9:.1f} GB free" in finding.message


def test_memory_that_cannot_be_read_is_passed_over(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert list(environment._memory()) == []


@pytest.fixture
def pip(monkeypatch):
    """What is asked of pip, with versions of our own in place of those that are installed."""
    asked = []

    def run(command):
        asked.append(command[1:])
        return subprocess.CompletedProcess(command, 0)

    def here(**versions):
        monkeypatch.setattr(environment, "_version", lambda name: versions.get(name, "9999"))
        return asked

    monkeypatch.setattr(environment.subprocess, "run", run)
    return here


def test_on_a_host_nothing_is_installed_where_nothing_is_missing(pip):
    asked = pip(torch="2.11.0+cu128", numpy="2.1.3")
    assert environment.prepare_host() == 0 and asked == []


def test_on_a_host_what_is_missing_is_installed_and_what_is_there_is_kept(pip):
    asked = pip(torch="2.11.0+cu128", numpy="2.1.3", pooch=None)
    assert environment.prepare_host() == 0
    ((module, tool, verb, quiet, *wanted),) = asked
    assert (module, tool, verb, quiet) == ("-m", "pip", "install", "--quiet")
    assert [name for name in wanted if ">=" in name] == ["pooch>=1.8"]
    assert {"torch==2.11.0+cu128", "numpy==2.1.3", "scikit-image==9999"} < set(wanted)
    assert not any("jupyterlab" in name or "pytest" in name for name in wanted)


def test_on_a_host_the_painters_widget_is_installed_where_it_is_missing(pip):
    asked = pip(anywidget=None, ipywidgets="7.7.1")
    assert environment.prepare_host() == 0
    assert [name for name in asked[0] if ">=" in name] == ["anywidget>=0.9.13"]
    assert not any(name.startswith("ipywidgets") for name in asked[0])  # what is there will do


def test_on_a_host_what_is_too_old_is_named_and_left_as_it_is(pip, capsys):
    asked = pip(numpy="1.25.2", pooch=None)
    assert environment.prepare_host() == 1 and asked == []
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("numpy 1.25.2 is older than the 1.26 that the course needs.")
    assert "left as it is" in line and "Runtime version > Latest" in line


def test_on_a_host_a_failure_of_pip_is_told_on(pip, monkeypatch):
    pip(pooch=None)
    failed = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(environment.subprocess, "run", lambda command: failed)
    assert environment.prepare_host() == 1


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_on_a_host_a_gpu_is_advised_where_there_is_none(pip, monkeypatch, capsys, device):
    pip()
    monkeypatch.setattr("course_lib.device.pick_device", lambda: torch.device(device))
    assert environment.prepare_host() == 0
    advice = capsys.readouterr().out
    for part in ("Lessons 06 and 07", "Runtime > Change runtime type > T4 GPU"):
        assert (part in advice) == (device == "cpu")


WITHOUT_TORCH = """
import runpy, sys
from importlib import metadata

def version(name, whole=metadata.version):
    if name == "torch":
        raise metadata.PackageNotFoundError(name)
    return whole(name)

metadata.version = version
sys.modules["torch"] = None
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def program(*arguments, cwd):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=100)


def test_a_missing_library_is_a_line_and_no_traceback(tmp_path):
    done = program("-c", WITHOUT_TORCH, SCRIPT, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr == ""
    failed = [line for line in done.stdout.splitlines() if line.startswith("[FAIL]")]
    assert len(failed) == 2 and failed[1].startswith("[FAIL] course_lib: cannot be imported")
    assert failed[0].startswith("[FAIL] torch: not installed; run: python -m pip install")
    assert "[OK]   numpy" in done.stdout


def test_it_runs_even_where_nothing_is_installed(tmp_path):
    done = program("-S", SCRIPT, cwd=tmp_path)  # -S: no installed packages
    assert done.returncode == 1 and done.stderr == ""
    assert "[OK]   Python" in done.stdout and "course-lib: not installed; run: " in done.stdout


AS_A_FILE = """
import runpy, sys
from importlib import metadata, util

sys.path[0] = sys.argv[2]  # as Python does itself when it runs a file
sys.modules["numpy"] = None  # the package is not to be imported: it takes time
metadata.requires = lambda name: []
try:
    runpy.run_path(sys.argv[1], run_name="__main__")
finally:
    print([module for module in ("lab", "bins", "hints") if util.find_spec(module)])
"""


def test_run_as_a_file_it_takes_no_module_of_the_package_for_another(tmp_path):
    done = program("-c", AS_A_FILE, SCRIPT, SCRIPT.parent, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[]"
