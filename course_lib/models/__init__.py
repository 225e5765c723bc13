"""The networks, and the functions that load them with weights.

``eccv16`` and ``siggraph17`` name a module and a function each. Seen from here the functions
win: write ``from course_lib.models.eccv16 import ECCV16`` for what is in the module.
"""

from course_lib.models.eccv16 import ECCV16
from course_lib.models.loading import (
    eccv16,
    find_weights,
    load_file,
    load_network,
    siggraph17,
)
from course_lib.models.modes import evaluating
from course_lib.models.networks import NETWORKS, Network, look_up, name_of, shipped_weights
from course_lib.models.patchgan import PatchDiscriminator
from course_lib.models.siggraph17 import SIGGRAPH17
from course_lib.models.unet import UNetGenerator
from course_lib.models.weights import WeightsError, load_into, read_weights, save_weights

__all__ = [
    "ECCV16",
    "NETWORKS",
    "SIGGRAPH17",
    "Network",
    "PatchDiscriminator",
    "UNetGenerator",
    "WeightsError",
    "eccv16",
    "evaluating",
    "find_weights",
    "load_file",
    "load_into",
    "load_network",
    "look_up",
    "name_of",
    "read_weights",
    "save_weights",
    "shipped_weights",
    "siggraph17",
]
