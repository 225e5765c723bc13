import numpy as np
import pytest
import torch
from skimage import data
from torch import nn

from course_lib.inference import predict_ab
from course_lib.models import UNetGenerator, eccv16, save_weights, siggraph17
from course_lib.models.__main__ import main
from course_lib.models.onnx import export_onnx, network_inputs, onnx_network

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason=f"{package} is not installed: pip install '.[fast]'")
onnxruntime = pytest.importorskip("onnxruntime")


def inputs_for(net, n, height, width):
    """A picture of noise with hints in it, as the network takes them."""
    L = 100 * torch.rand(n, 1, height, width)
    mask = (torch.rand(n, 1, height, width) > 0.97).float()
    given = {"L": L, "hint_ab": mask * 60 * torch.randn(n, 2, height, width), "mask": mask}
    return {name: given[name] for name in network_inputs(net)}


def answers(path, inputs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    feed = {name: value.numpy() for name, value in inputs.items()}
    return dict(zip(names, session.run(None, feed), strict=True))


@pytest.fixture(scope="module", params=["eccv16", "siggraph17"])
def exported(request, tmp_path_factory):
    net = {"eccv16": eccv16, "siggraph17": siggraph17}[request.param]()
    path = tmp_path_factory.mktemp("onnx") / f"{request.param}.onnx"
    export_onnx(net, path)
    return net, path


@pytest.mark.parametrize("size", [(1, 96, 128), (3, 8, 40), (1, 136, 8)])
def test_a_file_answers_as_its_network_does_at_any_size(exported, size):
    net, path = exported
    inputs = inputs_for(net, *size)
    with torch.inference_mode():
        ab = net(*inputs.values()).numpy()
    got = answers(path, inputs)
    assert got["ab"].shape == ab.shape
    assert np.abs(got["ab"] - ab).max() < 0.01
    if hasattr(net, "logits"):
        with torch.inference_mode():
            logits = net.logits(*inputs.values()).numpy()
        if "logits" in got:
            assert np.abs(got["logits"] - logits).max() < 0.01


def test_only_siggraph17_has_two_heads(exported):
    net, path = exported
    heads = set(answers(path, inputs_for(net, 1, 8, 16)))
    assert heads == ({"ab", "logits"} if network_inputs(net) != ("L",) else {"ab"})


def test_shipped_weights_take_no_more_room_as_onnx(exported):
    net, path = exported
    parameters = sum(value.numel() for value in net.parameters())
    assert path.stat().st_size < 2.1 * parameters


def test_weights_that_float16_would_round_stay_as_they_are(tmp_path):
    net = siggraph17(weights=None, width=0.05).eval()  # random, in float32
    export_onnx(net, tmp_path / "net.onnx")
    inputs = inputs_for(net, 1, 16, 24)
    with torch.inference_mode():
        ab = net(*inputs.values()).numpy()
    assert np.abs(answers(tmp_path / "net.onnx", inputs)["ab"] - ab).max() < 1e-3


def test_exporting_leaves_the_network_in_its_mode(tmp_path):
    net = eccv16(weights=None, width=0.05)
    net.model3.eval()
    export_onnx(net, tmp_path / "net.onnx")
    assert net.training and net.model4.training and not net.model3.training


def test_onnx_runtime_as_an_engine(monkeypatch):
    rgb, net = data.coffee(), siggraph17(weights=None, width=0.05).eval()
    hints = [(100, 200, (255, 0, 0))]
    for given in ((), hints):  # one file serves both
        _, ab = predict_ab(rgb, net, size=64, hints=given)
        _, answer = predict_ab(rgb, net, size=64, hints=given, engine="onnx")
        assert (answer - ab).abs().max() < 1e-4
    made = onnx_network(net)
    assert onnx_network(net) is made
    with torch.no_grad():
        net.model_out[0].bias.add_(0.1)
    assert onnx_network(net) is not made  # what trains on is not answered for by its past


def test_the_command_line_writes_what_runs(tmp_path, capsys):
    path = tmp_path / "net.onnx"
    save_weights(tmp_path / "net.safetensors", siggraph17(weights=None, width=0.05))
    arguments = ["export", "siggraph17", "--weights", str(tmp_path / "net.safetensors")]
    assert main([*arguments, "--output", str(path)]) == 0
    assert str(path) in capsys.readouterr().out
    assert answers(path, inputs_for(siggraph17(weights=None, width=0.05), 1, 8, 8))["ab"].any()
    assert main([*arguments, "--output", str(tmp_path / "missing" / "net.onnx")]) == 2
    assert "missing" in capsys.readouterr().err


def test_which_inputs_a_network_takes():
    assert network_inputs(siggraph17(weights=None, width=0.05)) == ("L", "hint_ab", "mask")
    assert network_inputs(eccv16(weights=None, width=0.05)) == ("L",)
    assert network_inputs(UNetGenerator(width=0.1)) == ("L",)
    assert network_inputs(nn.Identity()) == ("L",)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(OSError):
        export_onnx(eccv16(weights=None, width=0.05), tmp_path / "missing" / "net.onnx")
    assert list(tmp_path.iterdir()) == []
