"""Local evaluation: a network on black images with a patch, computed only where its maps differ from a blank canvas's.

Every map of such an image is the blank canvas's map but for a window around the patch, which grows by each layer's
reach. So the blank canvas is computed once, and for each image the windows alone, with the blank map as their context.
"""

from qi_datasets.networks.local.evaluation import LocalEvaluation, LocalNetwork, local_features
from qi_datasets.networks.local.proof import corners_proved_equal, obstacle_to_proof

__all__ = ["LocalEvaluation", "LocalNetwork", "corners_proved_equal", "local_features", "obstacle_to_proof"]
