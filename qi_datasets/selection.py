"""Which images of a source go into which split of which set: decided by the SHA-256 of their names alone."""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

from qi_datasets.digests import draw, sha256_hex
from qi_datasets.errors import OptionError, SourceError
from qi_datasets.specs import IMAGENET_VAL_IMAGES, IMAGENET_VAL_NAME, SPECS, SetSpec

NAMED = 5
"""How many missing images a message names before it counts the rest."""


def order_key(name: str) -> bytes:
    """Where an image stands in the order: for ImageNet val its id alone counts, else its relative POSIX path."""
    prefix, _, number = name.rpartition("_")
    is_id = prefix == IMAGENET_VAL_NAME.partition("_{")[0] and len(number) == 8 and number.isdecimal()
    return draw(number if is_id else name)


@lru_cache(maxsize=1)
def official_order() -> tuple[str, ...]:
    """The names of all ImageNet validation images, in the order that every selection follows."""
    keys = [draw(f"{number:08d}") for number in range(1, IMAGENET_VAL_IMAGES + 1)]
    ordered = sorted(range(IMAGENET_VAL_IMAGES), key=keys.__getitem__)
    return tuple([IMAGENET_VAL_NAME.format(index + 1) for index in ordered])


def official_selection(spec: SetSpec) -> dict[str, list[str]]:
    """The names that each split of a set officially takes from ImageNet val."""
    return select(spec, frozenset(official_order()), official=True)


def selection_digest(selected: Mapping[str, Iterable[str]]) -> str:
    """SHA-256 (hex) of the selected names, split after split, one a line."""
    names = [name for members in selected.values() for name in members]
    return sha256_hex("".join(f"{name}\n" for name in names).encode())


def select(
    spec: SetSpec,
    names: Collection[str],
    *,
    official: bool,
    splits: Mapping[str, Mapping[str, int]] | None = None,
    where: str = "the source",
) -> dict[str, list[str]]:
    """The names that each split of a set takes, in row order.

    names: of the images that are there. official: take the official order of ImageNet val, so that a missing image is
    an error; else the same order over `names`. splits: set name -> split -> number of sources, for every set that
    differs from the spec table. Raises SourceError, which names what is missing or says how many there are.
    """
    counts = splits or {}
    sizes = counts.get(spec.name, spec.splits)
    skip = 0
    if spec.first_rank_after is not None:
        before = SPECS[spec.first_rank_after]
        skip = sum(counts.get(before.name, before.splits).values())
    wanted = sum(sizes.values())
    if wanted < 1:
        raise OptionError(f"{spec.name}: asked for no images at all; ask for at least 1 per split")
    if official:
        chosen = list(official_order()[skip : skip + wanted])
        missing = [name for name in chosen if name not in names]
        if missing:
            more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
            raise SourceError(
                f"{spec.name}: {len(missing)} of the {wanted} selected images are missing in {where}: "
                f"{', '.join(missing[:NAMED])}{more}; add them, or use --per-split N to draw from the images there are"
            )
    else:
        ordered = sorted(names, key=order_key)
        chosen = ordered[skip : skip + wanted]
        if len(chosen) < wanted:
            raise SourceError(
                f"{spec.name}: {skip + wanted} images are asked for, but {where} has {len(ordered)}; "
                f"ask for fewer with --per-split N"
            )
    selected, start = {}, 0
    for split, size in sizes.items():
        selected[split] = chosen[start : start + size]
        start += size
    return selected
