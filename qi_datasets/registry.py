"""Finds the builder of a set by name, in the spec table and in other packages."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pkgutil import resolve_name

from qi_datasets.builder import Builder
from qi_datasets.errors import BuilderError, UnknownSetError, one_line
from qi_datasets.set_spec import SetSpec
from qi_datasets.specs import SPECS

ENTRY_POINTS = "qi_datasets.builders"
"""Entry-point group for other packages to add sets: each entry is a subclass of GeneratedSet or ImageSet."""


@cache
def third_party_builders() -> Mapping[str, type[Builder]]:
    """Returns the builders of other installed packages, by the name of their set."""
    return {builder.spec.name: builder for builder in map(load_builder, entry_points(group=ENTRY_POINTS))}


def load_builder(entry: EntryPoint) -> type[Builder]:
    """Returns the builder class of an entry point. Raises BuilderError for anything else, and for a taken name."""
    try:
        found = entry.load()
    except Exception as error:  # another package's module may raise anything
        raise BuilderError(
            f"entry point {entry.name} = {entry.value} cannot be imported ({one_line(error)}); "
            "repair or uninstall that package"
        ) from error
    if not (
        isinstance(found, type) and issubclass(found, Builder) and isinstance(getattr(found, "spec", None), SetSpec)
    ):
        raise BuilderError(f"entry point {entry.name} = {entry.value} is no GeneratedSet or ImageSet with a SetSpec")
    if found.spec.name in SPECS:
        raise BuilderError(f"entry point {entry.name} = {entry.value} calls its set {found.spec.name}, which is taken")
    return found


def specs() -> dict[str, SetSpec]:
    """Returns every set that is installed, this package's first."""
    return dict(SPECS) | {name: builder.spec for name, builder in third_party_builders().items()}


def look_up_spec(name: object) -> SetSpec:
    """Returns the set of that name. Raises UnknownSetError, which lists all sets and the nearest name."""
    if isinstance(name, str) and name in SPECS:
        return SPECS[name]
    known = specs()
    if isinstance(name, str) and name in known:
        return known[name]
    raise UnknownSetError(f"no set is called {name!r}{nearest(name, known)}; there are {', '.join(known)}")


def nearest(name: object, known: Mapping[str, object]) -> str:
    """Returns " (did you mean ...?)" with the name nearest to `name`, or "".

    Example:
        >>> nearest("rok", {"rook": 1, "corner": 2})
        " (did you mean 'rook'?)"
    """
    matches = get_close_matches(str(name).lower(), known, n=1, cutoff=0.5)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def builder_of(spec: SetSpec, size: int | None = None) -> Builder:
    """Returns the builder of a set, for images of `size` pixels. Raises OptionError for a size that it can't have."""
    third_party = {} if spec.name in SPECS else third_party_builders()
    builder: type[Builder] = third_party[spec.name] if third_party else resolve_name(spec.builder)
    return builder(size=spec.size if size is None else size)
