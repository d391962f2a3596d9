"""The paper's accuracies against border, to compare a curve with; no check requires them.

Read off figure 5 of arXiv 2003.07064. Its code trains and tests on the same 1000 images, pads 3 pixels less than it
says, and adapts batch norm in frozen networks.
"""

from collections.abc import Mapping
from typing import NamedTuple

from qi_datasets.evaluation.initialisations import PRETRAINED, RANDOM, SCRATCH
from qi_datasets.specs import QI

_CURVES = {
    ("bagnet33", RANDOM): (99, 79, 50, 50, 50, 50, 50),
    ("bagnet33", PRETRAINED): (99, 97, 50, 50, 50, 50, 50),
    ("bagnet33", SCRATCH): (100, 100, 50, 50, 50, 50, 50),
    ("resnet18", RANDOM): (100, 100, 100, 81, 52, 50, 50),
    ("resnet18", PRETRAINED): (99, 97, 96, 97, 94, 50, 50),
    ("resnet18", SCRATCH): (100, 100, 100, 100, 100, 100, 50),
    ("densenet121", RANDOM): (100, 100, 100, 100, 96, 50, 50),
    ("densenet121", PRETRAINED): (99, 99, 99, 99, 99, 88, 50),
    ("densenet121", SCRATCH): (100, 100, 100, 100, 100, 100, 50),
}


def paper_curve(model: str, init: str) -> Mapping[int, float]:
    """Returns border -> accuracy in [0, 1] of the paper's network; nothing if the paper has none."""
    percent = _CURVES.get((model, init), ())
    return {border: share / 100 for border, share in zip(QI.borders, percent, strict=False)}


class SubsetResult(NamedTuple):
    """Top-1 of ResNet-50 on ImageNet's validation images in percent. gain: by full convolution over same padding."""

    same: float
    gain: float


IMAGENET_SUBSETS: Mapping[int, SubsetResult] = {
    50: SubsetResult(26.39, 4.77),
    100: SubsetResult(43.99, 3.37),
    250: SubsetResult(59.67, 3.20),
    500: SubsetResult(68.82, 1.32),
    0: SubsetResult(75.75, 0.03),
}
"""Training images per class -> the paper's result; 0 stands for all images. Read off a plot, within 0.05."""
