"""Who may see a published set: ImageNet's pixels never appear in public."""

from pathlib import Path

import pytest

from tests.publishing.fixtures import Publish
from tests.publishing.hub import WRITING, Hub
from tests.publishing.repositories import tree_of


def test_imagenets_pixels_are_private_and_gated_before_the_first_byte(
    hub: Hub, publish: Publish, small_qi: Path
) -> None:
    result = publish(small_qi, "qi", "lab/qi")

    assert result.exit_code == 0, result.stderr
    repository = hub.repositories["lab/qi"]
    assert (repository.private, repository.gated) == (True, "manual")
    routes = [request.route for request in hub.log]
    assert routes.index("create") < routes.index("settings") < routes.index("info", routes.index("settings"))
    assert routes.index("info", routes.index("settings")) < routes.index("preupload") < routes.index("upload")
    assert "private, gated: you let each person in; licence imagenet" in result.stdout


@pytest.mark.parametrize(
    ("options", "private", "gated"),
    [
        (("--public", "--gated", "auto"), False, "auto"),
        (("--public", "--gated", "manual"), False, "manual"),
        (("--private", "--gated", "auto"), True, "auto"),
        (("--private",), True, "manual"),
        (("--gated", "auto"), True, "auto"),
    ],
)
def test_access_that_may_be_asked_for(
    hub: Hub, publish: Publish, small_qi: Path, options: tuple[str, ...], private: bool, gated: str
) -> None:
    assert publish(small_qi, "qi", "lab/qi", *options).exit_code == 0
    assert (hub.repositories["lab/qi"].private, hub.repositories["lab/qi"].gated) == (private, gated)


def test_public_and_ungated_is_refused_for_imagenets_pixels(hub: Hub, publish: Publish, small_qi: Path) -> None:
    result = publish(small_qi, "qi", "lab/qi", "--public")
    assert result.exit_code == 2
    assert "public needs a gate" in result.stderr
    assert hub.repositories == {}


@pytest.mark.parametrize(
    ("settings", "options", "words"),
    [
        ({}, (), "it is public already"),
        ({"gated": "manual"}, (), "it is public already"),
        ({}, ("--private",), "it is public already"),
        ({"private": True}, ("--public", "--gated", "auto"), "it is private"),
    ],
)
def test_a_repository_that_others_see_already_is_refused_before_any_upload(
    hub: Hub, publish: Publish, small_qi: Path, settings: dict[str, object], options: tuple[str, ...], words: str
) -> None:
    hub.make("lab/qi", **settings)
    result = publish(small_qi, "qi", "lab/qi", *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert hub.requests(*WRITING) == []


@pytest.mark.parametrize(
    ("settings", "options", "then"),
    [
        ({"private": True}, (), (True, "manual")),
        ({"private": True, "gated": "auto"}, (), (True, "auto")),
        ({}, ("--public", "--gated", "auto"), (False, "auto")),
        ({"gated": "manual"}, ("--public", "--gated", "auto"), (False, "auto")),
    ],
)
def test_a_repository_that_is_there_gets_a_gate_first(
    hub: Hub, publish: Publish, small_qi: Path, settings: dict[str, object], options: tuple[str, ...], then: object
) -> None:
    repository = hub.make("lab/qi", **settings)
    assert publish(small_qi, "qi", "lab/qi", *options).exit_code == 0
    assert (repository.private, repository.gated) == then
    assert repository.tree() == tree_of(small_qi / "qi")


def test_free_sets_stay_as_private_as_their_repository_is(hub: Hub, publish: Publish, demo_sets: Path) -> None:
    hub.make("lab/rook", private=True)
    assert publish(demo_sets, "rook", "lab/rook").exit_code == 0
    assert hub.repositories["lab/rook"].private
