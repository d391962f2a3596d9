"""Turns arguments of Python into those of a command."""

from collections.abc import Iterable, Mapping

SINGULAR = {"borders": "border", "sets": "set"}


def as_flags(arguments: Mapping[str, object]) -> list[str]:
    """Returns `{"per_split": 2, "demo": True, "borders": [3]}` as `--per-split 2 --demo --border 3`."""
    flags: list[str] = []
    for name, value in arguments.items():
        flag = "--" + SINGULAR.get(name, name).replace("_", "-")
        values = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
        for one in values:
            flags += [flag] if one is True else [flag, str(one)]
    return flags
