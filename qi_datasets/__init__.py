"""Data sets that show that CNNs read absolute location, generated to the pixel, verified, and loaded in one line."""

from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from qi_datasets.errors import QIDatasetsError, missing_extra
from qi_datasets.loading.on_import import register_when_imported

if TYPE_CHECKING:
    from qi_datasets.building.dataset import build_dataset
    from qi_datasets.evaluation.evaluate import evaluate
    from qi_datasets.loading.load import load_dataset
    from qi_datasets.loading.provenance import provenance
    from qi_datasets.loading.views import as_stock
    from qi_datasets.publishing.publish import publish
    from qi_datasets.verification.verify import verify

__version__ = version("qi-datasets")
__all__ = [
    "QIDatasetsError",
    "__version__",
    "as_stock",
    "build_dataset",
    "evaluate",
    "load_dataset",
    "provenance",
    "publish",
    "verify",
]

register_when_imported()

_HOMES = {
    "as_stock": "qi_datasets.loading.views",
    "build_dataset": "qi_datasets.building.dataset",
    "evaluate": "qi_datasets.evaluation.evaluate",
    "load_dataset": "qi_datasets.loading.load",
    "provenance": "qi_datasets.loading.provenance",
    "publish": "qi_datasets.publishing.publish",
    "verify": "qi_datasets.verification.verify",
}


def __getattr__(name: str) -> Any:
    """Imports names that need `datasets` when they are first used, so that the commands answer --help at once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "evaluate" and find_spec("torch") is None:
        raise missing_extra("evaluate runs networks with torch, which is missing", "torch")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Returns all names, so that tab completion finds them."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
