"""The networks measured on photographs that they never saw, beside what has to be beaten.

    python -m course_lib.evaluation                             the course's own test scenes
    python -m course_lib.evaluation --folder DIR --part test    pictures of your own
    python -m course_lib.evaluation --folder caltech-101        a public set, fetched if need be

Protocol: the centre square of each photograph at 256 x 256; the network sees its lightness;
PSNR and SSIM over 8-bit RGB; ab-error AuC from 0 to 150, raw and class-balanced by the shipped
prior; colourfulness as mean chroma over the truth's. Each figure is a mean over photographs, with
a 95 % bootstrap interval over them. SIGGRAPH17 is also measured with hints that tell the truth:
PSNR against their number, as `hint_curve` says. And its class head is asked for five colours at
places of each photograph, as `suggestions` says.

The balanced AuC is computed in each photograph, then averaged: a pixel counts by 1 over its true
colour's probability, a photograph as much as any other. The ECCV16 paper weighs pixels alike
(section 3.1), as it seems in one sum over its whole test set. In such a sum all colours have the
same weight as long as the test pictures have the prior's own distribution; where they have not, a
handful of pixels decides it, those of a drawing in pure green, say. Figures of the two kinds must
not be compared.

Baselines: the gray picture itself, the training pictures' mean colour, and the colours of the
training picture whose gray is most alike.
"""

from course_lib.evaluation.baselines import MeanColour, NearestPicture
from course_lib.evaluation.contact_sheet import contact_sheet
from course_lib.evaluation.held_out import held_out_pictures
from course_lib.evaluation.hint_curve import (
    PUBLISHED_PSNR,
    greedy_hints,
    psnr_against_hints,
    reveal_hints,
)
from course_lib.evaluation.measure import measure, measure_all
from course_lib.evaluation.results import evaluate
from course_lib.evaluation.suggestions import suggestion_errors
from course_lib.evaluation.summary import bootstrap, format_table, markdown_table, summarize

__all__ = [
    "PUBLISHED_PSNR",
    "MeanColour",
    "NearestPicture",
    "bootstrap",
    "contact_sheet",
    "evaluate",
    "format_table",
    "greedy_hints",
    "held_out_pictures",
    "markdown_table",
    "measure",
    "measure_all",
    "psnr_against_hints",
    "reveal_hints",
    "suggestion_errors",
    "summarize",
]
