"""One training loop, and the recipes on it."""

from course_lib.training.batches import LabBatches, Settings
from course_lib.training.classification import (
    Classification,
    ClassificationSettings,
    soften_rebalancing,
)
from course_lib.training.finetune import TRUNK, FineTuning, freeze, keep_still, thaw
from course_lib.training.gan import (
    Gan,
    GanSettings,
    Reconstruction,
    measure_colouring,
    pictures,
    predict,
)
from course_lib.training.loop import History, Stage, fit, fit_stages
from course_lib.training.losses import adversarial_loss, discriminator_loss, l1_loss
from course_lib.training.optim import cosine_rate, initialize
from course_lib.training.regression import Regression, RegressionSettings, start_from_eccv16
from course_lib.training.report import write_report
from course_lib.training.runs import (
    CONFIGS,
    RECIPES,
    build_network,
    build_recipe,
    train_gan,
    train_run,
)

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
    "LabBatches",
    "Reconstruction",
    "Regression",
    "RegressionSettings",
    "Settings",
    "Stage",
    "adversarial_loss",
    "build_network",
    "build_recipe",
    "cosine_rate",
    "discriminator_loss",
    "fit",
    "fit_stages",
    "freeze",
    "initialize",
    "keep_still",
    "l1_loss",
    "measure_colouring",
    "pictures",
    "predict",
    "soften_rebalancing",
    "start_from_eccv16",
    "thaw",
    "train_gan",
    "train_run",
    "write_report",
]
