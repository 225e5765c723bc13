"""One training loop, and the recipes on it."""

from course_lib.training.batches import Settings
from course_lib.training.classification import Classification, ClassificationSettings
from course_lib.training.finetune import TRUNK, FineTuning, best_and_stop, freeze
from course_lib.training.gan import (
    Gan,
    GanSettings,
    Reconstruction,
    measure_colouring,
    pictures,
    predict,
)
from course_lib.training.loop import History, fit
from course_lib.training.losses import (
    adversarial_loss,
    discriminator_loss,
    rebalanced_cross_entropy,
)
from course_lib.training.optim import cosine_rate, initialize
from course_lib.training.regression import Regression, RegressionSettings
from course_lib.training.report import write_report
from course_lib.training.runs import CONFIGS, RECIPES, train_gan

__all__ = [
    "CONFIGS",
    "RECIPES",
    "TRUNK",
    "Classification",
    "ClassificationSettings",
    "FineTuning",
    "Gan",
    "GanSettings",
    "History",
    "Reconstruction",
    "Regression",
    "RegressionSettings",
    "Settings",
    "adversarial_loss",
    "best_and_stop",
    "cosine_rate",
    "discriminator_loss",
    "fit",
    "freeze",
    "initialize",
    "measure_colouring",
    "pictures",
    "predict",
    "rebalanced_cross_entropy",
    "train_gan",
    "write_report",
]
