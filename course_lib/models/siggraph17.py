"""SIGGRAPH17: colorization that listens to a user's hints.

R. Zhang, J.-Y. Zhu, P. Isola et al., "Real-Time User-Guided Image Colorization with Learned
Deep Priors", SIGGRAPH 2017, arXiv:1705.02999.
"""

import torch
from torch import Tensor, nn

from course_lib.models.layers import (
    AB_NORM,
    L_CENT,
    L_NORM,
    block,
    check_gray,
    conv3x3,
    pad_to_stride,
    scaled,
    unrounded,
    upsampling,
)


def _subsample(x: Tensor) -> Tensor:
    """Every second row and column."""
    return x[..., ::2, ::2]


class SIGGRAPH17(nn.Module):
    """The network of "Real-Time User-Guided Image Colorization with Learned Deep Priors".

    A U-Net: ECCV16's trunk, a decoder with shortcuts up to full resolution, and two heads.
    One regresses ab at every pixel; the other gives a distribution over the full 23 x 23 grid
    of ab at a quarter of the resolution, from which colours can be suggested to the user.

    Parameters
    ----------
    width : float
        Multiplies every hidden channel count. 1.0 is the published network, key for key:
        107 entries, 34,187,027 parameters. The 529 logits stay.

    Notes
    -----
    The published forward pass runs its decoder twice for the same result. Here it runs once.
    """

    def __init__(self, width: float = 1.0):
        super().__init__()
        self.width = width
        c64, c128, c256, c512 = (scaled(c, width) for c in (64, 128, 256, 512))
        self.model1 = block([4, c64, c64])
        self.model2 = block([c64, c128, c128])
        self.model3 = block([c128, c256, c256, c256])
        self.model4 = block([c256, c512, c512, c512])
        self.model5 = block([c512, c512, c512, c512], dilation=2)
        self.model6 = block([c512, c512, c512, c512], dilation=2)
        self.model7 = block([c512, c512, c512, c512])
        self.model8up = nn.Sequential(upsampling(c512, c256))
        self.model8 = nn.Sequential(
            nn.ReLU(True),
            conv3x3(c256, c256),
            nn.ReLU(True),
            conv3x3(c256, c256),
            nn.ReLU(True),
            nn.BatchNorm2d(c256),
        )
        self.model9up = nn.Sequential(upsampling(c256, c128))
        self.model9 = nn.Sequential(
            nn.ReLU(True), conv3x3(c128, c128), nn.ReLU(True), nn.BatchNorm2d(c128)
        )
        self.model10up = nn.Sequential(upsampling(c128, c128))
        self.model10 = nn.Sequential(nn.ReLU(True), conv3x3(c128, c128), nn.LeakyReLU(0.2))
        self.model3short8 = nn.Sequential(conv3x3(c256, c256))
        self.model2short9 = nn.Sequential(conv3x3(c128, c128))
        self.model1short10 = nn.Sequential(conv3x3(c64, c128))
        self.model_class = nn.Sequential(nn.Conv2d(c256, 529, 1))
        self.model_out = nn.Sequential(nn.Conv2d(c128, 2, 1), nn.Tanh())

    def _encode(self, L: Tensor, hint_ab: Tensor | None, mask: Tensor | None):
        """Feature maps of the shortcuts (blocks 1 to 3) and of block 8."""
        check_gray(L)
        n, _, height, width = L.shape
        if (hint_ab is None) != (mask is None):
            raise ValueError("hints need both hint_ab and mask; pass both, or neither")
        if hint_ab is None:
            hint_ab, mask = L.new_zeros(n, 2, height, width), torch.zeros_like(L)
        for name, x, channels in (("hint_ab", hint_ab, 2), ("mask", mask, 1)):
            if x.shape != (n, channels, height, width):
                raise ValueError(
                    f"expected {name} of shape {(n, channels, height, width)} to go with L of "
                    f"shape {tuple(L.shape)}, got {tuple(x.shape)}"
                )
        x = torch.cat(
            [
                (pad_to_stride(L) - L_CENT) / L_NORM,
                pad_to_stride(hint_ab, "constant") / AB_NORM,
                pad_to_stride(mask, "constant"),
            ],
            dim=1,
        )
        conv1_2 = unrounded(self.model1, x.to(self.model_out[0].weight.dtype))
        conv2_2 = self.model2(_subsample(conv1_2))
        conv3_3 = self.model3(_subsample(conv2_2))
        conv7_3 = self.model7(self.model6(self.model5(self.model4(_subsample(conv3_3)))))
        conv8_3 = self.model8(self.model8up(conv7_3) + self.model3short8(conv3_3))
        return conv1_2, conv2_2, conv8_3

    def _decode(self, conv1_2: Tensor, conv2_2: Tensor, conv8_3: Tensor) -> Tensor:
        """ab / 110 at the padded input's size."""
        conv9_3 = self.model9(self.model9up(conv8_3) + self.model2short9(conv2_2))
        conv10_2 = self.model10(self.model10up(conv9_3) + self.model1short10(conv1_2))
        return self.model_out(conv10_2).float()

    def logits(
        self, L: Tensor, hint_ab: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Unnormalized log-probabilities of the 529 cells of the ab grid (`bins.ab_grid`).

        Parameters
        ----------
        L, hint_ab, mask : torch.Tensor
            As in `forward`.

        Returns
        -------
        torch.Tensor
            (N, 529, ceil(H / 8) * 2, ceil(W / 8) * 2).
        """
        return self.model_class(self._encode(L, hint_ab, mask)[-1])

    def both_heads(
        self, L: Tensor, hint_ab: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Colours and class logits from one pass: what training and suggestions need.

        Parameters
        ----------
        L, hint_ab, mask : torch.Tensor
            As in `forward`.

        Returns
        -------
        ab : torch.Tensor
            (N, 2, H, W), as `forward` returns.
        logits : torch.Tensor
            (N, 529, ceil(H / 8) * 2, ceil(W / 8) * 2), as `logits` returns.
        """
        features = self._encode(L, hint_ab, mask)
        ab = self._decode(*features)[..., : L.shape[-2], : L.shape[-1]] * AB_NORM
        return ab, self.model_class(features[-1])

    def forward(
        self, L: Tensor, hint_ab: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Colours of a batch of gray pictures, led by hints where there are any.

        Parameters
        ----------
        L : torch.Tensor
            (N, 1, H, W), lightness in 0..100; any H and W.
        hint_ab : torch.Tensor, optional
            (N, 2, H, W), the colours that the user gave, in -110..110; 0 elsewhere.
        mask : torch.Tensor, optional
            (N, 1, H, W), 1 where the user gave a colour, 0 elsewhere.

        Returns
        -------
        torch.Tensor
            (N, 2, H, W), the Lab channels a and b, within -110..110.
        """
        ab = self._decode(*self._encode(L, hint_ab, mask))
        return ab[..., : L.shape[-2], : L.shape[-1]] * AB_NORM
