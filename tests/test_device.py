import pytest
import torch

from course_lib.device import bfloat16_pays, pick_device


@pytest.mark.parametrize(
    ("instructions", "largest_isa", "pays"),
    [
        ((), "", False),  # a laptop with AVX2, or with a plain AVX-512
        (("_is_avx512_bf16_supported",), "", True),
        (("_is_avx512_bf16_supported", "_is_amx_tile_supported"), "", True),
        (("_is_avx512_bf16_supported",), "avx512_core_bf16", True),
        (("_is_avx512_bf16_supported", "_is_amx_tile_supported"), "AVX512_CORE", False),
        (("_is_avx512_bf16_supported",), "AVX2", False),
    ],
)
def test_bfloat16_pays_where_the_processor_has_instructions_for_it_and_may_use_them(
    monkeypatch, instructions, largest_isa, pays
):
    for question in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        answer = question in instructions
        monkeypatch.setattr(torch.cpu, question, lambda answer=answer: answer, raising=False)
    # what oneDNN answers on any AVX-512 machine
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", largest_isa)
    assert bfloat16_pays() is pays
    assert not bfloat16_pays("meta")


def test_bfloat16_does_not_pay_without_onednn(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert not bfloat16_pays("cpu")


def test_a_device_that_is_not_there_is_refused():
    assert pick_device("cpu").type == "cpu" and pick_device().type in ("cpu", "cuda")
    with pytest.raises(ValueError, match="no device 'warp9' on this machine"):
        pick_device("warp9")
