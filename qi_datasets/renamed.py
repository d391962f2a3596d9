"""Keeps old names of public definitions, with a warning, until the next minor version."""

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def give_renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Returns a module's `__getattr__` that returns definitions by their old names, with a DeprecationWarning.

    Args:
        module: Its full name.
        names: Old name -> new name.
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(
            f"{module}.{name} is {names[name]} now; the old name goes with 0.4", DeprecationWarning, stacklevel=2
        )
        return getattr(sys.modules[module], names[name])

    return find
