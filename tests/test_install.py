"""How the course comes onto a machine: make, Binder, a dev container; and how it is cited."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from authoring.course import ROOT
from course_lib import __version__

#: A Python that notes what it is asked, makes environments of itself, and finds no other index.
FAKE = """\
#!/bin/sh
echo "$@" >> "{log}"
if [ "$2" = venv ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
case "$*" in *--index-url*) exit {status} ;; esac
"""

needs_make = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("make") is None,
    reason="the choice of a PyTorch is one on Linux, by make",
)


@pytest.fixture
def install(tmp_path):
    """Run `make install` with such a Python; gives what pip was asked."""

    def make(*options, index_fails=False):
        log, fake = tmp_path / "log", tmp_path / "python"
        fake.write_text(FAKE.format(log=log, status=int(index_fails)), encoding="utf-8")
        fake.chmod(0o755)
        command = ["make", "install", f"PYTHON={fake}", f"VENV={tmp_path / 'venv'}", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [
            line for line in log.read_text().splitlines() if "pip install" in line
        ], done.stdout

    return make


@needs_make
def test_without_an_nvidia_card_the_small_torch_comes_first(install):
    (small, rest), _ = install(f"NVIDIA={ROOT / 'no' / 'such' / 'card'}")
    assert re.search(r"--index-url \S+/cpu torch==[\d.]+$", small) and "-e .[lab,test]" in rest


@needs_make
@pytest.mark.parametrize("option", [f"NVIDIA={ROOT}", "CPU="])
def test_with_a_card_or_on_demand_the_plain_one_is_taken(install, option):
    (command, *others), _ = install(option)
    assert "--index-url" not in command and not others


@needs_make
def test_where_the_small_one_cannot_be_had_the_plain_one_is_taken_and_said(install):
    (_, rest), said = install("CPU=true", index_fails=True)
    assert "-e .[lab,test]" in rest and "cannot be reached" in said


def test_binder_and_the_dev_container_install_the_locked_versions_without_nvidia():
    script = ROOT / ".binder" / "postBuild"
    text = script.read_text("utf-8")
    assert "/whl/cpu" in text and "-c constraints.txt -e '.[lab]'" in text
    assert re.search(r"^torch==", (ROOT / "constraints.txt").read_text("utf-8"), re.M)
    assert re.match(r"python-3\.1[0-3]\n", (ROOT / ".binder" / "runtime.txt").read_text("utf-8"))
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert container["postCreateCommand"].startswith("make install CPU=true")
    for page in container["customizations"]["codespaces"]["openFiles"]:
        assert (ROOT / page).is_file()


def test_the_citation_is_of_this_version_and_its_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == __version__
    assert f'license = "{citation["license"]}"' in (ROOT / "pyproject.toml").read_text("utf-8")
    assert citation["title"] and citation["authors"]
