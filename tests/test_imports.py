"""Imports run downward only: the rooms of the library and the floors that they are on."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import course_lib

ROOT = Path(course_lib.__file__).parent
FLOORS = (
    {"image", "samples", "tiff", "mended", "exif", "files", "device", "console"}
    | {"lab", "fast_lab", "bins", "metrics", "parallel"},
    {"models", "hints", "data"},
    {"inference"},
    {"training", "evaluation", "hint_painter"},
    {"plotting", "sliders", "checks", "environment", "results", "cli"},
)


def imports():
    """Each room (a module or package of course_lib) with the rooms that it imports."""
    rooms = {path.stem for path in ROOT.iterdir() if path.stem != "__pycache__"} - {"__init__"}
    found = {}
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("course_lib"):
                _, *rest = node.module.split(".")
                names = rest[:1] or [alias.name for alias in node.names]
                found.setdefault(room, set()).update(rooms.intersection(names) - {room})
    return found


def test_no_room_imports_one_above_it_and_no_two_import_each_other():
    found = imports()
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    upward = {
        (room, other)
        for room, others in found.items()
        for other in others
        if room in floor and other in floor and floor[other] > floor[room]
    }
    assert found["inference"] >= {"models", "hints"} and not upward
    TopologicalSorter(found).prepare()  # raises CycleError, which names the rooms


def test_the_library_is_there_before_what_only_some_of_it_needs():
    heavy = "scipy skimage matplotlib pooch requests IPython ipywidgets anywidget onnxruntime"
    code = f"import sys, course_lib; print(*(set(sys.modules) & set({heavy.split()})))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.parent
    )
    assert run.returncode == 0 and run.stdout.split() == [], run.stderr
