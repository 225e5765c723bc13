"""Checks of lesson 00, "Start here"."""

import numpy as np

from course_lib.checks.answers import ask, choose, expect_close
from course_lib.checks.report import Todo, TryAgain, check, expect
from course_lib.data.photos import photos


@check
def my_photo(name):
    """Whether a name is that of a shipped scene other than the lesson's own."""
    scenes = [photo.name for photo in photos(kind="scene")]
    if not isinstance(name, str):
        raise TryAgain(
            f'expected a name in quotes, such as "{scenes[0]}", got {type(name).__name__}.'
        )
    expect(
        name in scenes,
        f'there is no scene called "{name}". Copy one from the list, with its "scenes/".',
    )
    return f"{name} it is."


@check
def from_colour(prediction):
    """Whether the learner knows that the network sees lightness only."""
    answer = choose(prediction, ("A", "B", "C"))
    expect(
        answer == "B",
        f"{answer} is not what happens. Run the cell below and compare the two pictures; then ask "
        "what the network was given.",
    )
    return "B: only the lightness goes in, so the network cannot peek."


@check
def mean_difference(function):
    """Whether the mean difference of two uint8 pictures survives their limited range."""
    dark = np.zeros((4, 5, 3), np.uint8)
    light = np.full((4, 5, 3), 200, np.uint8)
    answers = ask(function, light, dark), ask(function, dark, light)
    if np.array_equal(answers, [200, 56]):
        raise Todo("the bug is still there: compare a dark picture with a light one.")
    expect_close(
        answers[0],
        200,
        "the difference of 200 and 0 everywhere",
        0.06,  # float16 rounds, and is no mistake of thought
        "Is it a mean?",
        {"int8 holds -128 to 127 only, so 200 does not fit. Take a type with more room.": 56},
    )
    expect_close(
        answers[1],
        200,
        "the difference of 0 and 200 everywhere",
        0.06,
        "In 8 bits 0 - 200 is 56: numbers below 0 start again from 255. Make the values signed "
        "before you subtract.",
    )
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 256, (2, 6, 7, 3), dtype=np.uint8)
    expect_close(
        ask(function, one, other),
        np.abs(one.astype(float) - other).mean(),
        "the mean absolute difference of two random pictures",
        0.06,
        "Take the absolute value before the mean, and average over all values.",
    )
    return "the same difference both ways, as it should be."
