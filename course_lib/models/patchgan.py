"""PatchDiscriminator: judges patches of a colouring, not the whole.

P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, "Image-to-Image Translation with Conditional
Adversarial Networks", CVPR 2017, arXiv:1611.07004, section 3.2.2 and appendix 6.1.2.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from course_lib.models.layers import AB_NORM, L_CENT, check_gray, scaled


def _conv(inputs: int, outputs: int, stride: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1))


class PatchDiscriminator(nn.Module):
    """A small network that says of every patch of a colouring how real it looks.

    It is *conditional*: it sees the gray picture beside the colours, and so can tell colours
    that are plausible as such from colours that suit what is to be seen.

    Parameters
    ----------
    width : float
        Multiplies every hidden channel count. 1.0 has the published counts, C64-C128-C256-C512.
    layers : int
        Convolutions that halve the picture, at least 1. The published 3 make patches of 70
        pixels a side; 2 make 34, and 1 makes 16.

    Attributes
    ----------
    receptive_field : int
        Side of the patch that one logit judges, in pixels.

    Notes
    -----
    The published network normalizes its features over the batch. Real and generated pictures
    come in batches of their own, so that takes away just what the two may differ in, such as how
    strong the colours are; and the judgement of a picture depends on its neighbours. Here the
    weights are normalized instead, by their largest singular value: a judgement depends on
    nothing but the patch.

    References
    ----------
    T. Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018,
    arXiv:1802.05957.
    """

    def __init__(self, width: float = 1.0, layers: int = 3):
        super().__init__()
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}")
        self.width = width
        counts = [scaled(64 * min(2**i, 8), width) for i in range(layers + 1)]
        strides = [2] * layers + [1]
        blocks: list[nn.Module] = []
        inputs = 3
        for outputs, stride in zip(counts, strides, strict=True):
            blocks += [_conv(inputs, outputs, stride), nn.LeakyReLU(0.2)]
            inputs = outputs
        blocks.append(_conv(inputs, 1, stride=1))
        self.blocks = nn.Sequential(*blocks)
        self.receptive_field = 1
        for stride in reversed([*strides, 1]):
            self.receptive_field = (self.receptive_field - 1) * stride + 4

    def forward(self, L: Tensor, ab: Tensor) -> Tensor:
        """Judge colourings, patch by patch.

        Parameters
        ----------
        L : torch.Tensor
            (N, 1, H, W), lightness in 0..100.
        ab : torch.Tensor
            (N, 2, H, W), the colours, in Lab units.

        Returns
        -------
        torch.Tensor
            (N, 1, h, w), a logit for each patch: above 0 it looks real. Patches overlap, and
            those at the rim reach beyond it. float32 or, from a network in float64, that.
        """
        check_gray(L)
        if ab.shape != (len(L), 2, *L.shape[2:]):
            raise ValueError(
                f"expected ab of shape {(len(L), 2, *L.shape[2:])} to go with L of shape "
                f"{tuple(L.shape)}, got {tuple(ab.shape)}"
            )
        x = torch.cat([(L - L_CENT) / L_CENT, ab / AB_NORM], dim=1)
        # asking a convolution for its weight would normalize it once more: ask for any parameter
        logits = self.blocks(x.to(next(self.parameters()).dtype))
        return logits.to(torch.promote_types(logits.dtype, torch.float32))
