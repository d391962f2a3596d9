"""Data sets that show that CNNs read absolute location, generated to the pixel, proved, and loaded in one line."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from qi_datasets.errors import QIDatasetsError

if TYPE_CHECKING:
    from qi_datasets.loading.load import load_dataset
    from qi_datasets.loading.views import as_stock
    from qi_datasets.verification.verify import verify

__version__ = version("qi-datasets")
__all__ = ["QIDatasetsError", "__version__", "as_stock", "load_dataset", "verify"]


def __getattr__(name: str) -> Any:
    """Imports what needs `datasets` when it is first used, so that the commands answer --help at once."""
    match name:
        case "load_dataset":
            from qi_datasets.loading.load import load_dataset

            return load_dataset
        case "as_stock":
            from qi_datasets.loading.views import as_stock

            return as_stock
        case "verify":
            from qi_datasets.verification.verify import verify

            return verify
        case _:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
