"""Places of sets: folders of this machine, and URLs."""

from pathlib import Path

import pytest

from qi_datasets.storage.location import Place, folder_name, joined, place_of


@pytest.mark.parametrize("place", ["/data/sets", "s3://bucket/sets", "memory://a/b"])
def test_a_sets_folder_is_named_by_its_last_part(place: str) -> None:
    given = Path(place) if place.startswith("/") else place

    assert folder_name(joined(given, "qi-canvas_112")) == "qi-canvas_112"


@pytest.mark.parametrize(("given", "name"), [("/data/sets/qi/", "qi"), ("memory://a/qi/", "qi"), ("~/qi", "qi")])
def test_a_slash_at_the_end_changes_nothing(given: str, name: str) -> None:
    place: Place = place_of(given)

    assert folder_name(place) == name
