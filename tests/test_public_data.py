"""Public sets of photographs, from a server on this machine with a small made-up archive."""

import contextlib
import hashlib
import io
import shutil
import subprocess
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

import course_lib as cl
from course_lib import files
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
        if self.path in self.server.moved:
            self.send_response(302)
            self.send_header("Location", self.server.moved[self.path])
            self.end_headers()
            self.go_on(2**16, 0)
            return
        self.send_response(200)
        if "endless" in self.path or "drip" in self.path:
            self.end_headers()
            self.go_on(*((1, 0.02) if "drip" in self.path else (2**16, 0)))
            return
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def go_on(self, size, pause):
        """Send for ever: as long as anybody listens, and at most two minutes."""
        with contextlib.suppress(OSError):
            for _ in range(6000):
                self.wfile.write(bytes(size))
                time.sleep(pause)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests, server.moved, server.cache = [], {}, tmp_path / "cache"
        server.daemon_threads = True
        server.block_on_close = False
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

    def interrupted(*arguments):
        extract(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(public, "_extract", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_dataset("tiny", progress=False)
    assert not (server.cache / "tiny").exists()
    monkeypatch.setattr(public, "_extract", extract)
    assert len(cl.list_images(fetch_dataset("tiny", progress=False))) == 2
    assert in_cache(server) == ["tiny", "tiny.tgz"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("endless/tiny.tgz", "the server sends more than 2 MB"),
        ("drip/tiny.tgz", "stalled: the server sends next to nothing"),
    ],
)
def test_a_server_that_never_ends_is_left(server, monkeypatch, name, reason):
    monkeypatch.setattr(files, "SLOWEST_SECONDS", 0.3)
    one = publish(monkeypatch, server, name=name)
    assert f"  {one.address}: {reason}" in failure()
    assert in_cache(server) == []


def test_a_file_that_is_said_to_be_too_large_is_not_begun(server, monkeypatch):
    publish(monkeypatch, server, content=bytes(3_000_000))
    assert "the server sends more than 2 MB" in failure()
    assert in_cache(server) == []


def test_redirections_are_followed_without_their_bodies_and_not_for_ever(server, monkeypatch):
    publish(monkeypatch, server, name="old/tiny.tgz")
    server.moved["/old/tiny.tgz"] = "/new/tiny.tgz"
    assert len(cl.list_images(fetch_dataset("tiny", progress=False))) == 2
    publish(monkeypatch, server, name="round.tgz")
    server.moved["/round.tgz"] = "round.tgz"
    monkeypatch.setenv("COURSE_CACHE", str(server.cache / "other"))
    assert "more than 10 redirections" in failure()


def zeros(wrap):
    """An archive of a megabyte that grows to hundreds of them."""
    buffer = io.BytesIO()
    with wrap(buffer) as file:
        file("zeros.jpg", bytes(110_000_000))
    return buffer.getvalue()


@contextlib.contextmanager
def as_zip(buffer):
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        yield file.writestr


@contextlib.contextmanager
def as_tar(buffer):
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as file:

        def add(name, content):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))

        yield add


@pytest.mark.parametrize(
    ("wrap", "name"), [(as_zip, "tiny.zip"), (as_tar, "tiny.tgz"), (as_zip, "nested.zip")]
)
def test_an_archive_that_grows_without_end_is_left(server, monkeypatch, wrap, name):
    content = zeros(as_tar if name == "nested.zip" else wrap)
    if name == "nested.zip":
        content = zipped({"inner.tar.gz": content})
    publish(monkeypatch, server, content, name)
    assert "it grows to more than 104 MB" in failure()
    assert in_cache(server) == [name]


def test_damaged_archives_are_one_kind_of_error(server, monkeypatch):
    rng = np.random.default_rng(0)
    whole = [("tiny.tgz", GOOD), ("tiny.zip", zipped({"a/b.jpg": picture(), "c.jpg": b"x" * 99}))]
    whole += [("plain.tgz", tar({"a.jpg": picture()}, "w"))]
    failed = 0
    for number in range(60):
        name, content = whole[number % 3]
        damaged = bytearray(content[: rng.integers(len(content))] if number % 2 else content)
        for place in rng.integers(max(1, len(damaged)), size=3):
            damaged[place : place + 1] = rng.bytes(1)
        monkeypatch.setenv("COURSE_CACHE", str(server.cache / str(number)))
        publish(monkeypatch, server, bytes(damaged), name)
        try:
            fetch_dataset("tiny", progress=False)
        except DatasetError as error:
            failed += 1
            assert "cannot be unpacked into" in str(error)
            assert [p.name for p in (server.cache / str(number)).iterdir()] == [name]
    assert failed > 20


def test_a_folder_is_looked_at_before_it_is_believed(server, monkeypatch):
    publish(monkeypatch, server)
    folder = server.cache / "tiny"
    folder.mkdir(parents=True)
    assert fetch_dataset("tiny", progress=False) == folder  # it was empty
    assert fetch_dataset("tiny") == folder and server.requests == ["/tiny.tgz"]
    one = cl.list_images(folder)[0]
    content = one.read_bytes()
    for damage in (one.unlink, lambda: one.write_bytes(content[:-1])):
        damage()
        message = failure()
        assert f"{folder}: files are missing" in message and "fetch it again" in message
        one.write_bytes(content)
        assert fetch_dataset("tiny") == folder
    (folder / public.MANIFEST).unlink()  # as from a version that wrote none, or by hand
    assert "was not unpacked by this version" in failure()


def test_two_processes_unpack_one_set_without_mixing_it(server, monkeypatch):
    publish(monkeypatch, server)
    extract, calls = public._extract, iter(range(1))

    def and_another(archive, folder, room):
        extract(archive, folder, room)
        for _ in calls:  # another process is done first
            fetch_dataset("tiny", progress=False)

    monkeypatch.setattr(public, "_extract", and_another)
    folder = fetch_dataset("tiny", progress=False)
    assert len(cl.list_images(folder)) == 2 and in_cache(server) == ["tiny", "tiny.tgz"]


def test_an_archive_of_a_commit_can_be_put_there_by_hand(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    message = failure()
    command = message.partition("run ")[2].splitlines()[0].split()
    assert command[:2] == ["git", "archive"]
    (tmp_path / "cache").mkdir()
    git(tmp_path / "published", *command[1:])
    (tmp_path / "published" / "tiny.tar").rename(tmp_path / "cache" / "tiny.tar")
    assert [path.name for path in cl.list_images(fetch_dataset("tiny"))] == ["a.jpg"]


def test_git_is_stopped_when_it_fetches_too_much_or_nothing(repository, monkeypatch, tmp_path):
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    monkeypatch.setenv("PATH", str(script.parent), prepend=":")
    for lines, reason in (
        ("head -c 110000000 /dev/zero > pack; exec sleep 60", "it is more than 105 MB"),
        ("exec sleep 60", "git has written nothing for 1 seconds"),
    ):
        script.write_text(f'#!/bin/sh\ncase "$*" in *init*) ;; *) {lines};; esac\n')
        script.chmod(0o755)
        monkeypatch.setattr(public, "GIT_PATIENCE", 1.0)
        assert f"could not be fetched: {reason}" in failure()
        assert list((tmp_path / "cache").iterdir()) == []


def test_a_set_that_nobody_knows():
    with pytest.raises(ValueError, match="no set called 'imagenet'; there are imagenette"):
        fetch_dataset("imagenet")
