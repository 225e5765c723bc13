"""What the workshop's scripts write is whole, or not there."""

import os
import shutil

import pytest

from authoring import classroom, course, offline_kit


def test_a_text_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    course.write_text(path, "before: ü\n")
    assert path.read_bytes() == "before: ü\n".encode()
    umask = os.umask(0)
    os.umask(umask)
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    with pytest.raises(UnicodeEncodeError):
        course.write_text(path, "x" * 100_000 + "\udcff")
    assert path.read_text(encoding="utf-8") == "before: ü\n"
    assert [left.name for left in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no space left")])
def test_a_folder_is_filled_whole_or_not_at_all(tmp_path, there, error):
    folder = tmp_path / "deep" / "kit"
    if there:
        folder.mkdir(parents=True)
    with pytest.raises((KeyboardInterrupt, OSError)), course.new_folder(folder) as made:
        (made / "half").touch()
        raise error
    assert folder.exists() == there and not [*folder.glob("*")]
    with course.new_folder(folder) as made:  # and another try is not refused
        (made / "inner").mkdir()
        (made / "inner" / "all").touch()
        assert [path.name[0] for path in folder.iterdir()] == ["."]
    assert [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*"))] == [
        "inner",
        "inner/all",
    ]


@pytest.mark.parametrize(
    "make",
    [
        classroom.make_class,
        lambda folder: offline_kit.make_kit(folder, [offline_kit.this_system()]),
    ],
    ids=["class", "kit"],
)
def test_what_was_interrupted_leaves_nothing_and_can_be_made_again(tmp_path, monkeypatch, make):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(offline_kit, "download", interrupted)
    monkeypatch.setattr(offline_kit.subprocess, "run", lambda *_, **__: None)
    monkeypatch.setattr(shutil, "copy", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "made")
        assert not (tmp_path / "made").exists()
