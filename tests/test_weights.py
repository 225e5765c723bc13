import hashlib
import os
import threading
import tracemalloc
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import course_lib as cl
from course_lib import files
from course_lib.models import (
    ECCV16,
    NETWORKS,
    SIGGRAPH17,
    UNetGenerator,
    WeightsError,
    find_weights,
    load_into,
    loading,
    read_weights,
    save_weights,
    shipped_weights,
    weights,
)
from course_lib.models.networks import Weights

L = torch.full((1, 1, 16, 24), 50.0)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


# Files


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return ECCV16(0.03, temperature=0.5)


@pytest.fixture
def saved(network, tmp_path):
    path = tmp_path / "net.safetensors"
    save_weights(path, network, {"input_size": "32", "licence": "BSD-3-Clause"})
    return path


def changed(path, change, metadata=None):
    """Write a file anew after `change` did something to its tensors."""
    state, header = read_weights(path)
    change(state)
    save_file(state, path, header if metadata is None else metadata)
    return path


def refusal(path, load=cl.eccv16, **options):
    """The message, which must be a single line that names the file."""
    with pytest.raises(WeightsError) as caught:
        load(weights=path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def test_a_saved_network_comes_back_with_its_settings(network, saved):
    loaded = cl.eccv16(weights=saved)
    assert isinstance(loaded, ECCV16) and not loaded.training
    assert (loaded.width, loaded.temperature, loaded.input_size) == (0.03, 0.5, 32)
    with torch.no_grad():
        error = (loaded(L) - network.eval()(L)).abs().max()
    assert error < 0.2  # of float16, in Lab units
    assert all(value.dtype != torch.float16 for value in loaded.state_dict().values())
    assert cl.eccv16(weights=str(saved), temperature=2.0).temperature == 2.0


def test_siggraph17_comes_back_too(tmp_path):
    path = tmp_path / "net.safetensors"
    network = SIGGRAPH17(0.04)
    save_weights(path, network)
    loaded = cl.siggraph17(weights=path)
    for key, value in network.state_dict().items():
        assert torch.allclose(loaded.state_dict()[key], value, atol=1e-3), key


def test_random_weights_need_no_file():
    network = cl.eccv16(weights=None, width=0.03)
    assert network.training and not hasattr(network, "input_size")
    assert cl.siggraph17(weights=None, width=0.03).training


def test_the_header_says_what_the_file_is(saved):
    with safe_open(saved, framework="pt") as file:
        assert file.metadata() == {
            "architecture": "eccv16",
            "width": "0.03",
            "temperature": "0.5",
            "input_size": "32",
            "licence": "BSD-3-Clause",
        }
    state, _ = read_weights(saved)
    assert all((value.dtype == torch.float16) == (value.ndim > 1) for value in state.values())


def test_the_same_weights_give_the_same_bytes(network, tmp_path):
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    first = save_weights(one, network, {"b": "2", "a": "1"})
    second = save_weights(two, network, {"a": "1", "b": "2"})
    assert one.read_bytes() == two.read_bytes()
    assert first == second == sha256(one.read_bytes())
    assert save_weights(two, network, {"a": "ü"}) != first
    assert cl.eccv16(weights=two).width == 0.03


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_file_is_saved_whole_or_not_at_all(network, saved, monkeypatch, error):
    before = saved.read_bytes()

    @contextmanager
    def full_disk(path):
        with files.whole_file(path) as file:
            yield file
            file.truncate(file.tell() // 2)
            raise error

    monkeypatch.setattr(weights, "whole_file", full_disk)
    for path in (saved, saved.with_name("new.safetensors")):
        with pytest.raises((WeightsError, KeyboardInterrupt)) as caught:
            save_weights(path, network)
        if isinstance(caught.value, WeightsError):
            assert str(caught.value) == f"{path}: cannot be written (No space left on device)"
    assert list(saved.parent.iterdir()) == [saved] and saved.read_bytes() == before


def test_what_cannot_be_saved(network, tmp_path):
    with pytest.raises(ValueError, match=r"end the name in \.safetensors"):
        save_weights(tmp_path / "net.pth", network)
    with pytest.raises(ValueError, match="text to text"):
        save_weights(tmp_path / "net.safetensors", network, {"date": 2026})
    with pytest.raises(WeightsError, match="cannot be written"):
        save_weights(tmp_path / "missing" / "net.safetensors", network)
    too_large = ECCV16(0.03)
    with torch.no_grad():
        too_large.model_out.weight[0, 0] = 70_000  # float16 ends at 65504
    with pytest.raises(WeightsError, match=r"model_out\.weight has values that are not finite"):
        save_weights(tmp_path / "net.safetensors", too_large)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_plain_state_dict_loads(network, tmp_path, suffix, zipped):
    path = tmp_path / f"net{suffix}"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=zipped)
    loaded = cl.eccv16(weights=path)
    assert loaded.temperature == 1
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


def test_a_missing_an_unexpected_and_a_misshapen_entry_are_named(saved):
    def change(state):
        del state["model5.0.bias"]
        state["extra.weight"] = torch.zeros(1)
        state["model8.6.bias"] = torch.zeros(7)

    message = refusal(changed(saved, change))
    assert "1 missing: model5.0.bias" in message
    assert "1 unexpected: extra.weight" in message
    assert "1 of another shape: model8.6.bias (file (7,), network (313,))" in message


def test_of_many_wrong_entries_a_few_are_named(saved):
    message = refusal(changed(saved, dict.clear))
    assert "82 missing" in message and len(message) - len(str(saved)) < 300


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(saved, value):
    message = refusal(changed(saved, lambda state: state["model5.0.bias"].fill_(value)))
    assert "not finite" in message and "model5.0.bias" in message


def test_a_refused_file_leaves_the_network_as_it_was(saved):
    state, _ = read_weights(saved)
    state["model8.6.bias"] = torch.full((313,), float("nan"))
    network = ECCV16(0.03)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(WeightsError, match=r"^mine: 1 entries"):
        load_into(network, state, "mine")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_weights_of_the_other_network_are_refused(saved, network, tmp_path):
    message = refusal(saved, cl.siggraph17)
    assert "holds weights of eccv16, not siggraph17" in message
    assert message.endswith("; load it as eccv16")
    headless = tmp_path / "headless.pth"  # the names of the entries tell it too
    torch.save(network.state_dict(), headless)
    assert "holds weights of eccv16, not siggraph17" in refusal(headless, cl.siggraph17)


def test_weights_of_something_else_are_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")
    message = refusal(tmp_path / "linear.pth")
    assert "not weights for this ECCV16" in message and "2 unexpected: weight, bias" in message


def test_a_width_that_contradicts_the_file_is_refused(saved):
    message = refusal(saved, width=0.5)
    assert "the call says width 0.5, but its tensors have 0.0293; leave the width out" in message
    assert cl.eccv16(weights=saved, width=0.03).width == 0.03
    changed(saved, lambda state: None, {"width": "1.0"})
    assert "its header says width 1, but its tensors have" in refusal(saved)


@pytest.mark.parametrize("key", ["width", "temperature", "input_size"])
@pytest.mark.parametrize("value", ["wide", "-1", "nan", "inf", ""])
def test_a_number_in_the_header_must_be_one(saved, key, value):
    message = refusal(changed(saved, lambda state: None, {key: value}))
    assert f"its header has {key} {value!r}" in message


def test_files_that_cannot_hold_weights(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.safetensors")
    assert "this is a folder" in refusal(tmp_path)
    for name in ("net.h5", "net"):
        (tmp_path / name).write_bytes(b"x")
        assert "files that end in .safetensors, .pth, .pt" in refusal(tmp_path / name)
    for name in ("a.safetensors", "a.pth", "a.pt"):
        (tmp_path / name).touch()
        assert "the file is empty" in refusal(tmp_path / name)


def test_damaged_safetensors_are_refused(saved):
    content = saved.read_bytes()
    for broken in (
        content[:5],
        content[:1000],
        content[:-10],
        content + b"tail",
        b"\xff" * 8 + content[8:],
        content[:8] + b"nonsense" + content[16:],
        b"hello",
    ):
        saved.write_bytes(broken)
        assert "damaged or cut short" in refusal(saved)


def test_damaged_state_dicts_are_refused(network, tmp_path):
    path = tmp_path / "net.pth"
    torch.save(network.state_dict(), path)
    content = path.read_bytes()
    for broken in (content[:5], content[: len(content) // 2], content[:-30], b"hello", b"\x80"):
        path.write_bytes(broken)
        assert "damaged or cut short" in refusal(path)


# Files that claim what is not so


def refused(path, load=cl.eccv16):
    """The message; nothing large may have been made on the way to it."""
    tracemalloc.start()
    message = refusal(path, load)
    assert tracemalloc.get_traced_memory()[1] < 2**27
    tracemalloc.stop()
    return message


def state_of(width):
    """Names, shapes and types of a network of any width, without its numbers."""
    with torch.device("meta"):
        return ECCV16(width).state_dict()


@pytest.mark.parametrize("width", [8, 30, 1e5])
def test_empty_tensors_that_claim_a_huge_network_are_refused(tmp_path, width):
    rows = round(512 * width)
    state = {key: torch.zeros(0) for key in state_of(0.03)}
    state["model8.0.weight"] = torch.zeros(rows, 0)
    save_file(state, tmp_path / "a.safetensors", {"architecture": "eccv16", "width": str(width)})
    message = refused(tmp_path / "a.safetensors")
    assert "of another shape" in message or "a network that cannot be" in message


@pytest.mark.parametrize("shared", [True, False])
def test_few_numbers_shown_as_many_are_refused(tmp_path, shared):
    one = torch.zeros(1)
    state = {
        key: (one if shared else torch.zeros(1)).expand(value.shape)
        for key, value in state_of(8).items()
        if not key.endswith("num_batches_tracked")
    }
    torch.save(state, tmp_path / "a.pth")
    assert "claim more numbers than it holds" in refused(tmp_path / "a.pth")


def test_an_archive_that_unpacks_to_far_more_is_refused(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as old,
        zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for part in old.infolist():
            new.writestr(part.filename, old.read(part))
    assert "its parts are packed or overlap" in refused(tmp_path / "b.pth")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("a sparse tensor", lambda x: x.to_sparse()),
        ("a sparse tensor", lambda x: x.to_sparse_csr()),
        ("a tensor without numbers", lambda x: x.to("meta")),
        ("a quantized tensor", lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8)),
        ("a nested tensor", lambda x: torch.nested.nested_tensor([x, x[:1]])),
        ("a tensor of complex numbers", lambda x: x.to(torch.complex64)),
    ],
)
def test_tensors_of_odd_kinds_are_refused(network, tmp_path, kind, make):
    state = network.state_dict()
    state["model8.6.weight"] = make(torch.zeros(4, 4))
    torch.save(dict(state), tmp_path / "a.pth")
    message = refusal(tmp_path / "a.pth")
    # where PyTorch has no plain way to read such a tensor, that is said instead
    assert kind in message or "could run any code" in message or "damaged" in message
    with pytest.raises(WeightsError, match=f"^mine: .*{kind}"):
        load_into(network, state, "mine")


@pytest.mark.parametrize("value", ["1e9", "0.2", "4", "2049", "64.5", "9" * 5000])
def test_an_input_size_that_no_picture_has_is_refused(saved, value):
    message = refusal(changed(saved, lambda state: None, {"input_size": value}))
    assert "its header has input_size" in message and len(message) < 400


def test_a_depth_that_no_network_has_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save_weights(path, UNetGenerator(0.03, depth=3))
    changed(path, lambda state: None, {"architecture": "unetgenerator", "depth": "1000000"})
    with pytest.raises(WeightsError, match=r"a network that cannot be .depth must be in"):
        cl.load_file(path)


def test_names_in_a_file_cannot_break_the_line_or_fill_the_screen(saved):
    message = refusal(changed(saved, lambda state: None, {"architecture": "a\nb" * 10_000}))
    assert len(message) < 400
    more = {"x\ny" * 999: torch.zeros(1)}
    message = refusal(changed(saved, lambda state: state.update(more), {}))
    assert "1 unexpected: x?y" in message and len(message) < 400


def test_files_from_before_pytorch_counted_batches_load(network, tmp_path):
    state = {k: v for k, v in network.state_dict().items() if not k.endswith("batches_tracked")}
    assert len(state) < len(network.state_dict())
    torch.save(state, tmp_path / "old.pth")
    loaded = cl.eccv16(weights=tmp_path / "old.pth")
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in state.items())


def test_pipes_and_files_far_too_large_are_refused(tmp_path):
    with (tmp_path / "a.safetensors").open("wb") as file:
        file.truncate(50 * 10**9)  # sparse: it takes no room
    assert "bytes; no network here has so many" in refusal(tmp_path / "a.safetensors")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "a.pth")
        assert "a device or a pipe" in refusal(tmp_path / "a.pth")
    assert "cannot be read" in refusal(tmp_path / ("x" * 300 + ".pth"))


class Evil:
    def __init__(self, witness):
        self.witness = str(witness)

    def __reduce__(self):
        return os.mkdir, (self.witness,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_does_not_run(tmp_path, zipped):
    witness, path = tmp_path / "ran", tmp_path / "net.pth"
    torch.save({"weight": Evil(witness)}, path, _use_new_zipfile_serialization=zipped)
    message = refusal(path)
    assert "could run any code, and was not loaded" in message
    assert not witness.exists()
    torch.load(path, weights_only=False)  # the file does hold what it should
    assert witness.exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_program_in_torchscript_does_not_run(tmp_path):
    # before 2.6 PyTorch ran such archives under weights_only=True too: CVE-2025-32434
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "net.pth")
    assert "holds a program, which could run any code" in refusal(tmp_path / "net.pth")


def test_a_whole_network_in_a_pickle_is_refused(network, tmp_path):
    torch.save(network, tmp_path / "net.pt")
    assert "torch.save(network.state_dict(), path)" in refusal(tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("held", "named"),
    [([torch.zeros(1)], "list"), ({"epoch": 3, "state_dict": {}}, "epoch, state_dict")],
)
def test_other_things_in_a_pickle_are_named(tmp_path, held, named):
    torch.save(held, tmp_path / "net.pth")
    message = refusal(tmp_path / "net.pth")
    assert "expected a plain state dict" in message and named in message


@pytest.mark.parametrize("word", ["offical", "none", "COURSE"])
def test_a_word_that_means_nothing(word):
    with pytest.raises(ValueError, match='use "course", "official", None or the path of'):
        cl.eccv16(weights=word)


# Shipped weights


@pytest.mark.parametrize("model", shipped_weights())
def test_the_shipped_files_are_those_that_the_code_names(model):
    shipped = shipped_weights()[model]
    path = files.data_folder() / "weights" / shipped.file
    assert sha256(path.read_bytes()) == shipped.sha256
    assert find_weights(model, "course") == path
    _, header = read_weights(path)
    assert header["architecture"] == model and float(header["width"]) > 0
    assert int(header["input_size"]) >= 32


def test_the_shipped_eccv16_colours_without_a_network(monkeypatch):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    network = cl.eccv16()
    with torch.inference_mode():
        ab = network(L)
    assert ab.shape == (1, 2, 16, 24) and torch.isfinite(ab).all()
    assert network.input_size >= 32 and not network.training


@pytest.mark.parametrize("model", ["eccv16"])
def test_what_has_no_content_gets_next_to_no_colour(model):
    network = cl.load_network(model)
    width = np.arange(160) * np.ones((120, 1))
    flat = [np.full((120, 160), level) for level in range(0, 256, 15)]
    slopes = [level + width // 4 for level in (0, 100, 200)]
    noise = [level + np.random.default_rng(0).normal(0, 2, (120, 160)) for level in (60, 128, 200)]
    for gray in (*flat, *slopes, *noise):
        rgb = np.repeat(np.asarray(gray).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
        chroma = np.hypot(*np.moveaxis(cl.rgb_to_lab(cl.colorize(rgb, network))[..., 1:], -1, 0))
        assert chroma.max() < 15


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A shipped folder of our own, with one file in it."""
    folder = tmp_path / "shipped"
    (folder / "weights").mkdir(parents=True)
    path = folder / "weights" / "tiny.safetensors"
    monkeypatch.setattr(loading, "data_folder", lambda: folder)
    entry = Weights(path.name, save_weights(path, ECCV16(0.03)))
    monkeypatch.setitem(NETWORKS, "eccv16", replace(NETWORKS["eccv16"], shipped=entry))
    return path


def test_a_changed_shipped_file_is_refused(shipped):
    assert cl.eccv16().width == 0.03
    content = bytearray(shipped.read_bytes())
    content[-1] ^= 1
    shipped.write_bytes(content)
    message = refusal_of_shipped()
    assert "not the file that ships" in message and f"got {sha256(content)}" in message
    assert f"expected {NETWORKS['eccv16'].shipped.sha256}" in message
    assert message.startswith(str(shipped)) and "install the package again" in message


def test_a_missing_shipped_file_is_named(shipped):
    shipped.unlink()
    message = refusal_of_shipped()
    assert message.startswith(str(shipped)) and "are missing" in message


def refusal_of_shipped():
    with pytest.raises(WeightsError) as caught:
        cl.eccv16()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Downloads


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "tiny.pth"
    torch.save(ECCV16(0.03).state_dict(), path)
    return path.read_bytes()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        kind = self.path.split("/")[1]
        content = self.server.content
        if kind in ("missing", "broken"):
            self.send_error(404 if kind == "missing" else 503)
            return
        if kind == "silent":
            self.server.end.wait(10)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if kind == "short":
            content = content[: len(content) // 2]
        elif kind == "wrong":
            content = b"x" * len(content)
        elif kind == "stall":
            self.wfile.write(content[:1000])
            self.wfile.flush()
            self.server.end.wait(10)
            return
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(good, monkeypatch, tmp_path):
    """A server whose folders say what goes wrong, and an empty cache folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.requests, server.end = good, [], threading.Event()
        server.base = f"http://127.0.0.1:{server.server_port}"
        server.cache = tmp_path / "cache" / "deep"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("COURSE_CACHE", str(server.cache))
        monkeypatch.delenv("COURSE_OFFLINE", raising=False)
        monkeypatch.delenv("COURSE_MIRRORS", raising=False)
        yield server
        server.end.set()
        server.shutdown()
        thread.join()


def publish(monkeypatch, server, kind):
    return publish_at(monkeypatch, f"{server.base}/{kind}/tiny.pth", sha256(server.content))


def publish_at(monkeypatch, address, digest):
    entry = Weights(address, digest)
    monkeypatch.setitem(NETWORKS, "eccv16", replace(NETWORKS["eccv16"], published=entry))
    return entry


def in_cache(server):
    return sorted(path.name for path in server.cache.rglob("*")) if server.cache.exists() else []


def failure():
    with pytest.raises(WeightsError) as caught:
        find_weights("eccv16", "official")
    return str(caught.value)


def test_a_download_is_verified_and_kept(server, good, monkeypatch, capfd):
    publish(monkeypatch, server, "good")
    path = find_weights("eccv16", "official")
    assert path == server.cache / "tiny.pth" and path.read_bytes() == good
    assert in_cache(server) == ["tiny.pth"]
    assert cl.eccv16(weights="official").width == pytest.approx(0.03, abs=0.01)
    assert find_weights("eccv16", "official") == path
    assert server.requests == ["/good/tiny.pth"]  # once
    captured = capfd.readouterr()
    assert "100%" in captured.err and captured.out == ""  # a progress bar, and nothing else


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "no such file on the server (404)"),
        ("broken", "the server refused (503 Service Unavailable)"),
        ("short", "the connection broke before the end of the file"),
        ("wrong", "wrong sha256: got "),
        ("silent", "stalled: the server did not answer in time"),
        ("stall", "stalled: the server did not answer in time"),
    ],
)
def test_a_failure_names_the_address_the_reason_and_the_way_by_hand(
    server, monkeypatch, kind, reason
):
    entry = publish(monkeypatch, server, kind)
    monkeypatch.setattr(files, "READ_TIMEOUT", 0.3)
    message = failure()
    assert f"\n  {entry.source}: {reason}" in message
    assert f"fetch {entry.source} (sha256 {entry.sha256})" in message
    assert f"save it as {server.cache / 'tiny.pth'}" in message
    assert 'weights="course"' in message
    assert in_cache(server) == []


def test_mirrors_are_tried_in_order_after_the_published_address(server, good, monkeypatch):
    publish(monkeypatch, server, "missing")
    mirrors = [f"{server.base}/{kind}" for kind in ("wrong", "short/", "good/deep/", "good/late")]
    monkeypatch.setenv("COURSE_MIRRORS", "  ".join(mirrors))
    assert find_weights("eccv16", "official").read_bytes() == good
    assert server.requests == [
        "/missing/tiny.pth",
        "/wrong/tiny.pth",
        "/short/tiny.pth",
        "/good/deep/tiny.pth",
    ]
    assert in_cache(server) == ["tiny.pth"]


def test_when_every_mirror_fails_each_is_named_with_its_reason(server, monkeypatch):
    entry = publish(monkeypatch, server, "missing")
    monkeypatch.setenv("COURSE_MIRRORS", f"{server.base}/wrong {server.base}/short")
    lines = failure().splitlines()
    assert lines[0] == "the published weights of eccv16 could not be downloaded:"
    assert lines[1].startswith(f"  {entry.source}: no such file")
    assert lines[2].startswith(f"  {server.base}/wrong/tiny.pth: wrong sha256")
    assert lines[3].startswith(f"  {server.base}/short/tiny.pth: the connection broke")
    assert in_cache(server) == []


def test_a_server_that_is_not_there(server, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as gone:
        port = gone.server_port
    entry = publish_at(monkeypatch, f"http://127.0.0.1:{port}/tiny.pth", "0" * 64)
    assert f"{entry.source}: connection refused" in failure()
    assert in_cache(server) == []


def test_offline_the_server_is_never_asked(server, monkeypatch):
    publish(monkeypatch, server, "good")
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    message = failure()
    assert "COURSE_OFFLINE forbids" in message
    assert f"save it as {server.cache / 'tiny.pth'}" in message
    assert server.requests == [] and in_cache(server) == []
    monkeypatch.setenv("COURSE_OFFLINE", "0")
    assert find_weights("eccv16", "official").exists()


def test_a_file_put_there_by_hand_is_used(server, good, monkeypatch):
    publish(monkeypatch, server, "missing")
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    server.cache.mkdir(parents=True)
    (server.cache / "tiny.pth").write_bytes(good)
    assert isinstance(cl.eccv16(weights="official"), ECCV16)
    assert server.requests == []


def test_a_damaged_file_in_the_cache_is_noticed_and_replaced(server, good, monkeypatch):
    publish(monkeypatch, server, "good")
    server.cache.mkdir(parents=True)
    (server.cache / "tiny.pth").write_bytes(good[:-1])
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    message = failure()
    assert f"{server.cache / 'tiny.pth'}: wrong sha256: got {sha256(good[:-1])}" in message
    monkeypatch.delenv("COURSE_OFFLINE")
    assert find_weights("eccv16", "official").read_bytes() == good
    assert in_cache(server) == ["tiny.pth"]


def test_a_cache_folder_that_cannot_be_made(server, monkeypatch, tmp_path):
    entry = publish(monkeypatch, server, "good")
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file" / "cache"))
    assert f"  {entry.source}: {tmp_path / 'file' / 'cache'} cannot be written" in failure()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_an_interrupted_download_leaves_nothing(server, monkeypatch):
    publish(monkeypatch, server, "good")

    def interrupt(path, checksum):
        assert path and checksum.startswith("sha256:")
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "wrong_digest", interrupt)
    with pytest.raises(KeyboardInterrupt):
        find_weights("eccv16", "official")
    assert server.requests and in_cache(server) == []
