import sys
from types import ModuleType

import pytest

from tests.fuzz import frame


@pytest.mark.parametrize("name", frame.KINDS)
@pytest.mark.filterwarnings("ignore")
def test_the_first_trials_of_every_kind_end_as_documented(name, tmp_path):
    if name == "disks" and sys.platform == "win32":
        pytest.skip("Windows has no limit on the size of files")
    outcomes = {frame.one(name, number, tmp_path) for number in range(frame.module_of(name).FEW)}
    assert len(outcomes) > 1 and not list(tmp_path.iterdir())


BAD = """
import os, time
NAME, COUNT = "bad", 6

def trial(number, folder):
    (folder / "a").touch()  # as every trial, in a folder that was empty
    print("what a trial prints is no outcome")
    if number == 1:
        raise KeyError("deep inside")
    if number == 2:
        time.sleep(60)
    if number == 3:
        os._exit(3)
    return "fine"
"""


def test_a_run_outlives_errors_hangs_and_crashes(tmp_path, monkeypatch):
    (tmp_path / "bad_kind.py").write_text(BAD)
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, bad_kind\nsys.modules['tests.fuzz.bad_kind'] = bad_kind\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setitem(sys.modules, "tests.fuzz.bad_kind", module := ModuleType("bad_kind"))
    exec(BAD, module.__dict__)
    result = frame.run("bad_kind", patience=2)
    assert result.outcomes == {"fine": 3}
    assert sorted(result.faults) == [
        "bad_kind 1: KeyError: 'deep inside'",
        "bad_kind 2: hung over 2 s",
        "bad_kind 3: crashed",
    ]


def test_damage_is_the_same_on_every_run():
    content = bytes(range(256)) * 4
    for number in range(20):
        one, two = (frame.mutated(content, frame.numbers_of("x", number), 8) for _ in range(2))
        assert one == two and one[:8] == content[:8]
    assert one != frame.mutated(content, frame.numbers_of("x", 20), 8)
