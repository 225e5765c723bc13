"""Where to compute, and whether in bfloat16."""

import os

import torch

#: Values of ONEDNN_MAX_CPU_ISA that leave a CPU without its bfloat16 instructions.
_WITHOUT_BFLOAT16 = (
    "SSE41",
    "AVX",
    "AVX2",
    "AVX2_VNNI",
    "AVX2_VNNI_2",
    "AVX512_CORE",
    "AVX512_CORE_VNNI",
)


def pick_device(name: str = "auto") -> torch.device:
    """The device to run on.

    Parameters
    ----------
    name : str
        "auto" takes an NVIDIA GPU where there is one, else the CPU. Or any name that PyTorch
        knows: "cpu", "cuda", "cuda:1", "mps".

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ValueError(f"no device {name!r} on this machine; use 'auto' or 'cpu'") from None
    return device


def bfloat16_pays(device: torch.device | str = "cpu") -> bool:
    """Whether a device multiplies in bfloat16 faster than in float32.

    Where it has no instructions for it, as most laptops, training in bfloat16 is slower.

    Parameters
    ----------
    device : torch.device or str
        A CPU has them with Intel AMX or with AVX512_BF16 (Intel from Cooper Lake, AMD from Zen 4
        on), an NVIDIA card from compute capability 8.0 on.

    Returns
    -------
    bool
        False too where the environment variable ONEDNN_MAX_CPU_ISA forbids their use, and where
        PyTorch is too old to be asked.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if torch.device(device).type != "cpu":
        return False
    # PyTorch has no public question for this. The last one is of no use alone: it says yes to any
    # AVX-512, on which bfloat16 is computed by way of float32.
    in_hardware = any(
        getattr(torch.cpu, question, bool)()
        for question in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )
    allowed = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() not in _WITHOUT_BFLOAT16
    return in_hardware and allowed and torch.ops.mkldnn._is_mkldnn_bf16_supported()
