"""Where a network's weights come from, and what becomes of its batch norm: the words of an entry. Needs no torch."""

RANDOM, PRETRAINED, GIVEN, SCRATCH = "random", "pretrained", "given", "scratch"
INITS = (RANDOM, PRETRAINED, GIVEN, SCRATCH)
CALIBRATED, UNTOUCHED, TRAINED, NO_STATISTICS = "calibrated", "untouched", "trained", "none"
