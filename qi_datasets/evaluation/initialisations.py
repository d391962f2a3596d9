"""The words of an entry for weights, batch norm, padding, pooling and background. Imports nothing."""

from typing import Literal

RANDOM, PRETRAINED, GIVEN, SCRATCH = "random", "pretrained", "given", "scratch"
INITS = (RANDOM, PRETRAINED, GIVEN, SCRATCH)
CALIBRATED, UNTOUCHED, TRAINED, NO_STATISTICS = "calibrated", "untouched", "trained", "none"

Padding = Literal["own", "full", "exact", "valid", "circular", "reflect", "replicate"]
Pool = Literal["max", "own"]
Background = Literal["zero", "plain"]
