"""A network is its module and its row in the table: proved with one that is made here."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import course_lib as cl
from course_lib.cli import main
from course_lib.models import NETWORKS, Network, look_up, name_of, read_weights
from course_lib.models.layers import scaled

PHOTO = np.random.RandomState(0).randint(0, 256, (24, 40, 3), dtype=np.uint8)


class Tiny(nn.Module):
    """Two convolutions, a setting, and no more."""

    def __init__(self, width: float = 1.0, gain: float = 10.0):
        super().__init__()
        self.width, self.gain = width, gain
        self.inner = nn.Conv2d(1, scaled(32, width), 3, padding=1)
        self.outer = nn.Conv2d(scaled(32, width), 2, 1)

    def forward(self, L):
        return torch.tanh(self.outer(torch.relu(self.inner(L / 100 - 0.5)))) * self.gain


@pytest.fixture
def tiny(monkeypatch):
    """The network's row, in the table for the time of a test."""
    row = Network(
        Tiny,
        "two convolutions",
        landmark=("inner.weight", 32),
        settings={"gain": float},
    )
    monkeypatch.setitem(NETWORKS, "tiny", row)
    return row


@pytest.fixture
def saved(tiny, tmp_path):
    path = tmp_path / "mine.safetensors"
    cl.save_weights(path, Tiny(0.25, gain=60), {"input_size": "16"})
    return path


def test_it_is_saved_and_loaded_at_its_width_with_its_settings(saved):
    _, header = read_weights(saved)
    assert header == {"architecture": "tiny", "width": "0.25", "gain": "60.0", "input_size": "16"}
    for net in (cl.load_network("tiny", saved), cl.load_file(saved)):
        assert isinstance(net, Tiny) and not net.training
        assert (net.width, net.gain, net.input_size) == (0.25, 60, 16)
    assert cl.load_network("tiny", saved, gain=20).gain == 20
    assert len(cl.load_network("tiny", None, width=0.5).inner.weight) == 16
    assert cl.load_network("tiny", None).training


def test_a_plain_state_dict_shows_by_one_entry_what_it_is_and_how_wide(tiny, tmp_path):
    path = tmp_path / "mine.pth"
    torch.save(Tiny(0.25).state_dict(), path)
    net = cl.load_file(path)
    assert isinstance(net, Tiny) and (net.width, net.gain) == (0.25, 10)


def test_it_colours_by_its_file(saved):
    out = cl.colorize(PHOTO, saved)
    assert out.shape == PHOTO.shape
    assert np.array_equal(out, cl.colorize(PHOTO, cl.load_network("tiny", saved)))
    assert np.array_equal(out, cl.colorize(PHOTO, str(saved)))
    with pytest.raises(ValueError, match="hints need SIGGRAPH17; this network takes none"):
        cl.colorize(PHOTO, saved, hints=[(1, 1, (255, 0, 0))])


def test_it_colours_by_its_name_once_its_weights_ship(saved, tiny, monkeypatch):
    with pytest.raises(cl.WeightsError, match=r"ships no weights for tiny \(two convolutions\)"):
        cl.colorize(PHOTO, "tiny")
    digest = cl.save_weights(saved, Tiny(0.25))
    shipped = replace(NETWORKS["eccv16"].shipped, source=saved.name, sha256=digest)
    monkeypatch.setitem(NETWORKS, "tiny", replace(tiny, shipped=shipped))
    (saved.parent / "weights").mkdir()
    saved.rename(saved.parent / "weights" / saved.name)
    monkeypatch.setattr("course_lib.models.loading.data_folder", lambda: saved.parent)
    assert cl.colorize(PHOTO, "tiny").shape == PHOTO.shape


def test_the_command_line_knows_it(saved, tmp_path, capsys):
    cl.save_image(tmp_path / "photo.png", PHOTO)
    arguments = [str(tmp_path / "photo.png"), "--output", str(tmp_path / "out"), "--model", "tiny"]
    assert main([*arguments, "--weights", str(saved)]) == 0
    assert (tmp_path / "out" / "photo-tiny.png").exists()
    assert main(arguments) == 2
    assert "ships no weights for tiny" in capsys.readouterr().err


def test_weights_of_another_network_are_refused_by_name(saved, tmp_path):
    with pytest.raises(cl.WeightsError, match="of tiny, not eccv16; load it as tiny"):
        cl.eccv16(saved)
    with pytest.raises(cl.WeightsError, match="of tiny, not unet"):
        cl.load_network("unet", saved)
    cl.save_weights(tmp_path / "other.safetensors", cl.PatchDiscriminator(0.05))
    with pytest.raises(cl.WeightsError, match="of patchdiscriminator, not eccv16 or"):
        cl.load_file(tmp_path / "other.safetensors")
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    with pytest.raises(cl.WeightsError, match="of something else, not eccv16 or"):
        cl.colorize(PHOTO, tmp_path / "other.pth")


# The table itself


@pytest.mark.parametrize("name", NETWORKS)
def test_every_row_tells_the_truth(name, tmp_path):
    row = look_up(name)
    state = row.build().state_dict()
    entry, length = row.landmark
    assert len(state[entry]) == length
    assert not any(entry in r.build().state_dict() for n, r in NETWORKS.items() if n != name)
    net = cl.load_network(name, None, width=0.1).eval()
    assert name_of(net) == name and all(hasattr(net, key) for key in row.settings)
    path = tmp_path / "net.safetensors"
    cl.save_weights(path, net)
    again = cl.load_file(path)
    inputs = [torch.rand(1, 1, 20, 12) * 100]
    if row.takes_hints:
        inputs += [torch.zeros(1, 2, 20, 12), torch.zeros(1, 1, 20, 12)]
    with torch.inference_mode():
        assert torch.allclose(again(*inputs), net(*inputs), atol=0.5)


def test_a_name_that_is_not_in_the_table_is_refused():
    with pytest.raises(ValueError, match="no network called 'alexnet'; use eccv16 or siggraph17"):
        look_up("alexnet")
    assert name_of(nn.Linear(1, 1)) is None


# What `training gan` writes


def test_the_trained_unet_is_a_network_like_the_others(tmp_path, capsys):
    path = tmp_path / "generator.safetensors"
    generator = cl.UNetGenerator(0.1, depth=4)
    cl.save_weights(path, generator, {"input_size": "32"})
    net = cl.load_network("unet", path)
    assert (net.width, net.depth, net.input_size) == (0.1, 4, 32)
    assert cl.colorize(PHOTO, path).shape == PHOTO.shape
    cl.save_image(tmp_path / "photo.png", PHOTO)
    arguments = [str(tmp_path / "photo.png"), "--output", str(tmp_path / "out"), "--model", "unet"]
    assert main([*arguments, "--weights", str(path)]) == 0
    assert (tmp_path / "out" / "photo-unet.png").exists()
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert "ships no weights for unet" in message and "course_lib.training gan" in message


@pytest.mark.parametrize("build", [cl.ECCV16, cl.SIGGRAPH17])
def test_autocast_does_not_round_what_the_first_block_sees(build):
    net, seen = build(0.1).eval(), []
    net.model1.register_forward_hook(lambda block, given, out: seen.append(out.dtype))
    net.model2.register_forward_hook(lambda block, given, out: seen.append(out.dtype))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        net(torch.full((1, 1, 32, 32), 50.3))
    assert seen == [torch.float32, torch.bfloat16]


@pytest.mark.parametrize("build", [cl.ECCV16, cl.SIGGRAPH17])
def test_a_network_without_numbers_serves_for_counting(build):
    net = build(0.1).eval().to("meta")
    assert net(torch.empty(1, 1, 32, 32, device="meta")).shape == (1, 2, 32, 32)
