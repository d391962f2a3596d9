"""Locations of sets: local folders, and URLs."""

from pathlib import Path

import pytest

from qi_datasets.errors import OptionError
from qi_datasets.storage.location import Place, files_below, folder_name, join_place, output_of, place_of


@pytest.mark.parametrize("place", ["/data/sets", "s3://bucket/sets", "memory://a/b"])
def test_a_sets_folder_is_named_by_its_last_part(place: str) -> None:
    given = Path(place) if place.startswith("/") else place

    assert folder_name(join_place(given, "qi-canvas_112")) == "qi-canvas_112"


@pytest.mark.parametrize(("given", "name"), [("/data/sets/qi/", "qi"), ("memory://a/qi/", "qi"), ("~/qi", "qi")])
def test_a_slash_at_the_end_changes_nothing(given: str, name: str) -> None:
    place: Place = place_of(given)

    assert folder_name(place) == name


@pytest.mark.parametrize("given", ["", " ", "a::b", "a\0b", "nope://x"])
def test_what_can_be_no_place_is_refused(given: str) -> None:
    with pytest.raises(OptionError, match="is no place for sets"):
        place_of(given)


@pytest.mark.parametrize("given", ["memory://sets", "hf://datasets/ORG/NAME"])
def test_what_keeps_nothing_or_shows_all_is_no_output(given: str) -> None:
    with pytest.raises(OptionError, match=f"output={given}"):
        output_of(given)
    assert place_of(given) == given


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    assert place_of((tmp_path / "a b").as_uri()) == tmp_path / "a b"


def test_files_below_are_relative_paths(tmp_path: Path) -> None:
    for name in ("b", "a/[c]"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")

    assert files_below(tmp_path) == ["a/[c]", "b"]
