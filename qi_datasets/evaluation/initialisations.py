"""The words of an entry for where weights come from and how batch norm is treated. Needs no torch."""

RANDOM, PRETRAINED, GIVEN, SCRATCH = "random", "pretrained", "given", "scratch"
INITS = (RANDOM, PRETRAINED, GIVEN, SCRATCH)
CALIBRATED, UNTOUCHED, TRAINED, NO_STATISTICS = "calibrated", "untouched", "trained", "none"
