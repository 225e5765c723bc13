import pytest

from course_lib.files import whole_file


def test_a_file_appears_whole(tmp_path):
    with whole_file(tmp_path / "a.bin") as file:
        file.write(b"one")
        assert not (tmp_path / "a.bin").exists()
    assert (tmp_path / "a.bin").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")
    with pytest.raises(RuntimeError), whole_file(tmp_path / "a.bin") as file:
        file.write(b"new")
        raise RuntimeError
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_two_writers_do_not_mix(tmp_path):
    with whole_file(tmp_path / "a.bin") as first, whole_file(tmp_path / "a.bin") as second:
        first.write(b"first")
        second.write(b"second")
        first.write(b"first")
    assert (tmp_path / "a.bin").read_bytes() == b"firstfirst"  # the one that ended last


def test_a_file_may_be_read_by_whom_others_may(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    with whole_file(tmp_path / "whole"):
        pass
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode
