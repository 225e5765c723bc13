"""Files of the course: written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only once it is whole.

    What is written goes to a file beside it, under a hidden name of its own, so that two processes
    never mix theirs. When the with statement ends well, that file is brought to the disk and takes
    the place of the one under the name, if there was one; when it ends in an error, or the
    machine goes down, whatever was under the name before is still there.

    Parameters
    ----------
    path : path
        The file; its folder must be there.

    Yields
    ------
    binary file
        To write to, and to seek in. Do not close it.

    Raises
    ------
    OSError
        If the folder is missing or may not be written to, or the disk is full.

    Examples
    --------
    >>> with whole_file("notes.txt") as file:
    ...     _ = file.write(b"all or nothing")
    """
    path = Path(path)
    # The dot hides it from `list_images` should the machine go down before it is whole.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:32]}.", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp's files are the owner's alone
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)  # gone already, unless something went wrong


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
