import os

import numpy as np
import pytest
import torch
from hypothesis import settings
from skimage import data

from course_lib.data.arrays import encode_lab, square
from course_lib.lab import rgb_to_lab

# A lesson's text holds, and no learner's progress is touched; kernels inherit it.
os.environ |= {"COURSE_STRICT": "1", "COURSE_PROGRESS": ""}

# How long an example takes says something about how busy the machine is, and nothing else.
settings.register_profile("course", deadline=None)
settings.load_profile("course")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_codes():
    """Forty 16 px crops of real photographs as training takes them."""
    crops = []
    for picture in (data.astronaut(), data.coffee(), data.chelsea(), data.rocket()):
        small = square(picture, 160)
        crops += [small[i : i + 16, i : i + 16] for i in range(0, 100, 10)]
    return np.stack([encode_lab(rgb_to_lab(crop)).transpose(2, 0, 1) for crop in crops])
