"""Networks as ONNX files, for programs that know no PyTorch: a browser, a phone, ONNX Runtime.

The format: https://onnx.ai; the runtime that the tests compare with: https://onnxruntime.ai.
"""

import logging
import os
import warnings
from threading import Lock
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from course_lib.files import whole_file
from course_lib.models.layers import STRIDE
from course_lib.models.modes import evaluating
from course_lib.models.networks import takes_hints

_INSTALL = 'pip install "course-lib[fast]"'

#: Channels of the inputs that a network of this course may take.
CHANNELS = {"L": 1, "hint_ab": 2, "mask": 1}

#: Numbers below which halving an entry is not worth a node in the graph.
_WORTH_HALVING = 1024


def network_inputs(net: nn.Module) -> tuple[str, ...]:
    """Which inputs a network takes.

    Parameters
    ----------
    net : torch.nn.Module
        Any network that colours.

    Returns
    -------
    tuple of str
        ``("L", "hint_ab", "mask")`` for networks that listen to hints, as SIGGRAPH17 does; else
        ``("L",)``.
    """
    return tuple(CHANNELS) if takes_hints(net) else ("L",)


class _Heads(nn.Module):
    """Both heads where a network has two, with the inputs that it takes as they are named."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return getattr(self.net, "both_heads", self.net)(*inputs)


def export_onnx(net: nn.Module, path: str | os.PathLike) -> None:
    """Write a network as an ONNX file.

    The number of pictures, their height and their width are free, but height and width must be
    multiples of 8, as `inference.network_size` makes them: padding is left to the caller.

    Weights that float16 holds without loss, as those of the shipped convolutions, are stored in
    it and made float32 as the file is opened: half the size, the same numbers.

    Parameters
    ----------
    net : torch.nn.Module
        ECCV16 or SIGGRAPH17, or any network that maps L (N, 1, H, W) to ab (N, 2, H, W). Exported
        in evaluation mode.
    path : path
        Usually ends in .onnx; its folder must be there. The file appears whole or not at all.

    Raises
    ------
    ImportError
        If the packages that write ONNX files are missing.

    Notes
    -----
    Inputs are float32: ``L`` (N, 1, H, W) in 0..100 and, where the network listens to hints,
    ``hint_ab`` (N, 2, H, W) and ``mask`` (N, 1, H, W), all 0 where there is no hint. Outputs are
    ``ab`` (N, 2, H, W) and, from SIGGRAPH17, ``logits`` (N, 529, H / 4, W / 4).
    """
    content = _as_bytes(net)
    with whole_file(path) as file:
        file.write(content)


def _as_bytes(net: nn.Module) -> bytes:
    """What `export_onnx` writes."""
    try:
        import onnx
        import onnxscript  # noqa: F401  (what torch's exporter is written in)
    except ImportError:
        raise ImportError(f"writing ONNX files needs more packages: {_INSTALL}") from None
    # It misses torchvision, of which nothing here has need.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    names = network_inputs(net)
    height, width = (torch.export.Dim(name, min=1, max=4096) for name in ("rows", "columns"))
    free = {0: torch.export.Dim.DYNAMIC, 2: STRIDE * height, 3: STRIDE * width}
    like = next(net.parameters())
    # sizes that differ from each other and from 1, or the exporter would take them for constants
    inputs = tuple(like.new_zeros(2, CHANNELS[name], 5 * STRIDE, 6 * STRIDE) for name in names)
    with evaluating(net), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on what the exporter itself is about to change
        program = torch.onnx.export(
            _Heads(net).eval(),
            inputs,
            dynamo=True,
            dynamic_shapes=((free,) * len(inputs),),
            input_names=list(names),
            output_names=["ab", "logits"] if hasattr(net, "both_heads") else ["ab"],
            verbose=False,
        )
    model = program.model_proto
    _halve(model.graph, onnx)
    return model.SerializeToString()


class OnnxNetwork(nn.Module):
    """A network that ONNX Runtime computes, on the CPU; called as the network itself is.

    Parameters
    ----------
    net : torch.nn.Module
        As `export_onnx` takes it. Later changes of its weights have no effect.

    Raises
    ------
    ImportError
        If ONNX Runtime, or what writes ONNX files, is missing.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        try:
            import onnxruntime
        except ImportError:
            raise ImportError(f"the engine onnx needs more packages: {_INSTALL}") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Threads that wait for work by spinning would take the cores from all else.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(
            _as_bytes(net), options, providers=["CPUExecutionProvider"]
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        """Colours of a batch: (N, 2, H, W) for L (N, 1, H, W), and hints where it takes them.

        Height and width must be multiples of 8. Hints that are not given are none.
        """
        L = inputs[0]
        names = [node.name for node in self.session.get_inputs()]
        none = [
            L.new_zeros(len(L), CHANNELS[name], *L.shape[-2:]) for name in names[len(inputs) :]
        ]
        feed = {name: x.numpy() for name, x in zip(names, [*inputs, *none], strict=True)}
        return torch.from_numpy(self.session.run(["ab"], feed)[0])


_sessions: "WeakKeyDictionary[nn.Module, tuple[tuple, OnnxNetwork]]" = WeakKeyDictionary()
_making = Lock()


def onnx_network(net: nn.Module) -> OnnxNetwork:
    """What computes a network by ONNX Runtime; made once, and anew after its weights changed.

    Parameters
    ----------
    net : torch.nn.Module
        As `export_onnx` takes it.

    Returns
    -------
    OnnxNetwork
    """
    now = tuple((value.data_ptr(), value._version) for value in net.state_dict().values())
    with _making:
        if net not in _sessions or _sessions[net][0] != now:
            _sessions[net] = now, OnnxNetwork(net)
        return _sessions[net][1]


def _halve(graph, onnx) -> None:
    """Store what float16 holds exactly in float16, and convert it as the file is opened."""
    for entry in list(graph.initializer):
        values = onnx.numpy_helper.to_array(entry)
        if entry.data_type != onnx.TensorProto.FLOAT or values.size < _WORTH_HALVING:
            continue
        half = values.astype("float16")
        if (half.astype("float32") == values).all():
            name, half_name = entry.name, f"{entry.name}.half"
            entry.CopyFrom(onnx.numpy_helper.from_array(half, half_name))
            cast = onnx.helper.make_node("Cast", [half_name], [name], to=onnx.TensorProto.FLOAT)
            graph.node.insert(0, cast)
