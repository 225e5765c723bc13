"""Where weights come from: shipped, published, or a file of one's own; always verified.

Environment variables:

- ``COURSE_OFFLINE=1``: never touch the network.
- ``COURSE_CACHE``: the folder for downloads, instead of the user's cache folder.
- ``COURSE_MIRRORS``: base addresses, separated by spaces, that are tried in order after the
  published one; the file's name is appended to each.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
import urllib3

from course_lib.data.folder import data_folder
from course_lib.models.files import WeightsError, load_into, read_weights, save_weights

__all__ = [
    "COURSE",
    "OFFICIAL",
    "OfficialWeights",
    "ShippedWeights",
    "WeightsError",
    "fetch_official",
    "find_weights",
    "load_into",
    "read_weights",
    "save_weights",
]


@dataclass(frozen=True)
class OfficialWeights:
    """Weights that the papers' authors published.

    Attributes
    ----------
    address : str
        Where they published them.
    sha256 : str
        Of the file, in hexadecimal.
    """

    address: str
    sha256: str

    @property
    def file(self) -> str:
        """The file's name: the end of the address."""
        return self.address.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class ShippedWeights:
    """Weights that ship with the course.

    Attributes
    ----------
    file : str
        Name of a file in the shipped folder ``weights``.
    sha256 : str
        Of the file, in hexadecimal; `save_weights` returns it.
    """

    file: str
    sha256: str


#: The published weights, by network.
OFFICIAL = {
    "eccv16": OfficialWeights(
        "https://colorizers.s3.us-east-2.amazonaws.com/colorization_release_v2-9b330a0b.pth",
        "9b330a0bae53f4ded77b1e23defbf78beaa09c10ebc4c4999e8e4f4a160b93f9",
    ),
    "siggraph17": OfficialWeights(
        "https://colorizers.s3.us-east-2.amazonaws.com/siggraph17-df00044c.pth",
        "df00044c0a4d7c3edcecf6f75437ce346a66e7a42612d9b968e1a7e17dbc6f66",
    ),
}

#: The course's own weights, by network.
COURSE = {
    "eccv16": ShippedWeights(
        "eccv16-course.safetensors",
        "c0d9674477b01910a44a68301ffb9fdaca4be44d69404174860cf7138440e933",
    ),
    "siggraph17": ShippedWeights(
        "siggraph17-course.safetensors",
        "7ce51390035ac1080396cf56f7976227a3bcffc8527edca0b0f46db6c88e2494",
    ),
}

#: Base addresses tried after the published one and those of ``COURSE_MIRRORS``. A course that
#: keeps copies of its own for good can name them here; the sha256 keeps them honest.
MIRRORS: tuple[str, ...] = ()

#: Seconds to wait for a connection, and for the next bytes once there is one.
CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 15.0


def find_weights(model: str, weights: str | os.PathLike) -> Path:
    """The file that a name of weights stands for; downloads it where that is what it takes.

    Parameters
    ----------
    model : {"eccv16", "siggraph17"}
        The network.
    weights : {"course", "official"} or path
        Shipped, published, or a file of one's own.

    Returns
    -------
    pathlib.Path
        Verified by its sha256, unless `weights` is a path.

    Raises
    ------
    ValueError
        If `weights` is a word that means nothing here.
    WeightsError
        If the file cannot be had.
    """
    if weights == "course":
        return _shipped(model)
    if weights == "official":
        return fetch_official(model)
    if isinstance(weights, str):
        a_word = not Path(weights).suffix and len(Path(weights).parts) < 2
        if not a_word or Path(weights).exists():
            return Path(weights)
    elif isinstance(weights, os.PathLike):
        return Path(weights)
    raise ValueError(
        f'no weights called {weights!r}; use "course", "official", None or the path of a file'
    )


def _shipped(model: str) -> Path:
    shipped = COURSE.get(model)
    if shipped is None:
        raise WeightsError(
            f'the course ships no weights for {model}; use weights="official", or a path'
        )
    path = data_folder() / "weights" / shipped.file
    if not path.is_file():
        raise WeightsError(
            f"{path}: the course's weights for {model} are missing; install the package again "
            f'(in a clone: git checkout -- data/weights), or use weights="official"'
        )
    found = _digest(path, "sha256")
    if found != shipped.sha256:
        raise WeightsError(
            f"{path}: not the file that ships with this version of the course "
            f"({_wrong_hash(found, shipped.sha256)}); install the package again "
            "(in a clone: git checkout -- data/weights)"
        )
    return path


def _digest(path: Path, kind: str) -> str:
    return pooch.file_hash(str(path), alg=kind)


def _wrong_hash(found: str, expected: str, kind: str = "sha256") -> str:
    return f"wrong {kind}: got {found}, expected {expected}"


def cache_folder() -> Path:
    """The folder for downloads: ``COURSE_CACHE``, or the user's cache folder."""
    chosen = os.environ.get("COURSE_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else Path(pooch.os_cache("course_lib"))


def is_offline() -> bool:
    """Whether ``COURSE_OFFLINE`` forbids to touch the network."""
    return os.environ.get("COURSE_OFFLINE", "0") not in ("", "0")


def fetch_official(model: str, *, progress: bool = True) -> Path:
    """Download a network's published weights, once, and verify them.

    Parameters
    ----------
    model : {"eccv16", "siggraph17"}
        The network.
    progress : bool
        Show a progress bar while downloading.

    Returns
    -------
    pathlib.Path
        The file in the cache folder; its sha256 is the published one. If it was there already,
        the network is not touched.

    Raises
    ------
    WeightsError
        If no address gave the file. The message has each address with its reason, and where to
        put the file by hand. Nothing half-written stays behind.
    """
    official = OFFICIAL[model]
    path = cache_folder() / official.file
    tried = []
    if path.is_file():
        found = _digest(path, "sha256")
        if found == official.sha256:
            return path
        tried.append((path, _wrong_hash(found, official.sha256)))
    if is_offline():
        what_failed = "are not on this machine, and COURSE_OFFLINE forbids to download them"
        raise WeightsError(_failure(model, what_failed, tried, path))
    mirrors = (*os.environ.get("COURSE_MIRRORS", "").split(), *MIRRORS)
    for address in (official.address, *(f"{m.rstrip('/')}/{official.file}" for m in mirrors)):
        reason = download(address, path, "sha256", official.sha256, progress)
        if reason is None:
            return path
        tried.append((address, reason))
    raise WeightsError(_failure(model, "could not be downloaded", tried, path))


def _failure(model: str, what_failed: str, tried: list[tuple[str | Path, str]], path: Path) -> str:
    official = OFFICIAL[model]
    return "\n".join(
        [
            f"the published weights of {model} {what_failed}:",
            *(f"  {place}: {reason}" for place, reason in tried),
            f"To put the file there by hand, fetch {official.address} (sha256 {official.sha256})",
            f"elsewhere and save it as {path}",
            f'Or pass the path of a copy: {model}(weights="folder/{official.file}"),',
            f'or use the weights that ship with the course: {model}(weights="course")',
        ]
    )


def download(
    address: str, path: Path, kind: str, digest: str, progress: bool = True
) -> str | None:
    """Fetch a file and verify it.

    Parameters
    ----------
    address : str
        Where it is published.
    path : pathlib.Path
        Where it goes. Its folder is made; the file appears whole and verified, or not at all.
    kind : str
        Kind of the digest: "sha256", "md5", or another that hashlib knows.
    digest : str
        What it must be, in hexadecimal.
    progress : bool
        Show a progress bar.

    Returns
    -------
    str or None
        Why it failed, in plain words; None if it did not.
    """
    http = pooch.HTTPDownloader(
        progressbar=progress, chunk_size=2**16, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)
    )

    def download_and_verify(url, file, _):
        http(url, file, None)
        found = _digest(file, kind)
        if found != digest:  # pooch checks too, but keeps the hash that it got to itself
            raise ValueError(_wrong_hash(found, digest, kind))

    log = pooch.get_logger()
    level = log.level
    log.setLevel("WARNING")  # its lines only repeat what the progress bar and our errors say
    try:
        # pooch writes to a temporary file, moves it into place once the hash is right, and
        # removes it if anything else happens.
        pooch.retrieve(
            address,
            f"{kind}:{digest}",
            fname=path.name,
            path=path.parent,
            downloader=download_and_verify,
        )
    except requests.RequestException as error:  # before OSError and ValueError: it is both
        return _in_plain_words(error)
    except ValueError as error:
        return str(error)
    except OSError as error:
        return f"{path.parent} cannot be written ({error.strerror or error})"
    finally:
        log.setLevel(level)
    return None


def _in_plain_words(error: requests.RequestException) -> str:
    cause = error.args[0] if error.args else None
    text = str(error)
    if isinstance(error, requests.HTTPError):
        code = error.response.status_code
        if code == 404:
            return "no such file on the server (404)"
        return f"the server refused ({code} {error.response.reason})"
    # A stall in the middle of a file comes as a ConnectionError around urllib3's own.
    if isinstance(error, requests.Timeout) or isinstance(
        cause, urllib3.exceptions.ReadTimeoutError
    ):
        return "stalled: the server did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
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
