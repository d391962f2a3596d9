"""Old names of public definitions work, and warn."""

from importlib import import_module

import pytest

NAMES = [
    ("qi_datasets.publishing.publish", "Published", "PublishedResult"),
    ("qi_datasets.verification.stored_folder", "StoredSet", "StoredFolder"),
]


@pytest.mark.parametrize(("module", "old", "new"), NAMES)
def test_an_old_name_gives_the_new_one_with_a_warning(module: str, old: str, new: str) -> None:
    found = import_module(module)
    with pytest.warns(DeprecationWarning, match=f"{old} is {new} now"):
        assert getattr(found, old) is getattr(found, new)
    with pytest.raises(AttributeError):
        _ = found.no_such_name
