"""Larger public sets of photographs: fetched once, verified, unpacked.

    python -m course_lib.data.public imagenette

None of them ships with the course, and each keeps its own terms, which its row names. Some are
archives; others lie as plain files in a public git repository, of which one folder of one commit
is taken. For those git is needed; it verifies what it fetches by itself, since a commit's name is
a digest of all that is in it.

The environment variables that `files` names are heeded.
"""

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from course_lib.console import accept_any_letter
from course_lib.files import DownloadError, cache_folder, fetch, is_offline

#: What a set's folder holds by the names and sizes of its files: written last, and compared each
#: time. Without a dot in its name, so that nothing takes it for a picture.
MANIFEST = "MANIFEST"
#: Seconds that git may go on without writing anything.
GIT_PATIENCE = 600.0


class DatasetError(RuntimeError):
    """A set of pictures cannot be fetched or unpacked; the message says why and what to do."""


_IMAGENET = "a part of ImageNet: research and teaching, not commercial"
_UNSTATED = "no licence is given: look at it as research and teaching alone"


@dataclass(frozen=True)
class PublicSet:
    """A set of pictures that somebody publishes.

    Attributes
    ----------
    address : str
        Where the archive is, or the git repository.
    checksum : str
        Of the archive, as "md5:..." or "sha256:...": what is publicly on record for these sets.
        Of a repository "commit:..." and the commit's name.
    megabytes : int
        What is to be downloaded, about; much more is refused, and so is more than four times that
        when it is unpacked.
    description : str
        What is in it.
    terms : str
        What may be done with the pictures.
    path : str
        Of a repository: the folder that has the pictures.
    """

    address: str
    checksum: str
    megabytes: int
    description: str
    terms: str
    path: str = "."


#: Where the checksums come from:
#: imagenette, imagenette-320: torchvision, ``torchvision/datasets/imagenette.py``.
#: tiny-imagenet: Avalanche, ``avalanche/benchmarks/datasets/tiny_imagenet``.
#: caltech-101: torch for R (mlverse/torchvision), ``R/dataset-caltech.R``.
#: pacs: WasifAhmed1917/ATML, ``PA1/README.md``. The authors' own link has moved more than once and
#: has no checksum on record; this is a copy, at a fixed revision.
#: The repositories are copies that others keep, at the commit that was looked at.
PUBLIC_SETS = {
    "imagenette": PublicSet(
        "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz",
        "md5:e793b78cc4c9e9a4ccc0c1155377a412",
        99,
        "13,394 photographs of ten kinds of things, 160 pixels on the shorter side",
        _IMAGENET,
    ),
    "imagenette-320": PublicSet(
        "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz",
        "md5:3df6f0d01a2c9592104656642f5e78a3",
        342,
        "the same, 320 pixels on the shorter side",
        _IMAGENET,
    ),
    "imagenette-224": PublicSet(
        "https://github.com/thunderInfy/imagenette",
        "commit:b850f030ff0701c36a4adc8b928ea9483a46915b",
        150,
        "the same, 224 x 224 pixels, from a repository",
        _IMAGENET,
    ),
    "tiny-imagenet": PublicSet(
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        "md5:90528d7ca1a48142e341f4ef8d21d0de",
        248,
        "120,000 photographs of 200 kinds of things, 64 x 64 pixels",
        _IMAGENET,
    ),
    "mini-imagenet": PublicSet(
        "https://github.com/Deo0330/split_minidataset",
        "commit:557ebcae0db23651f9370f54a5f31b1f0fd4064d",
        247,
        "60,000 photographs of 100 kinds of things, 84 x 84 pixels",
        _IMAGENET,
    ),
    "miniplaces": PublicSet(
        "https://github.com/rathull/CTFs",
        "commit:f35c219885f163ca00a045236dd44be489598837",
        482,
        "110,000 photographs of 100 kinds of places, 128 x 128 pixels",
        "a part of MIT's Places: research and teaching, not commercial",
        "data/images",
    ),
    "flickr8k": PublicSet(
        "https://github.com/RlNZLER/Image-Text-Matching",
        "commit:56a15d913c3f290e2ee896386ece6076c1eea02e",
        217,
        "8,091 photographs of people, dogs and the outdoors, 224 x 224 pixels",
        "photographs of Flickr's users: research and teaching, not commercial",
        "data/images",
    ),
    "intel-scenes": PublicSet(
        "https://github.com/yadavaditya13/Image_Classification_Using_Deep_Learning",
        "commit:029bdafbcdc4b2ab866fd3706487c982be58b54d",
        369,
        "24,340 photographs of six kinds of scenes, 150 x 150 pixels",
        _UNSTATED,
        "dataset",
    ),
    "caltech-101": PublicSet(
        "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
        "md5:3138e1922a9193bfa496528edbbc45d0",
        137,
        "9,144 photographs of 101 kinds of things, about 300 x 200 pixels",
        "Creative Commons BY 4.0 for the collection",
    ),
    "pacs": PublicSet(
        "https://huggingface.co/datasets/Azeez577/PACS/resolve/"
        "fb1ee820df83b4e9957251d9f6973eb6d424c494/PACS.zip",
        "sha256:42bf567f1ed8a01d522e47e4a677e2a3149577bbd6fcbb38bedfdd73cb59e147",
        184,
        "1,670 photographs of seven kinds of things, 227 x 227 pixels, in the folder photo; "
        "paintings, cartoons and sketches of the same beside it",
        _UNSTATED,
    ),
}


def fetch_dataset(name: str, *, progress: bool = True) -> Path:
    """Download a public set of photographs, once, verify and unpack it.

    Parameters
    ----------
    name : str
        One of `PUBLIC_SETS`.
    progress : bool
        Show a progress bar while downloading.

    Returns
    -------
    pathlib.Path
        A folder in the cache folder, for `list_images`. If it was there already, with every file
        that was unpacked, the network is not touched.

    Raises
    ------
    ValueError
        If no set has this name.
    DatasetError
        If the archive cannot be had or unpacked; the message says where to put it by hand.
    """
    if name not in PUBLIC_SETS:
        raise ValueError(f"no set called {name!r}; there are {', '.join(PUBLIC_SETS)}")
    public = PUBLIC_SETS[name]
    folder = cache_folder() / name
    if folder.is_dir() and any(folder.iterdir()):
        if _is_whole(folder, public):
            return folder
        raise DatasetError(
            f"{folder}: files are missing, or it was not unpacked by this version of the course; "
            "move it away or remove it, then fetch it again"
        )
    what = f"the pictures of {name} (about {public.megabytes} MB)"
    kind, _, commit = public.checksum.partition(":")
    try:
        if kind == "commit":
            _fetch_commit(public, commit, folder, what)
        else:
            archive = fetch(
                *(public.address, public.checksum, what),
                megabytes=public.megabytes,
                progress=progress,
            )
            _unpack(archive, folder, public)
    except DownloadError as error:
        raise DatasetError(str(error)) from None
    return folder


def _is_whole(folder: Path, public: PublicSet) -> bool:
    """Whether a folder has all that was unpacked into it, from this version of the set."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return manifest["checksum"] == public.checksum and all(
            (folder / name).stat().st_size == size for name, size in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _fetch_commit(public: PublicSet, commit: str, folder: Path, what: str) -> None:
    """Take a folder out of one commit of a repository, without its history."""
    given = folder.with_name(f"{folder.name}.tar")
    if given.is_file():
        _unpack(given, folder, public)
        return
    inside = f"{commit}:{public.path}".removesuffix(":.")
    by_hand = (
        f"To put them there by hand, run git archive --output {given.name} {inside}\n"
        f"in a clone of {public.address}\nelsewhere and save it as {given}"
    )
    if is_offline():
        raise DatasetError(
            f"{what} are not on this machine, and COURSE_OFFLINE forbids to download them.\n"
            + by_hand
        )
    if shutil.which("git") is None:
        raise DatasetError(f"{what} lie in a git repository, and git is not installed.\n{by_hand}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # all in one folder, so that an interrupt leaves nothing that looks whole
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        archive = Path(temporary) / "pictures.tar"
        for arguments in (
            ["init", "--quiet", "--bare", "."],
            ["fetch", "--quiet", "--depth", "1", public.address, commit],
            ["archive", "--output", archive.name, inside],
        ):
            reason = _git(arguments, Path(temporary), 5e6 * public.megabytes + 1e8)
            if reason:
                raise DatasetError(f"{what} could not be fetched: {reason}\n{by_hand}")
        _unpack(archive, folder, public)


def _git(arguments: Sequence[str], folder: Path, most: float) -> str | None:
    """Run git in a folder, which may grow to so many bytes; return why it failed, or None."""
    slow = ["-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60"]
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    said = folder / "said"  # not a pipe, which git's helpers would hold open after its end
    with said.open("wb") as file:
        process = subprocess.Popen(
            ["git", *slow, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
    size, since = 0, time.monotonic()
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                if process.wait(timeout=1) == 0:
                    return None
                lines = said.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                return lines[-1] if lines else "git failed"
            with suppress(OSError):  # files come and go
                now = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                if now != size:
                    size, since = now, time.monotonic()
            if size > most:
                return f"it is more than {most / 1e6:.0f} MB"
            if time.monotonic() - since > GIT_PATIENCE:
                return f"git has written nothing for {GIT_PATIENCE:.0f} seconds"
    finally:
        process.kill()
        process.wait()


def _unpack(archive: Path, folder: Path, public: PublicSet) -> None:
    """Unpack an archive, and those in it; the folder appears when all of it is there."""
    try:
        # in a folder of its own, so that two processes never mix theirs
        with tempfile.TemporaryDirectory(
            dir=folder.parent, prefix=f".{folder.name}."
        ) as temporary:
            part = Path(temporary) / folder.name
            part.mkdir()
            room = _Room(4e6 * public.megabytes + 1e8)
            _extract(archive, part, room)
            # Caltech-101 is a tar archive in a zip archive. Names with a dot in front are macOS's
            # notes.
            for inner in list(part.rglob("*.tar.gz")):
                if not inner.name.startswith("."):
                    _extract(inner, inner.parent, room)
                    inner.unlink()
            files = [path for path in part.rglob("*") if path.is_file()]
            sizes = {path.relative_to(part).as_posix(): path.stat().st_size for path in files}
            manifest = json.dumps({"checksum": public.checksum, "files": sizes})
            (part / MANIFEST).write_text(manifest, encoding="utf-8")
            with suppress(OSError):
                folder.rmdir()  # an empty one, which Windows would not replace
            with suppress(OSError):
                part.replace(folder)
            if not _is_whole(folder, public):  # neither this process nor another was able to
                raise OSError("the folder cannot be put into its place")
    except Exception as error:  # there is no end to what a damaged archive makes Python raise
        reason = str(error) or type(error).__name__
        raise DatasetError(f"{archive}: cannot be unpacked into {folder} ({reason})") from None


class _Room:
    """Bytes that may still be unpacked."""

    def __init__(self, size: float):
        self.size, self.left = size, size

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise OSError(f"it grows to more than {self.size / 1e6:.0f} MB")


class _Limited:
    """A stream that is read no further than there is room."""

    def __init__(self, file: BinaryIO, room: _Room):
        self._file, self._room = file, room

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._room.take(len(data))
        return data


def _extract(archive: Path, folder: Path, room: _Room) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            room.take(sum(member.file_size for member in file.infolist()))
            file.extractall(folder)  # keeps every member inside of the folder by itself
        return
    with archive.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    # The filter, too, keeps members inside. Older versions of Python lack it.
    safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with (
        (gzip.open if packed else open)(archive, "rb") as file,
        tarfile.open(fileobj=_Limited(file, room), mode="r|") as members,
    ):
        for member in members:
            path = Path(member.name)
            inside = not path.is_absolute() and ".." not in path.parts
            if not (inside and (member.isfile() or member.isdir()) and not member.issparse()):
                raise tarfile.TarError(f"{member.name!r} is no file or folder inside the archive")
            members.extract(member, folder, **safe)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch a set and print its folder; returns the exit status."""
    accept_any_letter()
    parser = argparse.ArgumentParser(prog="python -m course_lib.data.public")
    parser.description = "fetch a public set of photographs, once, and print its folder"
    parser.epilog = "; ".join(
        f"{key}: {one.description} ({one.terms})" for key, one in PUBLIC_SETS.items()
    )
    parser.add_argument("name", choices=PUBLIC_SETS)
    try:
        print(fetch_dataset(parser.parse_args(arguments).name))
    except DatasetError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
