"""A pytest plugin that holds every test to Windows' rule for files, on Linux.

Windows renames, replaces and deletes no file that is still open or mapped into memory. Linux does,
so that code which forgets to close a file fails on learners' machines alone. With this plugin
such a call raises PermissionError here too, where this process itself has the file:

    python -m pytest -p tests.winrule

It does nothing where there is no /proc to ask, and on Windows itself nothing is missing.
"""

import functools
import os
from pathlib import Path

import pytest

_MAPPED, _OPEN = Path("/proc/self/maps"), Path("/proc/self/fd")
#: Functions of `os`, through which pathlib and shutil go too, and how many paths each is given.
_FUNCTIONS = {"replace": 2, "rename": 2, "unlink": 1, "remove": 1}


def _held(path: object) -> str | None:
    """How this process has a file: "mapped", "open" or not at all."""
    try:
        real = Path(os.fsdecode(path)).resolve()
        status = real.stat()  # a broken link, a missing file: nobody has it
    except (TypeError, OSError):
        return None
    if real.is_dir():
        return None
    maps = _MAPPED.read_text(encoding="utf-8", errors="replace")
    if any(line.endswith(f" {real}") for line in maps.splitlines()):
        return "mapped"
    for descriptor in _OPEN.iterdir():
        try:
            other = os.fstat(int(descriptor.name))
        except OSError:  # that of the listing itself, which is closed by now
            continue
        if (other.st_dev, other.st_ino) == (status.st_dev, status.st_ino):
            return "open"
    return None


def _ruled(function, paths: int):
    @functools.wraps(function)
    def call(*arguments, **options):
        # with dir_fd a path means something else; shutil.rmtree uses it, after its own fashion
        if not options.get("dir_fd") and not options.get("src_dir_fd"):
            for path in arguments[:paths]:
                if how := _held(path):
                    raise PermissionError(13, f"the file is still {how}", str(path))
        return function(*arguments, **options)

    return call


def pytest_configure(config: pytest.Config) -> None:
    """Put the rule into force, for the whole session."""
    if _MAPPED.exists():
        patch = pytest.MonkeyPatch()
        config.add_cleanup(patch.undo)
        for name, paths in _FUNCTIONS.items():
            patch.setattr(os, name, _ruled(getattr(os, name), paths))
