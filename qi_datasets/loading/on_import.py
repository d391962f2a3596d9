"""Registers the image types of views with `datasets`, whichever of the two packages is imported first.

So a view that was written to a file opens in any program that imports `qi_datasets`. Importing `datasets` takes a
second, and some commands don't need it, so the types are registered when it is imported.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

LIBRARY = "datasets"
TYPES = "qi_datasets.loading.computed"


class RegisteringLoader(Loader):
    """Loads a module as another loader does, and registers our types when that is done."""

    def __init__(self, inner: Loader) -> None:
        self._inner = inner

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Returns the module that the other loader makes."""
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module, then registers."""
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self._inner
        self._inner.exec_module(module)
        import_module(TYPES)


class LibraryFinder(MetaPathFinder):
    """Finds `datasets` once, for the first import of it."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Returns the module's own spec, with a loader that registers our types; None for other modules."""
        if name != LIBRARY:
            return None
        sys.meta_path.remove(self)
        found = find_spec(name)
        if found is not None and found.loader is not None:
            found.loader = RegisteringLoader(found.loader)
        return found


def register_when_imported() -> None:
    """Registers our types with `datasets`: now if it is imported, else when it is."""
    if LIBRARY in sys.modules:
        import_module(TYPES)
    elif not any(isinstance(finder, LibraryFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, LibraryFinder())
