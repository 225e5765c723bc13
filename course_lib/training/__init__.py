"""One training loop, and the recipes on it."""

from course_lib.training.loop import History, fit

__all__ = ["History", "fit"]
