import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from course_lib.data.prepare import build_array
from course_lib.files import check_room, whole_file


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


def test_a_library_cannot_write_past_python_where_a_full_disk_goes_unnoticed(tmp_path):
    picture = Image.effect_noise((300, 300), 50)
    with whole_file(tmp_path / "a.bmp") as file:
        with pytest.raises(OSError, match="fileno"):
            file.fileno()
        picture.save(file, "BMP")
        np.save(file, np.zeros(1000))
        size = file.tell()
    assert (tmp_path / "a.bmp").stat().st_size == size > 90_000


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from course_lib.files import whole_file
from course_lib.image import ImageError, save_image

folder = Path(sys.argv[1])
noise = np.random.default_rng(0).integers(0, 256, (60, 70, 3), np.uint8)

def state(path):
    with whole_file(path) as file:
        torch.save({"weight": torch.zeros(3000)}, file)

def array(path):
    with whole_file(path) as file:
        np.save(file, noise)

def saves():
    for suffix in (".png", ".jpg", ".webp", ".tif", ".bmp"):
        yield f"picture{suffix}", lambda path: save_image(path, noise)
    yield "state.pt", state
    yield "array.npy", array

failed = written = 0
for name, save in saves():
    save(folder / f"whole-{name}")
    size = (folder / f"whole-{name}").stat().st_size
    for limit in (0, 1, 100, size // 2, size - 1, size, size + 1):
        # the kernel lets a file grow so far: the same short writes as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        path = folder / f"{limit}-{name}"
        try:
            save(path)
            written += 1
            assert path.read_bytes() == (folder / f"whole-{name}").read_bytes(), path
        except (OSError, ImageError) as error:
            failed += 1
            assert str(path) in str(error) and "File too large" in str(error), error
            assert not path.exists()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
assert not list(folder.glob(".*"))
print(written, failed)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_on_a_nearly_full_disk_every_file_is_whole_or_not_there(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True
    )
    assert done.stdout.split() == ["14", "35"], done.stderr


def test_room_is_looked_for_before_a_large_file_is_begun(tmp_path, monkeypatch):
    check_room(tmp_path / "a.npy", 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 0))
    with pytest.raises(OSError, match=r"up to 3 MB are needed, and 0 MB are free; make room") as e:
        check_room(tmp_path / "a.npy", 3_000_000)
    assert e.value.filename == str(tmp_path / "a.npy")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (8, 8), "red").save(pictures / "a.png")
    with pytest.raises(OSError, match="MB are needed"):
        build_array([pictures / "a.png"], tmp_path / "a.npy", 64, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


def test_a_file_that_is_mapped_stays_on_windows_and_the_message_says_what_to_do(
    tmp_path, monkeypatch
):
    np.save(tmp_path / "a.npy", np.zeros(4))

    def replace(self, _):  # as Windows does
        raise PermissionError(13, "Access is denied", str(self))

    monkeypatch.setattr(Path, "replace", replace)
    with (
        pytest.raises(PermissionError, match=r"open, here .* restart the kernel: '.*a\.npy'$"),
        whole_file(tmp_path / "a.npy") as file,
    ):
        np.save(file, np.ones(4))
    assert np.load(tmp_path / "a.npy").tolist() == [0, 0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


PREPARE = """
import sys
from pathlib import Path
from course_lib.data.prepare import build_array
folder = Path(sys.argv[1])
paths = sorted(folder.glob("*.png"))
for _ in range(5):
    build_array(paths, folder / "a.npy", 32, progress=False)
"""


def test_two_processes_that_prepare_one_array_never_mix(tmp_path):
    for number, colour in enumerate(("red", "lime", "blue", "orange")):
        Image.new("RGB", (40, 40 + number), colour).save(tmp_path / f"{number}.png")
    command = [sys.executable, "-c", PREPARE, str(tmp_path)]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    once = tmp_path / "b.npy"
    build_array(sorted(tmp_path.glob("*.png")), once, 32, progress=False)
    assert (tmp_path / "a.npy").read_bytes() == once.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_an_error_names_the_file_that_was_to_be_written(tmp_path):
    for path in (tmp_path / "missing" / "a.bin", tmp_path):
        with (
            pytest.raises(OSError, match=r"No such file|Is a directory") as caught,
            whole_file(path),
        ):
            pass
        assert caught.value.filename == str(path)
