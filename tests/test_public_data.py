"""Public sets of photographs, from a server on this machine with a small made-up archive."""

import hashlib
import io
import shutil
import subprocess
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

import course_lib as cl
from course_lib.data import public
from course_lib.data.public import PUBLIC_SETS, DatasetError, PublicSet, fetch_dataset, main


def picture():
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def tar(members, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):  # a link to somewhere
                member.type, member.linkname = tarfile.SYMTYPE, content
                file.addfile(member)
            else:
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


GOOD = tar({"set/train/a.JPEG": picture(), "set/val/b.JPEG": picture(), "set/labels.csv": b"a"})


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        if "missing" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests, server.cache = [], tmp_path / "cache"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("COURSE_CACHE", str(server.cache))
        monkeypatch.delenv("COURSE_OFFLINE", raising=False)
        yield server
        server.shutdown()
        thread.join()


def publish(monkeypatch, server, content=GOOD, name="tiny.tgz", promised=None, kind="md5"):
    server.content = content
    digest = hashlib.new(kind, content if promised is None else promised).hexdigest()
    address = f"http://127.0.0.1:{server.server_port}/{name}"
    one = PublicSet(address, f"{kind}:{digest}", 1, "two pictures", "free")
    monkeypatch.setitem(PUBLIC_SETS, "tiny", one)
    return PUBLIC_SETS["tiny"]


def in_cache(server):
    return sorted(path.name for path in server.cache.iterdir()) if server.cache.exists() else []


def failure():
    with pytest.raises(DatasetError) as caught:
        fetch_dataset("tiny", progress=False)
    return str(caught.value)


def test_every_set_has_an_address_and_a_checksum():
    for one in PUBLIC_SETS.values():
        kind, digest = one.checksum.split(":")
        endings = "" if kind == "commit" else (".tgz", ".zip")
        assert one.address.startswith("http") and one.address.endswith(endings)
        size = 20 if kind == "commit" else hashlib.new(kind).digest_size
        assert len(bytes.fromhex(digest)) == size
        assert one.terms
    assert len({one.checksum for one in PUBLIC_SETS.values()}) == len(PUBLIC_SETS)
    # archives lie side by side in the cache folder
    assert len({one.address.rsplit("/", 1)[-1] for one in PUBLIC_SETS.values()}) == len(
        PUBLIC_SETS
    )


def test_a_set_is_fetched_verified_and_unpacked_once(server, monkeypatch, capfd):
    publish(monkeypatch, server)
    folder = fetch_dataset("tiny", progress=False)
    assert folder == server.cache / "tiny"
    names = [path.relative_to(folder).as_posix() for path in cl.list_images(folder)]
    assert names == ["set/train/a.JPEG", "set/val/b.JPEG"]
    assert cl.load_image(cl.list_images(folder)[0]).shape == (8, 8, 3)
    assert fetch_dataset("tiny", progress=False) == folder
    assert server.requests == ["/tiny.tgz"] and in_cache(server) == ["tiny", "tiny.tgz"]
    assert capfd.readouterr() == ("", "")


def test_a_progress_bar_is_shown_and_the_command_prints_the_folder(server, monkeypatch, capfd):
    publish(monkeypatch, server)
    assert main(["tiny"]) == 0
    captured = capfd.readouterr()
    assert "100%" in captured.err
    assert captured.out.splitlines() == [str(server.cache / "tiny")]
    publish(monkeypatch, server, name="missing.tgz")
    monkeypatch.setenv("COURSE_CACHE", str(server.cache / "other"))
    assert main(["tiny"]) == 1
    assert "no such file on the server (404)" in capfd.readouterr().err


def git(folder, *arguments):
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(monkeypatch, tmp_path):
    """A repository of two commits, of which the table has the first."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    folder = tmp_path / "published"
    (folder / "data" / "train").mkdir(parents=True)
    (folder / "data" / "train" / "a.jpg").write_bytes(picture())
    (folder / "notes.txt").write_text("not asked for")
    git(folder, "init", "--quiet")
    git(folder, "config", "uploadpack.allowReachableSHA1InWant", "true")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "one")
    commit = git(folder, "rev-parse", "HEAD")
    git(folder, "rm", "--quiet", "data/train/a.jpg")
    git(folder, "commit", "--quiet", "--message", "gone")

    def publish_commit(commit=commit, path="data"):
        one = PublicSet(str(folder), f"commit:{commit}", 1, "a picture", "free", path)
        monkeypatch.setitem(PUBLIC_SETS, "tiny", one)

    publish_commit()
    return publish_commit


def test_a_folder_of_one_commit_is_taken_out_of_a_repository(repository, tmp_path):
    folder = fetch_dataset("tiny")
    assert folder == tmp_path / "cache" / "tiny"
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*.*")] == ["train/a.jpg"]
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def test_the_whole_of_a_commit_can_be_taken(repository):
    repository(path=".")
    names = sorted(path.name for path in fetch_dataset("tiny").rglob("*.*"))
    assert names == ["a.jpg", "notes.txt"]


def test_a_commit_that_is_not_there_is_said_and_leaves_nothing(repository, tmp_path):
    repository(commit="0" * 40)
    message = failure()
    assert "could not be fetched: " in message and "0" * 40 in message
    assert f"save it as {tmp_path / 'cache' / 'tiny'}" in message
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_repository_is_not_asked_offline_nor_without_git(repository, monkeypatch):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    assert "COURSE_OFFLINE forbids" in failure()
    monkeypatch.delenv("COURSE_OFFLINE")
    monkeypatch.setattr(public.shutil, "which", lambda name: None)
    assert "git is not installed" in failure()


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_a_wrong_checksum_is_refused(server, monkeypatch, kind):
    one = publish(monkeypatch, server, promised=b"something else", kind=kind)
    message = failure()
    found, promised = (hashlib.new(kind, x).hexdigest() for x in (GOOD, b"something else"))
    assert f"{one.address}: wrong {kind}: got {found}" in message
    assert f"fetch {one.address} ({kind} {promised}" in message
    assert f"save it as {server.cache / 'tiny.tgz'}" in message
    assert in_cache(server) == []


def test_offline_the_server_is_never_asked_and_the_way_by_hand_works(server, monkeypatch):
    publish(monkeypatch, server)
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    message = failure()
    assert "COURSE_OFFLINE forbids" in message
    assert f"save it as {server.cache / 'tiny.tgz'}" in message
    assert server.requests == [] and in_cache(server) == []
    server.cache.mkdir()
    (server.cache / "tiny.tgz").write_bytes(GOOD)
    assert len(cl.list_images(fetch_dataset("tiny"))) == 2
    assert server.requests == []


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_a_damaged_archive_in_the_cache_is_replaced(server, monkeypatch, kind):
    publish(monkeypatch, server, kind=kind)
    server.cache.mkdir()
    (server.cache / "tiny.tgz").write_bytes(GOOD[:-1])
    assert len(cl.list_images(fetch_dataset("tiny", progress=False))) == 2
    assert server.requests == ["/tiny.tgz"]


def test_an_archive_in_an_archive_is_unpacked_too(server, monkeypatch):
    inner = tar({"things/a.jpg": picture()})
    content = zipped({"all/things.tar.gz": inner, "__MACOSX/all/._things.tar.gz": b"notes"})
    publish(monkeypatch, server, content, "tiny.zip")
    folder = fetch_dataset("tiny", progress=False)
    names = [path.relative_to(folder).as_posix() for path in cl.list_images(folder)]
    assert names == ["all/things/a.jpg"]


@pytest.mark.parametrize(
    "members",
    [
        {"../outside.jpg": b"x"},
        {"/tmp/course-lib-outside.jpg": b"x"},
        {"inside/../../outside.jpg": b"x"},
        {"link": "../../outside"},
    ],
)
def test_nothing_is_unpacked_outside_of_the_folder(server, monkeypatch, tmp_path, members):
    publish(monkeypatch, server, tar(members))
    assert "is no file or folder inside the archive" in failure()
    assert in_cache(server) == ["tiny.tgz"]
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_a_zip_archive_cannot_reach_outside_either(server, monkeypatch, tmp_path):
    content = zipped({"../outside.jpg": picture()})
    publish(monkeypatch, server, content, "tiny.zip")
    folder = fetch_dataset("tiny", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert [path.parent for path in cl.list_images(folder)] == [folder]


def test_an_interrupted_unpacking_is_taken_up_afresh(server, monkeypatch):
    publish(monkeypatch, server)
    extract = public._extract

    def interrupted(archive, folder):
        extract(archive, folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(public, "_extract", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_dataset("tiny", progress=False)
    assert not (server.cache / "tiny").exists()
    monkeypatch.setattr(public, "_extract", extract)
    assert len(cl.list_images(fetch_dataset("tiny", progress=False))) == 2
    assert in_cache(server) == ["tiny", "tiny.tgz"]


def test_a_set_that_nobody_knows():
    with pytest.raises(ValueError, match="no set called 'imagenet'; there are imagenette"):
        fetch_dataset("imagenet")
