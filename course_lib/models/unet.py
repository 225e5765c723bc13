"""UNetGenerator: the U-Net that "pix2pix" trains against a discriminator.

P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, "Image-to-Image Translation with Conditional
Adversarial Networks", CVPR 2017, arXiv:1611.07004, section 3.2.1 and appendix 6.1.
"""

import torch
from torch import Tensor, nn

from course_lib.models.layers import (
    AB_NORM,
    L_CENT,
    check_gray,
    pad_to_stride,
    scaled,
    upsampling,
)

#: Channels of the published encoder's blocks; a shallower network has the first of them.
CHANNELS = (64, 128, 256, 512, 512, 512, 512, 512)
#: Blocks of the decoder, from its start, that have dropout.
DROPOUT_BLOCKS = 3


def _down(inputs: int, outputs: int, *, first: bool = False, last: bool = False) -> nn.Sequential:
    """A block of the encoder: halves height and width."""
    normalized = not (first or last)
    layers: list[nn.Module] = [] if first else [nn.LeakyReLU(0.2)]
    # a shift before batch normalization would have no effect: no bias there
    layers.append(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=not normalized))
    if normalized:
        layers.append(nn.BatchNorm2d(outputs))
    return nn.Sequential(*layers)


def _up(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    """A block of the decoder: doubles height and width."""
    layers: list[nn.Module] = [
        nn.ReLU(),
        nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if dropout:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


class UNetGenerator(nn.Module):
    """An encoder that halves the picture again and again, a decoder back, and shortcuts between.

    What the encoder finds at each size is handed to the decoder's block of that size, beside
    what comes from below: large shapes travel through the bottom of the U, edges across it.

    Parameters
    ----------
    width : float
        Multiplies every hidden channel count. 1.0 has the published counts.
    depth : int
        Blocks of the encoder, 2..8. The published 8 make one pixel of 256; for pictures of
        64 pixels that is 6.
    dropout : float
        Share of values that the decoder's first three blocks drop in training, 0..1: the paper's
        only source of chance. Evaluation drops none, so that a picture always gets the same
        colours.

    Notes
    -----
    Blocks are normalized over the batch in training, and with running averages of that in
    evaluation, so that a picture's colours do not depend on its neighbours once training is
    over. The paper keeps the statistics of the batch in use too, mostly with batches of one
    picture, which is instance normalization. The first block has no normalization, and neither
    has the last, whose map may be a single pixel: minus its own mean it would always be 0.
    """

    def __init__(self, width: float = 1.0, depth: int = 8, dropout: float = 0.5):
        super().__init__()
        if not 2 <= depth <= len(CHANNELS):
            raise ValueError(f"depth must be in 2..{len(CHANNELS)}, got {depth}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {dropout}")
        self.width, self.depth = width, depth
        channels = [scaled(c, width) for c in CHANNELS[:depth]]
        self.down = nn.ModuleList([_down(1, channels[0], first=True)])
        for i in range(1, depth):
            self.down.append(_down(channels[i - 1], channels[i], last=i == depth - 1))
        self.up = nn.ModuleList()
        for i in range(depth - 1, 0, -1):
            inputs = channels[i] * (1 if i == depth - 1 else 2)  # all but the first get a shortcut
            drops = len(self.up) < DROPOUT_BLOCKS
            self.up.append(_up(inputs, channels[i - 1], dropout if drops else 0.0))
        self.out = nn.Sequential(nn.ReLU(), upsampling(2 * channels[0], 2), nn.Tanh())

    @property
    def stride(self) -> int:
        """Heights and widths are padded to multiples of this inside."""
        return 2**self.depth

    def forward(self, L: Tensor) -> Tensor:
        """Colours of a batch of gray pictures.

        Parameters
        ----------
        L : torch.Tensor
            (N, 1, H, W), lightness in 0..100; any H and W.

        Returns
        -------
        torch.Tensor
            (N, 2, H, W), the Lab channels a and b, within -110..110; float32 or, from a network
            in float64, that.
        """
        check_gray(L)
        x = (pad_to_stride(L, stride=self.stride) - L_CENT) / L_CENT
        x = x.to(self.out[1].weight.dtype)
        shortcuts = []
        for block in self.down:
            x = block(x)
            shortcuts.append(x)
        shortcuts.pop()  # the bottom of the U is what comes from below
        for block in self.up:
            x = torch.cat([block(x), shortcuts.pop()], dim=1)
        ab = self.out(x)
        ab = ab.to(torch.promote_types(ab.dtype, torch.float32))
        return ab[..., : L.shape[-2], : L.shape[-1]] * AB_NORM
