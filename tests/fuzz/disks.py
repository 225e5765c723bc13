"""Saves onto disks that are nearly full: a limit on the size of files stands for them."""

import functools
from pathlib import Path

import numpy as np
from skimage import data

from course_lib.data.prepare import build_array
from course_lib.data.prior import save_prior
from course_lib.image import ImageError, save_image
from course_lib.models import ECCV16, WeightsError, save_weights
from tests.fuzz.frame import check, numbers_of

NAME, WHAT = "disks", "saves of pictures, weights and tables onto nearly full disks"
COUNT, FEW = 300, 40

_COFFEE = data.coffee()[::4, ::4]


def _array(path: Path) -> None:
    folder = path.parent / "pictures"
    folder.mkdir(exist_ok=True)
    if not list(folder.iterdir()):
        save_image(folder / "a.png", _COFFEE)
    build_array([folder / "a.png"] * 3, path, 32, progress=False)


#: Endings, and what saves a file that ends so.
_SAVES = {
    **{
        ending: lambda path: save_image(path, _COFFEE)
        for ending in (".png", ".jpg", ".webp", ".tif", ".bmp")
    },
    ".safetensors": lambda path: save_weights(path, ECCV16(0.02)),
    ".csv": lambda path: save_prior(path, np.full(313, 1 / 313)),
    ".npy": _array,
}


@functools.cache
def _size(ending: str) -> int:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        _SAVES[ending](Path(folder) / f"a{ending}")
        return (Path(folder) / f"a{ending}").stat().st_size


def trial(number: int, folder: Path) -> str:
    """Save a file where fewer bytes fit, or just as many; or over one that was there."""
    import resource

    random = numbers_of(NAME, number)
    ending = random.choice([*_SAVES])
    path, size = folder / f"a{ending}", _size(ending)
    if ending == ".npy":
        _array(path)  # its pictures must be there before
        path.unlink()
    before = random.choice((None, b"mine"))
    if before:
        path.write_bytes(before)
    limit = random.choice((0, 1, size - 1, size, size + 1, random.randrange(size)))
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
    try:
        _SAVES[ending](path)
    except (OSError, ImageError, WeightsError) as error:
        outcome = "said so"
        check("File too large" in str(error) and path.name in str(error), f"{error}")
        check((path.read_bytes() if path.exists() else None) == before, "not as it was before")
    else:
        outcome = "whole"
        check(path.stat().st_size == size, f"{path.stat().st_size} bytes of {size}, as if whole")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    check(not list(folder.glob(".*")), "something is left behind")
    return outcome
