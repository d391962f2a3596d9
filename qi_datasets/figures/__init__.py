"""Every figure of the paper, from the sets and the reference networks, one function each (extra `torch`).

    from qi_datasets.figures import rook_training
    rook_training(epoch=100, look="dark").savefig("rook.png")

`qi-figures OUT` writes all of them.
"""

from qi_datasets.errors import MissingExtraError

try:
    from qi_datasets.figures.convolution import corner_paddings, rook_training, shift_and_convolve
    from qi_datasets.figures.curves import accuracy_by_border, data_efficiency, location_map
    from qi_datasets.figures.samples import qi_borders, qi_samples
    from qi_datasets.figures.write import FIGURES, write_figures
except ImportError as error:
    raise MissingExtraError(
        f"figures need PyTorch and matplotlib ({error}); in a checkout of qi-datasets run: "
        "python -m pip install '.[torch]'"
    ) from error

__all__ = [
    "FIGURES",
    "accuracy_by_border",
    "corner_paddings",
    "data_efficiency",
    "location_map",
    "qi_borders",
    "qi_samples",
    "rook_training",
    "shift_and_convolve",
    "write_figures",
]
