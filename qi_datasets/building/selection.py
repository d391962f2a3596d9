"""Chooses the images of each split of each set, by the SHA-256 of their names alone."""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

from qi_datasets.errors import Message, NamedArgument, OptionError, TooFewImagesError, name_some
from qi_datasets.imagenet import IMAGENET_VAL, ImageCollection, val_digits, val_name
from qi_datasets.pixels.digests import draw, sha256_hex
from qi_datasets.set_spec import SetSpec
from qi_datasets.specs import SPECS

NAMED = 5
"""Number of missing images that a message names before it counts the rest."""


def order_key(name: str, collection: ImageCollection | None) -> bytes:
    """Returns the sort key of an image, made from its id (ImageNet val) or from its relative POSIX path (others)."""
    return draw(val_digits(name) if collection == IMAGENET_VAL else name)


@lru_cache(maxsize=1)
def official_order() -> list[int]:
    """Returns the ids of all ImageNet validation images, in the order that every selection follows."""
    ids = range(1, IMAGENET_VAL.images + 1)
    keys = [order_key(val_name(number), IMAGENET_VAL) for number in ids]
    return sorted(ids, key=lambda number: keys[number - 1])


def official_names(ranks: range) -> list[str]:
    """Returns the names of the images at these ranks of the official order."""
    return [val_name(number) for number in official_order()[ranks.start : ranks.stop]]


def official_selection(spec: SetSpec) -> dict[str, list[str]]:
    """Returns the names of the ImageNet validation images in each split of the official set."""
    return divide_by_split(official_names(selection_ranks(spec)), spec.splits)


def divide_by_split(names: list[str], sizes: Mapping[str, int]) -> dict[str, list[str]]:
    """Divides `names` into consecutive parts, one for each split."""
    selected, start = {}, 0
    for split, size in sizes.items():
        selected[split] = names[start : start + size]
        start += size
    return selected


def selection_digest(selected: Mapping[str, Iterable[str]]) -> str:
    """Returns the SHA-256 (hex) of the selected names, split after split, one a line."""
    names = [name for members in selected.values() for name in members]
    return sha256_hex("".join(f"{name}\n" for name in names).encode())


def selection_ranks(spec: SetSpec, splits: Mapping[str, Mapping[str, int]] | None = None) -> range:
    """Returns the ranks of a set's images in the order: from 0, or from the end of the set that comes before it.

    Args:
        spec: The set.
        splits: Set name -> split -> number of sources, for every set that differs from the spec table.
    """
    counts = splits or {}
    start = 0
    if spec.first_rank_after is not None:
        start = selection_ranks(SPECS[spec.first_rank_after], splits).stop
    return range(start, start + sum(counts.get(spec.name, spec.splits).values()))


def select(
    spec: SetSpec,
    names: Collection[str],
    *,
    collection: ImageCollection | None,
    official: bool,
    splits: Mapping[str, Mapping[str, int]] | None = None,
    where: str = "the source",
) -> dict[str, list[str]]:
    """Returns the names of the images in each split of a set, in row order.

    Args:
        spec: The set.
        names: The names of the images in the source.
        collection: The collection that these images belong to; None for others.
        official: True to select from all ImageNet validation images, so that a missing image is an error; False to
            select from `names`.
        splits: Set name -> split -> number of sources, for every set that differs from the spec table.
        where: The source's name in messages.

    Raises:
        TooFewImagesError: If selected images are missing (the message names them), or there are too few.
    """
    ranks = selection_ranks(spec, splits)
    wanted = len(ranks)
    count = NamedArgument(spec.count_option, "N")
    if wanted < 1:
        nothing = f"{spec.name}: asked for no images at all; ask for at least 1 with "
        raise OptionError(nothing, count, code="nothing-asked")
    if official:
        chosen = official_names(ranks)
        missing = [name for name in chosen if name not in names]
        if missing:
            raise TooFewImagesError(
                f"{spec.name}: {len(missing)} of the {wanted} selected images are missing in {where}: "
                f"{name_some(missing)}; add them, or use ",
                count,
                " to select from the images of the source",
            )
    else:
        ordered = sorted(names, key=lambda name: order_key(name, collection))
        chosen = ordered[ranks.start : ranks.stop]
        if len(chosen) < wanted:
            after, fewer = "", Message()
            if spec.first_rank_after is not None and ranks.start:
                before = SPECS[spec.first_rank_after]
                after = f", after the {ranks.start} of {before.name},"
                fewer = Message(f", or of {before.name} with ", NamedArgument(before.count_option, "N"))
            raise TooFewImagesError(
                f"{spec.name}: {wanted} images are asked for{after} but {where} has {len(ordered)}; "
                "ask for fewer with ",
                count,
                fewer,
            )
    return divide_by_split(chosen, (splits or {}).get(spec.name, spec.splits))
