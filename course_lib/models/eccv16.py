"""ECCV16: colorization as classification.

R. Zhang, P. Isola, A. A. Efros, "Colorful Image Colorization", ECCV 2016, arXiv:1603.08511.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.bins import ab_bins
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


class ECCV16(nn.Module):
    """The network of "Colorful Image Colorization".

    Eight blocks turn lightness into a distribution over 313 colours at a quarter of the
    resolution; a 1 x 1 convolution without bias takes its mean, and the result is enlarged.

    Parameters
    ----------
    width : float
        Multiplies every hidden channel count. 1.0 is the published network, key for key:
        82 entries, 32,236,011 parameters. The 313 logits stay.
    temperature : float
        The logits are divided by it before the softmax: 1 is the plain mean of the
        distribution, toward 0 its mode (the paper's annealed mean uses 0.38). The published
        PyTorch network shows no temperature, so leave it at 1 with the published weights.

    Attributes
    ----------
    model_out : torch.nn.Conv2d
        Starts as the bins themselves, over 110. It is what turns a distribution into a colour,
        and needs no training.
    """

    def __init__(self, width: float = 1.0, temperature: float = 1.0):
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        self.width = width
        self.temperature = temperature
        c64, c128, c256, c512 = (scaled(c, width) for c in (64, 128, 256, 512))
        self.model1 = block([1, c64, c64], stride=2)
        self.model2 = block([c64, c128, c128], stride=2)
        self.model3 = block([c128, c256, c256, c256], stride=2)
        self.model4 = block([c256, c512, c512, c512])
        self.model5 = block([c512, c512, c512, c512], dilation=2)
        self.model6 = block([c512, c512, c512, c512], dilation=2)
        self.model7 = block([c512, c512, c512, c512])
        self.model8 = nn.Sequential(
            upsampling(c512, c256),
            nn.ReLU(True),
            conv3x3(c256, c256),
            nn.ReLU(True),
            conv3x3(c256, c256),
            nn.ReLU(True),
            nn.Conv2d(c256, 313, 1),
        )
        self.model_out = nn.Conv2d(313, 2, 1, bias=False)
        with torch.no_grad():
            centres = torch.from_numpy(np.ascontiguousarray(ab_bins().T)) / AB_NORM
            self.model_out.weight.copy_(centres[:, :, None, None])

    def features(self, L: Tensor) -> Tensor:
        """What the trunk, blocks 1 to 7, sees in gray pictures.

        Parameters
        ----------
        L : torch.Tensor
            (N, 1, H, W), lightness in 0..100.

        Returns
        -------
        torch.Tensor
            (N, 512 * width, ceil(H / 8), ceil(W / 8)), in the precision of the weights.
        """
        check_gray(L)
        x = ((pad_to_stride(L) - L_CENT) / L_NORM).to(self.model_out.weight.dtype)
        x = self.model4(self.model3(self.model2(unrounded(self.model1, x))))
        return self.model7(self.model6(self.model5(x)))

    def logits(self, L: Tensor) -> Tensor:
        """Unnormalized log-probabilities of the 313 bins.

        Parameters
        ----------
        L : torch.Tensor
            (N, 1, H, W), lightness in 0..100.

        Returns
        -------
        torch.Tensor
            (N, 313, ceil(H / 8) * 2, ceil(W / 8) * 2): a quarter of the padded input's size, in
            the precision of the weights.
        """
        return self.model8(self.features(L))

    def forward(self, L: Tensor) -> Tensor:
        """Colours of a batch of gray pictures.

        Parameters
        ----------
        L : torch.Tensor
            (N, 1, H, W), lightness in 0..100; any H and W.

        Returns
        -------
        torch.Tensor
            (N, 2, H, W), the Lab channels a and b, within -110..110.
        """
        distribution = F.softmax(self.logits(L) / self.temperature, dim=1)
        ab = self.model_out(distribution).to(L.dtype)
        ab = F.interpolate(ab, scale_factor=4, mode="bilinear", align_corners=False)
        return ab[..., : L.shape[-2], : L.shape[-1]] * AB_NORM
