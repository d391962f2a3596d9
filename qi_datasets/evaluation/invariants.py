"""Checks an entry's predictions: the rows that there must be, and answers that contradict each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from qi_datasets.building.selection import official_selection, select, selection_ranks
from qi_datasets.errors import EntryError
from qi_datasets.evaluation.content import EntrySettings, Figures
from qi_datasets.evaluation.figures import DISSIMILAR, SIMILAR, seeds_of, tolerance_of
from qi_datasets.evaluation.predictions import Predictions
from qi_datasets.pixels.digests import sha256_hex
from qi_datasets.sources import DemoSource
from qi_datasets.specs import QI, QUADRANT, RED_GREEN_SET, SHIFTED, SHIFTED_GEOMETRY, SPECS
from qi_datasets.storage.manifest import OFFICIAL, OTHER, UNVERIFIED


@dataclass(frozen=True)
class Block:
    """Neighbouring rows of the predictions, source by source: the values that they share, and the number per source."""

    keys: dict[str, str | int]
    each: int = 1

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.keys.items())


def blocks(content: EntrySettings) -> Iterator[Block]:
    """Yields the blocks of an entry's predictions, in order."""
    protocol, task = content["protocol"], content["task"]
    for init in protocol["inits"]:
        for border, seed in product(protocol["borders"], seeds_of(content, init)):
            keys: dict[str, str | int] = {"init": init, "border": border, "seed": seed}
            if task == RED_GREEN_SET.name:
                yield from (Block(keys | {"split": split}) for split in (SIMILAR, DISSIMILAR))
            elif task == SHIFTED.name:
                for mode in protocol["modes"]:
                    yield from (Block(keys | {"mode": mode, "pair": -1, "shift": t}) for t in protocol["shifts"])
                    yield from (
                        Block(keys | {"mode": mode, "pair": pair, "side": side})
                        for pair, side in product(range(SHIFTED_GEOMETRY.pairs), (0, 1))
                    )
            else:
                yield Block(keys, each=2)


def check_rows(content: EntrySettings, predictions: Predictions) -> None:
    """Raises EntryError unless there is exactly one row for each image of each block, and the rows are possible."""
    sources = source_names(content, predictions)
    start = 0
    for block in blocks(content):
        rows = Predictions(predictions.task, predictions.table.slice(start, block.each * len(sources)))
        check_block(block, rows, sources, predictions)
        start += len(rows)
        check_values(content, block, rows)
    if start != len(predictions):
        raise EntryError(f"{len(predictions) - start} rows beyond those of the inits, borders and seeds of the entry")
    if content["task"] == QI.name:
        for init, border in product(content["protocol"]["inits"], content["protocol"]["borders"]):
            check_verdict(content, init, border, predictions.where(init=init, border=border))


def source_names(content: EntrySettings, predictions: Predictions) -> list[str]:
    """Returns the names of the entry's sources, in order. Raises EntryError unless they are those of its data."""
    data = content["data"]
    first = next(blocks(content))
    names: list[str] = predictions.column("source")[: data["evaluated"] * first.each : first.each].tolist()
    if len(names) != data["evaluated"]:
        raise EntryError(f"{first}: {len(names)} sources, but {data['evaluated']} were evaluated (data.evaluated)")
    if len(set(names)) != len(names):
        raise EntryError(f"{first}: a source occurs twice, {next(n for n in names if names.count(n) > 1)}")
    if sources_digest(names) != data["sources_sha256"]:
        raise EntryError("the sources are not those of data.sources_sha256")
    known = track_sources(data["set"], data["track"])
    if known is not None and names != known:
        raise EntryError(f"data.track is {data['track']}, but the sources are not those of its test split")
    return names


@cache
def track_sources(name: str, track: str) -> list[str] | None:
    """Returns the names of the test sources of a track; None if they are not fixed, and for generated sets."""
    spec = SPECS[name]
    if track == OTHER or not spec.needs_images:
        return None
    if track in (OFFICIAL, UNVERIFIED):
        return list(official_selection(spec).values())[-1]
    sizes = {one.name: one.demo_splits for one in SPECS.values() if one.needs_images}
    pictures = DemoSource.of(max(selection_ranks(SPECS[one], sizes).stop for one in sizes)).names
    return list(select(spec, pictures, collection=None, official=False, splits=sizes).values())[-1]


def sources_digest(names: Sequence[str]) -> str:
    """Returns the SHA-256 (hex) of source names, one a line."""
    return sha256_hex("".join(f"{name}\n" for name in names).encode())


def check_block(block: Block, rows: Predictions, sources: Sequence[str], predictions: Predictions) -> None:
    """Raises EntryError unless rows are those of the block: its values, its sources, each label once per pair.

    Args:
        block: The block that the rows must be.
        rows: The rows at the block's position.
        sources: The names of the entry's sources, in order.
        predictions: All rows of the entry.
    """
    wanted = block.each * len(sources)
    placed = len(rows) == wanted and all((rows.column(name) == value).all() for name, value in block.keys.items())
    named = placed and rows.column("source").tolist() == [source for source in sources for _ in range(block.each)]
    if not named and (there := len(predictions.where(**block.keys))) != wanted:
        raise EntryError(f"{block}: {there} rows, but there must be {wanted}, no more and no fewer")
    if not placed:
        raise EntryError(f"{block}: the rows are not where they belong; they come by init, border and seed")
    if not named:
        raise EntryError(f"{block}: the sources are not those of the first block, in its order")
    if block.each == 2 and (rows.column("label") != np.arange(wanted) % 2).any():
        raise EntryError(f"{block}: each source needs label 0, then label 1")


def check_values(content: EntrySettings, block: Block, rows: Predictions) -> None:
    """Raises EntryError for values that no network can return."""
    margin, answer, difference = (rows.column(name) for name in ("margin", "prediction", "difference"))
    if not (np.isfinite(margin).all() and np.isfinite(difference).all() and (difference >= 0).all()):
        raise EntryError(f"{block}: margins must be finite, differences finite and 0 or more")
    if content["task"] == SHIFTED.name:
        if (margin < 0).any() or (answer < 0).any():
            raise EntryError(f"{block}: the answer is the largest logit, so that margin and prediction are 0 or more")
        return
    if (answer != (margin > 0)).any():
        raise EntryError(f"{block}: the prediction is 1 where the margin is above 0, else 0; one is not")
    if block.each == 2:
        pairs = difference.reshape(-1, 2)
        channels = rows.column("channels").reshape(-1, 2)
        if (pairs[:, 0] != pairs[:, 1]).any() or (channels[:, 0] != channels[:, 1]).any():
            raise EntryError(f"{block}: the two rows of a source have one difference and one share of channels")
        if ((channels < 0) | (channels > 1)).any():
            raise EntryError(f"{block}: a share of channels must be from 0 to 1")
        if (difference < tolerance_of(content)).all() and (margin != 0).any():
            raise EntryError(f"{block}: the corners are equal, so that every margin is 0; one is not")


def check_verdict(content: EntrySettings, init: str, border: int, rows: Predictions) -> None:
    """Raises EntryError if an equal border is answered by two classes, or one is called proved but is not equal.

    Args:
        content: The entry's settings.
        init: The init of these rows.
        border: The border of these rows.
        rows: The rows of all seeds.
    """
    where = f"init {init}, border {border}"
    equal = (rows.column("difference") < tolerance_of(content)).all()
    if border in content["proved"].get(init, ()) and not equal:
        raise EntryError(f"{where}: proved, yet the corners differ by {rows.column('difference').max():.1e} of scale")
    right = (rows.column("prediction") == rows.column("label")).reshape(-1, 2)
    if equal and (right.sum(axis=1) != 1).any():
        raise EntryError(f"{where}: equal corners mean one right answer for each source; a source has another number")


def check_reach(content: EntrySettings, figures: Figures) -> None:
    """Raises EntryError if location was read at a border at which, by receptive field and stride, it can't be."""
    model = content["model"]
    field, stride = model["receptive_field"], model["total_stride"]
    if content["task"] != QI.name or field is None or stride is None or QUADRANT.displacement % stride:
        return
    for init, found in figures.items():
        reach: Any = found["reach"]
        # Beyond R - 1 pixels no output sees both the patch and the edge.
        if reach is not None and reach + content["protocol"]["further_border"] >= field - 1:
            raise EntryError(
                f"figures.{init}.reach is {reach}, but a receptive field of {field} sees no edge from there"
            )
