"""Google Colab: the lessons' first cell; and, in an environment like Colab's, every lesson.

`make colab` makes a virtual environment with the versions that Colab has. The tests marked
"environments" run there, with a stand-in for Colab's own module and with the wheel served on
this machine.
"""

import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from authoring import build, course
from authoring.course import ROOT

COLAB = ROOT / ".venv-colab"
PYTHON = COLAB / "bin" / "python"
PUBLISHED = {"repository": "ada/colour", "tag": "v1"}

LOADED = "\nprint([m for m in ('google', 'torch', 'numpy', 'course_lib') if m in sys.modules])"


def test_where_the_library_is_installed_the_first_cell_is_silent_and_loads_nothing(tmp_path):
    cell = TransformerManager().transform_cell(build.setup(None))
    command = [sys.executable, "-W", "error", "-c", cell + LOADED]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


ABSENT = """
from importlib import util
whole = util.find_spec
util.find_spec = lambda name: None if name == "course_lib" else whole(name)
"""


def test_anywhere_else_the_first_cell_says_what_to_do(tmp_path):
    cell = TransformerManager().transform_cell(build.setup(None))
    command = [sys.executable, "-c", ABSENT + cell]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and said.startswith("RuntimeError: this Python has no course_lib.")
    assert "make lab" in said and 'SOURCE above to "git+https://github.com/OWNER/NAME"' in said


def test_on_any_host_the_first_cell_installs_from_its_source_with_the_notebooks_python(
    monkeypatch,
):
    names, commands = {}, []
    shell = SimpleNamespace(system=lambda command: commands.append(command.format(**names)))
    names["get_ipython"] = lambda: shell
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(TransformerManager().transform_cell(build.setup(PUBLISHED)), names)
    source = "git+https://github.com/ada/colour@v1"
    assert commands[0] == f'"{sys.executable}" -m pip install -q --no-deps {source}'
    assert commands[1].startswith(f'"{sys.executable}" "')
    assert commands[1].endswith('environment.py" --hosted')


def pip(*arguments):
    command = [PYTHON, "-m", "pip", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def installed():
    """Name to version of everything in Colab's environment."""
    listed = json.loads(pip("list", "--format=json"))
    return {entry["name"].lower(): entry["version"] for entry in listed}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The address of the course's wheel, served on this machine."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    handler = type("Silent", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (built,) = folder.glob("*.whl")
    yield f"http://127.0.0.1:{server.server_port}/{built.name}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def colab(tmp_path, monkeypatch):
    """Run a notebook as Colab would: the kernel has loaded google.colab and lacks the course."""
    assert PYTHON.exists(), "the environment is missing; run: make colab"
    pip("uninstall", "--yes", "course-lib")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    (tmp_path / "google" / "colab").mkdir(parents=True)
    (tmp_path / "google" / "colab" / "__init__.py").touch()
    kernel = tmp_path / "kernels" / "colab"
    kernel.mkdir(parents=True)
    start = "import google.colab; from ipykernel import kernelapp; kernelapp.launch_new_instance()"
    argv = [str(PYTHON), "-c", start, "-f", "{connection_file}"]
    path = f"{PYTHON.parent}{os.pathsep}{os.environ['PATH']}"

    def execute(notebook, **environment):
        environment |= {"PATH": path, "PYTHONPATH": str(tmp_path)}
        spec = {"argv": argv, "display_name": "Colab", "language": "python", "env": environment}
        (kernel / "kernel.json").write_text(json.dumps(spec))
        content = {"metadata": {"path": str(tmp_path)}}
        client = NotebookClient(notebook, kernel_name="colab", resources=content, **build.PATIENCE)
        client.execute()

    return execute


def first_cell(where=PUBLISHED):
    """A notebook of the lessons' first cell alone."""
    return new_notebook(cells=[new_code_cell(build.setup(where))])


def printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


@pytest.mark.environments
@pytest.mark.parametrize("source", course.lessons(), ids=lambda path: path.stem)
def test_every_lesson_runs_from_its_first_cell(colab, source, wheel):
    before = installed()
    assert "course-lib" not in before
    notebook = build.make_notebook(source, where=PUBLISHED)
    # nothing is missing there, so that the wheel is all that may be asked for
    colab(notebook, COURSE_SOURCE=wheel, PIP_NO_INDEX="1")
    after = installed()
    del after["course-lib"]
    assert after == before
    (origin,) = COLAB.glob("lib/python*/site-packages/course_lib-*.dist-info/direct_url.json")
    assert json.loads(origin.read_text())["url"] == wheel
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(printed(code[0]).splitlines()) == 1 and "GPU" in printed(code[0])
    for cell in code:
        assert "Warning" not in printed(cell)
        if "check" in cell.metadata.get("tags", []):
            assert printed(cell).startswith("[todo]")


@pytest.mark.environments
def test_what_is_missing_is_installed_and_nothing_else(colab, wheel):
    before = installed()
    gone = {"pooch", "safetensors", "anywidget", "psygnal"}  # the painter's widget, and its needs
    pip("uninstall", "--yes", *gone)
    colab(first_cell(), COURSE_SOURCE=wheel)
    after = installed()
    del after["course-lib"]
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} <= gone


def error(notebook):
    """The last line of what went wrong in the first cell."""
    return next(o.evalue for o in notebook.cells[0].outputs if o.output_type == "error")


@pytest.mark.environments
def test_before_publishing_the_first_cell_says_what_to_set(colab):
    notebook = first_cell(where=None)
    with pytest.raises(CellExecutionError):
        colab(notebook)
    assert 'set SOURCE above to "git+https://github.com/OWNER/NAME"' in error(notebook)
    assert "course-lib" not in installed()


@pytest.mark.environments
def test_a_source_that_is_not_there_is_named(colab, wheel):
    notebook = first_cell()
    with pytest.raises(CellExecutionError):
        colab(notebook, COURSE_SOURCE=wheel.replace("course_lib", "nowhere/course_lib"))
    assert error(notebook) == "No package metadata was found for course-lib"
    assert "404" in printed(notebook.cells[0])
