"""Who may see what: the whole table of requests and existing settings."""

from itertools import product

import pytest

from qi_datasets.errors import OptionError
from qi_datasets.publishing.access import Access, access_for, settle_access
from tests.refusals import refused

ASKED = list(product((True, False), (None, True, False), (None, "auto", "manual")))
FOUND = [Access(private, gated) for private, gated in product((True, False), (False, "auto", "manual"))]


def is_open(access: Access) -> bool:
    return not access.private and not access.gated


@pytest.mark.parametrize(("free", "private", "gated"), ASKED)
def test_pixels_that_are_not_free_are_never_public_without_a_gate(
    free: bool, private: bool | None, gated: str | None
) -> None:
    if (free, private, gated) == (False, False, None):
        with refused(OptionError, "contradiction", match="public needs a gate"):
            access_for(free=free, private=private, gated=gated)
        return
    access = access_for(free=free, private=private, gated=gated)
    assert free or not is_open(access)
    assert private is None or access.private == private
    assert gated is None or access.gated == gated
    if private is gated is None:
        assert access == (Access(False, False) if free else Access(True, "manual"))


@pytest.mark.parametrize(("free", "private", "gated"), ASKED)
@pytest.mark.parametrize("found", FOUND, ids=str)
def test_a_repository_that_is_there_never_opens(
    free: bool, private: bool | None, gated: str | None, found: Access
) -> None:
    try:
        wanted = access_for(free=free, private=private, gated=gated)
        access = settle_access(wanted, found, free=free, private=private, gated=gated)
    except OptionError:
        return
    assert free or not is_open(access)
    assert access.private == found.private, "who sees a repository is for its owner to change"
    assert access.gated or not found.gated, "a gate stays"
    assert private is None or access.private == private
    assert gated is None or access.gated == gated


def test_an_unknown_gate_is_refused() -> None:
    with pytest.raises(OptionError, match="gated must be 'auto' or 'manual'"):
        access_for(free=True, private=None, gated="yes")
