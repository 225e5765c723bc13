"""Files of the course: where they lie, how they are fetched, and how they are written.

Environment variables:

- ``COURSE_OFFLINE=1``: never touch the network.
- ``COURSE_CACHE``: the folder for downloads, instead of the user's cache folder.
- ``COURSE_MIRRORS``: base addresses, separated by spaces, that are tried in order after the
  published one; the file's name is appended to each.
"""

import errno
import hashlib
import io
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import BinaryIO
from urllib.parse import urljoin

# pooch and requests are imported where they are used: most who import this never download.

#: Seconds to wait for a connection, and for the next bytes once there is one.
CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 15.0
#: A server that sends less than so many bytes in so many seconds has stalled too.
SLOWEST = 60_000
SLOWEST_SECONDS = 60.0
#: Redirections that are followed.
REDIRECTIONS = 10

_PACKAGE = Path(__file__).resolve().parent


class DownloadError(RuntimeError):
    """A file cannot be had; the message says why, and where to put it by hand."""


def data_folder() -> Path:
    """The folder of shipped photographs and weights.

    Returns
    -------
    pathlib.Path
        ``course_lib/_shipped`` in an installed package; the repository's ``data`` in a
        checkout.

    Raises
    ------
    FileNotFoundError
        If neither is there.
    """
    # Which one is there depends on how the package came here, so look, installed copy first:
    # beside an installed package (site-packages) a folder "data" would be somebody else's.
    packed, checkout = _PACKAGE / "_shipped", _PACKAGE.parent / "data"
    if packed.is_dir():
        return packed
    if any((checkout / part).is_dir() for part in ("photos", "weights")):
        return checkout
    raise FileNotFoundError(
        f"the course's photographs and weights are missing: neither {packed} nor {checkout} is "
        "there; install the package again, or clone the whole repository"
    )


def cache_folder() -> Path:
    """The folder for downloads: ``COURSE_CACHE``, or the user's cache folder."""
    import pooch

    chosen = os.environ.get("COURSE_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else Path(pooch.os_cache("course_lib"))


def is_offline() -> bool:
    """Whether ``COURSE_OFFLINE`` forbids to use the network."""
    return os.environ.get("COURSE_OFFLINE", "0") not in ("", "0")


def wrong_digest(path: Path, checksum: str) -> str | None:
    """Compare a file with its checksum.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    checksum : str
        "sha256:...", "md5:..." or another kind that hashlib knows, in hexadecimal.

    Returns
    -------
    str or None
        What is wrong, in words; None if nothing is.
    """
    kind, expected = checksum.split(":")
    found = file_hash(path, kind)
    return None if found == expected else f"wrong {kind}: got {found}, expected {expected}"


def file_hash(path: str | os.PathLike, kind: str = "sha256") -> str:
    """A hash of a file, in hexadecimal; the file is read a piece at a time, however large."""
    found = hashlib.new(kind)
    with Path(path).open("rb") as file:
        while piece := file.read(2**20):
            found.update(piece)
    return found.hexdigest()


def fetch(
    address: str, checksum: str, what: str, *, megabytes: float = 140, progress: bool = True
) -> Path:
    """Download a file into the cache folder, once, and verify it.

    Parameters
    ----------
    address : str
        Where it is published. Its end is the file's name; mirrors have it under the same name.
    checksum : str
        As in `wrong_digest`.
    what : str
        What the file holds, in the plural, for messages: "the published weights of eccv16".
    megabytes : float
        The file's size, about; a server that sends half as much again is not listened to further.
    progress : bool
        Show a progress bar.

    Returns
    -------
    pathlib.Path
        The file, whole and verified. If it was there already, the network is not touched.

    Raises
    ------
    DownloadError
        If no address gave the file. The message has each address with its reason, and where to
        put the file by hand. Nothing half-written stays behind.
    """
    name = address.rsplit("/", 1)[-1]
    path = cache_folder() / name
    tried = []
    if path.is_file():
        reason = wrong_digest(path, checksum)
        if reason is None:
            return path
        tried.append((path, reason))
    if is_offline():
        failed = "are not on this machine, and COURSE_OFFLINE forbids to download them"
    else:
        failed = "could not be downloaded"
        mirrors = os.environ.get("COURSE_MIRRORS", "").split()
        for source in (address, *(f"{mirror.rstrip('/')}/{name}" for mirror in mirrors)):
            reason = _download(source, path, checksum, megabytes, progress)
            if reason is None:
                return path
            tried.append((source, reason))
    raise DownloadError(
        "\n".join(
            [
                f"{what} {failed}:",
                *(f"  {place}: {reason}" for place, reason in tried),
                f"To put the file there by hand, fetch {address} ({checksum.replace(':', ' ')})",
                f"elsewhere and save it as {path}",
            ]
        )
    )


def _download(
    address: str, path: Path, checksum: str, megabytes: float, progress: bool
) -> str | None:
    """Fetch a file, whole and verified or not at all; return why it failed, or None."""
    import pooch
    import requests
    import urllib3

    def download_and_verify(url, file, _):
        _receive(url, Path(file), int(1.5e6 * megabytes) + 1_000_000, progress)
        reason = wrong_digest(file, checksum)
        if reason:  # pooch checks too, but keeps the hash that it got to itself
            raise ValueError(reason)

    log = pooch.get_logger()
    level = log.level
    log.setLevel("WARNING")  # its lines only repeat what the progress bar and our errors say
    try:
        # pooch writes to a temporary file, moves it into place once the hash is right, and
        # removes it if anything else happens.
        pooch.retrieve(
            address, checksum, fname=path.name, path=path.parent, downloader=download_and_verify
        )
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        return _in_plain_words(error)  # before OSError and ValueError: some are both
    except ValueError as error:
        return str(error)
    except OSError as error:
        return f"{path.parent} cannot be written ({error.strerror or error})"
    finally:
        log.setLevel(level)
    return None


def _receive(address: str, path: Path, most: int, progress: bool) -> None:
    """Write what a server sends; ValueError if that is too much, or comes too slowly."""
    import requests
    from tqdm.auto import tqdm

    session = requests.Session()
    for _ in range(REDIRECTIONS):
        # by way of the adapter: a session would read a redirection's body, whatever its length
        request = session.prepare_request(requests.Request("GET", address))
        settings = session.merge_environment_settings(address, {}, True, None, None)
        adapter = session.get_adapter(address)
        response = adapter.send(request, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT), **settings)
        if not response.is_redirect:
            break
        response.close()
        address = urljoin(address, response.headers["location"])
    else:
        raise ValueError(f"more than {REDIRECTIONS} redirections")
    length = response.headers.get("content-length", "")
    total = int(length) if length.isdecimal() else None
    bar = tqdm(total=total, unit="B", unit_scale=True, disable=not progress)
    with response, path.open("wb") as file, bar:
        response.raise_for_status()
        taken, taken_before, since = 0, 0, time.monotonic()
        # read1 returns what there is: with read a server could let a few bytes drip for days
        while chunk := response.raw.read1(2**16, decode_content=True):
            taken += len(chunk)
            if max(taken, total or 0) > most:
                raise ValueError(f"the server sends more than {most / 1e6:.0f} MB")
            if time.monotonic() - since > SLOWEST_SECONDS:
                if taken - taken_before < SLOWEST:
                    raise ValueError("stalled: the server sends next to nothing")
                taken_before, since = taken, time.monotonic()
            file.write(chunk)
            bar.update(len(chunk))


def _in_plain_words(error: Exception) -> str:
    """What an exception of requests or urllib3 means."""
    import requests
    import urllib3

    text = str(error)
    if isinstance(error, requests.HTTPError):
        code = error.response.status_code
        if code == 404:
            return "no such file on the server (404)"
        return f"the server refused ({code} {error.response.reason})"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "stalled: the server did not answer in time"
    if isinstance(error, urllib3.exceptions.HTTPError):
        return "the connection broke before the end of the file"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy did not let it through"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate was not accepted"
    if isinstance(error, requests.ConnectionError):
        if "refused" in text:
            return "connection refused"
        if "resolve" in text or "getaddrinfo" in text:
            return "no such server, or no network"
        return "no connection: no network, or a firewall"
    return text


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only once it is whole.

    What is written goes to a file beside it, under a hidden name of its own, so that two processes
    never mix theirs. When the with statement ends well, that file is brought to the disk and takes
    the place of the one under the name, if there was one; when it ends in an error, or the
    machine goes down, whatever was under the name before is still there.

    The file has no number of the system's (``fileno``): libraries that would write past Python by
    it (Pillow, NumPy) do not notice when a disk is full, and leave half of a file.

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
        If the folder is missing or may not be written to, or the disk is full. Its ``filename`` is
        the path.

    Examples
    --------
    >>> with whole_file("notes.txt") as file:
    ...     _ = file.write(b"all or nothing")
    """
    path = Path(path)
    temporary = None
    try:
        # The dot hides it from `list_images` should the machine go down before it is whole.
        prefix = f".{path.name[:32]}."
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=".part")
        with io.FileIO(handle, "w+b") as raw, _NoShortcut(raw) as file:
            yield file
            file.flush()
            os.fsync(handle)
        Path(temporary).chmod(0o666 & ~_umask())  # mkstemp's files are the owner's alone
        try:
            Path(temporary).replace(path)
        except PermissionError as error:
            if path.is_file():  # Windows replaces no file that is open or mapped
                error.strerror = (
                    "it is open, here or in another program; close that first, or, in a notebook, "
                    "restart the kernel"
                )
            raise
    except OSError as error:
        if temporary is None or error.filename in (None, temporary):
            error.filename = str(path)  # and no name that nobody knows
        raise
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)  # gone already, unless something went wrong


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text in UTF-8, whole or not at all; see `whole_file`."""
    with whole_file(path) as file:
        file.write(text.encode())


class _NoShortcut(io.BufferedRandom):
    """A file that is written by its own `write` alone, which raises where a disk is full."""

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


_asking = Lock()


def _umask() -> int:
    with _asking:  # it can only be asked by setting it: another thread would take 0 for the answer
        mask = os.umask(0)
        os.umask(mask)
    return mask


def check_room(path: str | os.PathLike, size: int) -> None:
    """Raise an OSError where a disk has no room for a file, before it is begun.

    Parameters
    ----------
    path : path
        The file that is to be written; its folder must be there.
    size : int
        Its bytes, at most.
    """
    path = Path(path)
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise OSError(
            errno.ENOSPC,
            f"up to {size / 1e6:,.0f} MB are needed, and {free / 1e6:,.0f} MB are free; make room "
            "or choose another disk",
            str(path),
        )
