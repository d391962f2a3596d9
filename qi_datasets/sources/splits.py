"""Recognises the shards of the validation split by their names."""

import re
from collections.abc import Sequence

_VALIDATION, _OTHERS = re.compile(r"(?:^|[^a-z])val", re.IGNORECASE), re.compile(r"(?:^|[^a-z])(?:train|test)", re.I)


def of_validation(files: Sequence[str], top: str) -> tuple[list[str], list[str]]:
    """Returns the files of the validation split, by their names or the names of their folders below `top`.

    The second list has all files if no name mentions any split, so that their content decides; else it is empty.
    """
    below = {file: file.removeprefix(top) for file in files}
    validation = [file for file, name in below.items() if _VALIDATION.search(name)]
    mentioned = validation or any(map(_OTHERS.search, below.values()))
    return validation, [] if mentioned else list(files)
