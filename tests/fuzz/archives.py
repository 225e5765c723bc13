"""Damaged and hostile archives of public sets."""

import contextlib
import hashlib
import io
import os
import random
import tarfile
import zipfile
from pathlib import Path

from course_lib.data import public
from course_lib.data.public import MANIFEST, PublicSet
from tests.fuzz.frame import check, mutated, numbers_of

NAME, WHAT = "archives", "damaged and hostile archives of public sets through `fetch_dataset`"
COUNT, FEW = 200, 10

_NAMES = (
    *("a.jpg", "b/c.jpg", "./d.jpg", "../e.jpg", "/tmp/course-lib-fuzz.jpg", "f/../../g.jpg"),
    *("con.jpg", "h\\i.jpg", "ü.jpg", "j" * 300, "k/" * 60 + "l.jpg", "m.tar.gz", ""),
)


def _tar(random_: random.Random) -> bytes:
    buffer = io.BytesIO()
    mode = random_.choice(("w:gz", "w", "w:gz"))
    with tarfile.open(fileobj=buffer, mode=mode, format=random_.randrange(3)) as file:
        for name in random_.choices(_NAMES[: random_.choice((3, len(_NAMES)))], k=4):
            member = tarfile.TarInfo(name)
            content = random_.randbytes(random_.randrange(2000))
            if random_.random() < 0.1:
                member.type = random_.choice((b"1", b"2", b"3", b"4", b"6", b"S"))
                member.linkname = random_.choice(("../../x", "a.jpg", "/etc/passwd"))
            else:
                member.size = len(content)
            with contextlib.suppress(ValueError):  # the oldest format has no room for long names
                file.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _zip(random_: random.Random) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", random_.choice((0, 8, 12, 14))) as file:
        for name in {*random_.choices(_NAMES[: random_.choice((3, len(_NAMES)))], k=4)} - {""}:
            content = _tar(random_) if name.endswith(".gz") else random_.randbytes(500)
            file.writestr(name, content)
    return buffer.getvalue()


def trial(number: int, folder: Path) -> str:
    """Make an archive, damage it most times, and fetch the set that it is."""
    random_ = numbers_of(NAME, number)
    content = random_.choice((_tar, _zip))(random_)
    if random_.random() < 0.8:
        content = mutated(content, random_, random_.choice((0, 4)))
    cache = folder / "cache"
    cache.mkdir()
    (cache / "tiny.tgz").write_bytes(content)
    digest = hashlib.md5(content).hexdigest()
    tiny = PublicSet("http://nowhere.invalid/tiny.tgz", f"md5:{digest}", 1, "tiny", "free")
    os.environ |= {"COURSE_CACHE": str(cache), "COURSE_OFFLINE": "1"}
    public.PUBLIC_SETS["tiny"] = tiny
    try:
        place = public.fetch_dataset("tiny")
    except public.DatasetError as error:
        check(str(error).startswith(f"{cache / 'tiny.tgz'}: cannot be unpacked into"), f"{error}")
        check([path.name for path in cache.iterdir()] == ["tiny.tgz"], "something stays behind")
        outcome = "refused"
    else:
        check((place / MANIFEST).is_file() and public.fetch_dataset("tiny") == place, "not whole")
        check(not any(path.is_symlink() for path in place.rglob("*")), "a link")
        outcome = "unpacked"
    check([path.name for path in folder.iterdir()] == ["cache"], "a file outside of the folder")
    check(not Path("/tmp/course-lib-fuzz.jpg").exists(), "a file outside of the folder")
    return outcome
