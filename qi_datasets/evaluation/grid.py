"""`evaluate_grid`: in which cells of a grid a network reads where a picture stands.

An evaluation is a folder of two files: `grid.json` (settings and figures) and `grid.parquet` (every answer), from which
whoever reads it computes the figures again (cards/specification.md, "evaluation on grids of qi").
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qi_datasets.errors import EntryError, OptionError, OutputError, one_line
from qi_datasets.scores.grid import grid_scores
from qi_datasets.specs import GRID

SETTINGS, ANSWERS = "grid.json", "grid.parquet"
MOST_BYTES = 50_000_000
"""Of either file, that are read."""

CLOSE = 1e-9
"""Difference of figures that another processor may round in another way."""

TYPES = {"init": pa.string(), "seed": pa.int32(), "source": pa.string(), "cell": pa.int16(), "answer": pa.int16()}


@dataclass(frozen=True)
class GridEntry:
    """One network's answers on a grid of `qi`.

    content: `model`, `padding`, `grid`, `border`, `inits` (init -> seeds), `data`, `differences` (init -> largest
        difference between cells, of scale), `dense_because`, and `figures` (init -> accuracy and bits with their
        intervals, shares (K x K, nested), confusion).
    answers: init -> (seeds, sources, cells), the cell named.
    sources: names of the test sources.
    """

    content: Mapping[str, Any]
    answers: Mapping[str, NDArray[np.int64]]
    sources: tuple[str, ...]

    @classmethod
    def of(
        cls, settings: Mapping[str, Any], answers: Mapping[str, NDArray[np.int64]], sources: tuple[str, ...]
    ) -> Self:
        """Returns the evaluation of finished answers, its figures computed."""
        figures = {init: figures_of(each, settings["grid"]) for init, each in answers.items()}
        return cls({**settings, "figures": figures}, answers, sources)

    @property
    def figures(self) -> dict[str, Any]:
        """Init -> figures."""
        found: dict[str, Any] = self.content["figures"]
        return found

    def write(self, folder: str | Path) -> Path:
        """Writes both files into a folder, which is made, and returns it. Raises OutputError if it can't."""
        target = Path(folder).expanduser()
        columns: dict[str, list[Any]] = {name: [] for name in TYPES}
        for init, found in self.answers.items():
            for (seed, source, cell), answer in np.ndenumerate(found):
                row = (init, self.content["inits"][init][seed], self.sources[source], cell, int(answer))
                for name, value in zip(columns, row, strict=True):
                    columns[name].append(value)
        table = pa.table({name: pa.array(values, TYPES[name]) for name, values in columns.items()})
        try:
            target.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, target / ANSWERS, compression="zstd")
            (target / SETTINGS).write_text(json.dumps(self.content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror or error}; choose another folder") from error
        return target

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Returns the evaluation in a folder, after computing every figure again from its answers.

        Raises:
            EntryError: for files that can't be read, and for figures that the answers contradict.
        """
        place = Path(folder)
        try:
            for name in (SETTINGS, ANSWERS):
                if (place / name).stat().st_size > MOST_BYTES:
                    raise EntryError(
                        f"{place / name} is larger than {MOST_BYTES} bytes; no evaluation is", code="unreadable-entry"
                    )
            content = json.loads((place / SETTINGS).read_text(encoding="utf-8"))
            table = pq.read_table(place / ANSWERS)
            cells, inits = content["grid"] ** 2, content["inits"]
            sources = tuple(table.column("source").to_pylist()[: content["data"]["evaluated"] * cells : cells])
            answers, start = {}, 0
            for init, seeds in inits.items():
                stop = start + len(seeds) * len(sources) * cells
                found = table.column("answer").to_numpy()[start:stop]
                answers[init], start = found.reshape(len(seeds), len(sources), cells).astype(np.int64), stop
            made = cls.of({key: value for key, value in content.items() if key != "figures"}, answers, sources)
            agree = is_close(made.figures, content["figures"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
            raise EntryError(
                f"{place} can't be read as an evaluation on a grid: {one_line(error)}", code="unreadable-entry"
            ) from error
        if not agree or start != table.num_rows:
            raise EntryError(f"{place}: the figures are not those of the answers; write the evaluation again")
        return made


def figures_of(answers: NDArray[np.int64], grid: int) -> dict[str, Any]:
    """Returns the figures of one init as plain numbers. answers: (seeds, sources, cells)."""
    scores = grid_scores(answers)
    intervals = {"accuracy": scores.accuracy, "bits": scores.bits}
    return {
        **{name: {"value": each.mean, "low": each.low, "high": each.high} for name, each in intervals.items()},
        "possible_bits": 2 * math.log2(grid),
        "shares": scores.shares.reshape(grid, grid).tolist(),
        "confusion": scores.confusion.tolist(),
    }


def is_close(one: Any, other: Any) -> bool:
    """Returns whether two nests of figures have the same keys, and numbers that differ by rounding alone."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(is_close(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(is_close, one, other))
    return isinstance(other, int | float) and math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)


def evaluate_grid(
    model: Any,
    grid: int,
    output: str | Path | None = None,
    border: int = 0,
    init: str | None = None,
    seeds: int | None = None,
    limit: int | None = None,
    local: bool = True,
    *,
    progress: bool = False,
    **options: Any,
) -> GridEntry:
    """Evaluates a network on a grid of `qi`: in which cells does it read where the picture stands?

    Args:
        model: as of `evaluate`.
        grid: K from 2 to 9, cells per side.
        output: where `qi` is, as of `evaluate`.
        border: pixels per side.
        init: `random`, `pretrained` or `given`; by default as of `evaluate`.
        seeds: networks of `random`; by default 5.
        limit: sources of each split, for a quick look.
        local: compute only what differs from the empty canvas, where the layers allow it.
        progress: show a bar on a terminal.
        options: `weights`, `padding`, `pool`, `background`, `batch_norm`, `mean`, `std`, `device`, as of `evaluate`.

    Returns:
        The evaluation, whose figures follow from its answers.

    Raises:
        OptionError: for bad arguments; further errors as of `evaluate`.
    """
    from qi_datasets.evaluation.design import design_of
    from qi_datasets.evaluation.evaluate import deterministic, read
    from qi_datasets.evaluation.inits import SCRATCH
    from qi_datasets.progress import bar_over
    from qi_datasets.protocols.grid import Cells, GridNetwork, calibrate_on_grid, cells_named, largest_difference
    from qi_datasets.specs import QI, QUADRANT

    GRID.check(grid)
    if init == SCRATCH:
        raise OptionError(
            "a grid is read by a probe of frozen networks; init scratch has no effect on it", code="no-effect"
        )
    chosen: dict[str, Any] = {
        "weights": "none",
        "padding": "own",
        "pool": None,
        "background": "zero",
        "batch_norm": None,
    }
    chosen |= {"mean": None, "std": None, "device": None} | options
    design = replace(design_of(model, QI.name, [border], init, seeds, local, **chosen), canvas=QUADRANT.grid_side(grid))
    data = read(design, output, limit, progress=progress)
    train, _, test = QI.splits
    patches = {split: design.input(data.images[split]).to(design.device) for split in (train, test)}
    answers: dict[str, Any] = {}
    differences: dict[str, float] = {}
    dense = ""
    cases = list(design.cases)
    with deterministic(), bar_over(f"grid of {grid}, {design.model.name}", 2 * len(cases), "pass", progress) as bar:
        for case in cases:
            cells = Cells(grid, design.border(case))
            network = design.network(case).network
            if design.calibrated(case):
                calibrate_on_grid(network, patches[train], cells)
            reader = GridNetwork(network, cells, local=local)
            features = []
            for split in (train, test):
                features.append(reader.features(patches[split]))
                bar.update()
            answers.setdefault(case.init, []).append(cells_named(*features))
            apart = largest_difference(features[1])
            differences[case.init] = max(apart, differences.get(case.init, 0.0))
            dense = reader.dense_because
    settings = {
        "model": design.model.name,
        "padding": design.variant.padding,
        "grid": grid,
        "border": border,
        "inits": {kind: list(each["seeds"]) for kind, each in design.inits.items()},
        "data": dict(data.facts),
        "differences": differences,
        "dense_because": dense,
    }
    stacked = {kind: np.stack(each) for kind, each in answers.items()}
    return GridEntry.of(settings, stacked, tuple(data.sources[test]))
