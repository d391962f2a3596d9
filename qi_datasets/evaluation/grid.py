"""`evaluate_grid`: measures in which cells of a grid a network reads the position of a picture.

An evaluation is two files in a folder, `grid.json` (settings, figures, seals) and `grid.parquet` (all answers), from
which a reader computes the figures again. They may be beside the same network's `entry.json`. That is about
one patch in two corners at seven borders: a grid has other images, another probe and other figures, so it is no entry
of `qi` (cards/specification.md, "evaluation on grids of qi").
"""

import json
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qi_datasets.errors import EntryError, OptionError, one_line
from qi_datasets.evaluation.arguments import EvaluationRequest
from qi_datasets.evaluation.content import EntryContent, Figures, GridAnswered, GridContent, GridSettings, Notes
from qi_datasets.evaluation.entry import are_equal_figures, check_data, check_seals, differences_of, read_json, seals_of
from qi_datasets.scores.grid import grid_scores
from qi_datasets.sources.reading import open_regular
from qi_datasets.specs import GRID, QI
from qi_datasets.storage.writing import output_errors

if TYPE_CHECKING:
    from torch import nn

    from qi_datasets.evaluation.cases import Case, Design
    from qi_datasets.evaluation.data import EvaluationData
    from qi_datasets.evaluation.work_folder import Part, Unit, Workplace

TRAIN, _, TEST = QI.splits
SETTINGS, ANSWERS = "grid.json", "grid.parquet"
VERSION = 1
MOST_BYTES = 50_000_000
"""Largest size in bytes of each of the two files."""

MOST_ROWS = 10_000_000

SAME_NETWORK: tuple[Literal["name", "weights", "padding", "pool", "background"], ...] = (
    "name",
    "weights",
    "padding",
    "pool",
    "background",
)
"""Fields that are the same in an evaluation on a grid and in the entry in its folder."""

TYPES = {"init": pa.string(), "seed": pa.int32(), "source": pa.string(), "cell": pa.int16(), "answer": pa.int16()}


@dataclass(frozen=True)
class GridEntry:
    """One network's answers on a grid of `qi`.

    content: `model`, `transform`, `data` and `run` as in an entry; `grid`, `border`, `inits` (init -> seeds and
        batch norm), `differences` (init -> largest difference between cells, of scale), `dense_because`, `figures`
        (init -> accuracy and bits with their intervals, shares (K x K, nested), confusion), and `seals`.
    answers: init -> (seeds, sources, cells), the cell that the network names.
    sources: names of the test sources.
    """

    content: GridContent
    answers: Mapping[str, NDArray[np.int64]]
    sources: tuple[str, ...]

    @classmethod
    def of(cls, settings: GridAnswered, answers: Mapping[str, NDArray[np.int64]], sources: tuple[str, ...]) -> Self:
        """Returns the evaluation of finished answers, with computed figures."""
        figures = {init: figures_of(each, settings["grid"]) for init, each in answers.items()}
        content: GridContent = {**settings, "figures": figures, "seals": {}}
        # The section of seals has none.
        return cls({**content, "seals": seals_of(content)}, answers, sources)

    @property
    def figures(self) -> dict[str, Figures]:
        """Init -> figures."""
        return self.content["figures"]

    def write(self, folder: str | Path) -> Path:
        """Writes both files into a folder, which is made, and returns the folder. Raises OutputError if it can't."""
        target = Path(folder).expanduser()
        columns: dict[str, list[Any]] = {name: [] for name in TYPES}
        for init, found in self.answers.items():
            for (seed, source, cell), answer in np.ndenumerate(found):
                row = (init, self.content["inits"][init]["seeds"][seed], self.sources[source], cell, int(answer))
                for name, value in zip(columns, row, strict=True):
                    columns[name].append(value)
        table = pa.table({name: pa.array(values, TYPES[name]) for name, values in columns.items()})
        with output_errors(target):
            target.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, target / ANSWERS, compression="zstd")
            (target / SETTINGS).write_text(json.dumps(self.content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        return target

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Returns the evaluation in a folder, after computing every figure again from its answers.

        Raises:
            EntryError: If a file can't be read, or the answers contradict a figure.
        """
        place = Path(folder)
        # Its type is not checked: the block catches the errors of content of other types.
        content = cast("GridContent", read_json(place / SETTINGS))
        try:
            open_regular(str(place / ANSWERS)).close()
            facts = pq.read_metadata(place / ANSWERS)
            if (place / ANSWERS).stat().st_size > MOST_BYTES or facts.num_rows > MOST_ROWS:
                raise EntryError(f"{place / ANSWERS} is larger than any evaluation on a grid", code="unreadable-entry")
            GRID.check(content["grid"])
            check_data(content["data"])
            check_seals(content)
            cells, inits = content["grid"] ** 2, content["inits"]
            per_seed = content["data"]["evaluated"] * cells
            if facts.num_rows != per_seed * sum(len(each["seeds"]) for each in inits.values()):
                raise EntryError(f"{place / ANSWERS} has {facts.num_rows} rows, which is not one for each cell")
            table = pq.read_table(place / ANSWERS, columns=list(TYPES))
            sources = tuple(table.column("source").to_pylist()[:per_seed:cells])
            answers, start = {}, 0
            for init, each in inits.items():
                stop = start + len(each["seeds"]) * per_seed
                found = table.column("answer").to_numpy()[start:stop].astype(np.int64)
                if ((found < 0) | (found >= cells)).any():
                    raise EntryError(f"{place / ANSWERS} names cells that are not in a grid of {content['grid']}")
                answers[init], start = found.reshape(len(each["seeds"]), len(sources), cells), stop
            kept = {key: value for key, value in content.items() if key not in ("figures", "seals")}
            made = cls.of(cast("GridAnswered", kept), answers, sources)
            agree = not any(differences_of("figures", made.figures, content["figures"], are_equal_figures))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException, OptionError) as error:
            raise EntryError(
                f"{place} can't be read as an evaluation on a grid: {one_line(error)}", code="unreadable-entry"
            ) from error
        if not agree:
            raise EntryError(f"{place}: the figures are not those of the answers; write the evaluation again")
        return made

    def check_beside(self, entry: EntryContent) -> None:
        """Raises EntryError unless an entry is about the same network on the same pictures."""
        model, other = self.content["model"], entry["model"]
        for name in SAME_NETWORK:
            if model.get(name) != other[name]:
                raise EntryError(f"{SETTINGS} is of another network: its {name} is {model.get(name)!r}")
        for split, digest in self.content["data"]["digests"].items():
            if entry["task"] != QI.name or entry["data"]["digests"].get(split) != digest:
                raise EntryError(f"{SETTINGS} is of other pictures: the digests of {split} differ")
        for init, each in self.content["inits"].items():
            seeds = entry["protocol"]["inits"].get(init, {"seeds": []})["seeds"]
            known = dict(zip(seeds, other["weights_sha256"].get(init, []), strict=False))
            ours = dict(zip(each["seeds"], model["weights_sha256"][init], strict=False))
            shared = known.keys() & ours.keys()
            if not shared or any(known[seed] != ours[seed] for seed in shared):
                raise EntryError(f"{SETTINGS} is of other weights: those of init {init} differ from the entry's")


def grid_beside(folder: Path, entry: EntryContent) -> GridEntry | None:
    """Returns the evaluation on a grid beside an entry; None if there is none. Raises EntryError."""
    if not (folder / SETTINGS).exists() and not (folder / ANSWERS).exists():
        return None
    made = GridEntry.read(folder)
    made.check_beside(entry)
    return made


def figures_of(answers: NDArray[np.int64], grid: int) -> Figures:
    """Returns the figures of one init as plain numbers. answers: (seeds, sources, cells)."""
    scores = grid_scores(answers)
    intervals = {"accuracy": scores.accuracy, "bits": scores.bits}
    return {
        **{name: {"value": each.mean, "low": each.low, "high": each.high} for name, each in intervals.items()},
        "possible_bits": 2 * math.log2(grid),
        "shares": scores.shares.reshape(grid, grid).tolist(),
        "confusion": scores.confusion.tolist(),
    }


def evaluate_grid(
    model: "str | nn.Module | Callable[[], nn.Module]",
    grid: int,
    output: str | Path | None = None,
    border: int = 0,
    init: str | None = None,
    seeds: int | None = None,
    limit: int | None = None,
    local: bool = True,
    *,
    entry: str | Path | None = None,
    progress: bool = False,
    **options: Any,
) -> GridEntry:
    """Evaluates a network on a grid of `qi`: in which cells does it read the picture's position?

    Args:
        model: As in `evaluate`.
        grid: K from 2 to 9, cells per side.
        output: The folder of `qi`, as in `evaluate`.
        border: Pixels per side.
        init: `random`, `pretrained` or `given`; by default as in `evaluate`.
        seeds: Number of networks of `random`; by default 5.
        limit: Number of sources of each split, for a quick look.
        local: Compute only what differs from the black canvas, where the layers allow it.
        entry: Folder for the two files; an interrupted run continues there; several processes share the work. It
            may hold the same network's entry.
        progress: Show a bar on a terminal.
        options: `weights`, `padding`, `pool`, `background`, `batch_norm`, `mean`, `std`, `device`, as in `evaluate`.

    Returns:
        The evaluation, whose figures follow from its answers.

    Raises:
        OptionError: If an argument is wrong; further errors as in `evaluate`.
    """
    from qi_datasets.evaluation.design import design_of
    from qi_datasets.evaluation.evaluate import read_data
    from qi_datasets.evaluation.initialisations import SCRATCH
    from qi_datasets.specs import QUADRANT

    GRID.check(grid)
    if init == SCRATCH:
        raise OptionError(
            "a grid is read by a probe of frozen networks; init scratch has no effect on it", code="no-effect"
        )
    request = EvaluationRequest(borders=[border], init=init, seeds=seeds, limit=limit, local=local, **options)
    design = replace(design_of(model, request), canvas=QUADRANT.grid_side(grid))
    data = read_data(design, output, limit, progress=progress)
    if entry is None:
        with tempfile.TemporaryDirectory(prefix="qi-eval-") as folder:
            return run_grid_design(design, grid, data, Path(folder), progress=progress)
    return run_grid_design(design, grid, data, Path(entry).expanduser().absolute(), progress=progress)


def run_grid_design(design: "Design", grid: int, data: "EvaluationData", folder: Path, *, progress: bool) -> GridEntry:
    """Begins the evaluation in a folder, continues it, or reads it if it is finished.

    Args:
        design: The evaluation's design.
        grid: Cells per side.
        data: The evaluation's data.
        folder: Folder of the two files.
        progress: Show a bar on a terminal.
    """
    from qi_datasets.evaluation.evaluate import deterministic
    from qi_datasets.evaluation.settings import MAY_DIFFER, settings_of
    from qi_datasets.evaluation.work_folder import Workplace, check_same
    from qi_datasets.progress import bar_over

    said = settings_of(design, data.facts)
    settings: GridSettings = {
        "version": VERSION,
        "package_version": said["package_version"],
        "date": said["date"],
        "model": said["model"],
        "transform": said["transform"],
        "data": said["data"],
        "run": said["run"],
        "grid": grid,
        "border": design.borders[0],
        "inits": said["protocol"]["inits"],
    }
    place = Workplace(folder, SETTINGS, ".grid")
    if not place.finished:
        settings = place.open(settings, MAY_DIFFER)
        work = GridWork(design, grid, data, place)
        with deterministic(), bar_over(f"grid of {grid}, {design.model.name}", work.size, "network", progress) as bar:

            def count(_: "Unit") -> None:
                bar.update()

            place.work(work.open_units, count)
        with place.finishing():
            if not place.finished:
                made = work.put_together(settings)
                made.write(folder)
                place.remove()
                return made
    there = GridEntry.read(folder)
    check_same(there.content, json.loads(json.dumps(settings)), MAY_DIFFER, folder)
    return there


class GridWork:
    """The units of an evaluation on a grid, one for each network."""

    def __init__(self, design: "Design", grid: int, data: "EvaluationData", place: "Workplace") -> None:
        from qi_datasets.protocols.grid import Cells

        self.design, self.data, self.place = design, data, place
        self.cells = {border: Cells(grid, border + design.facts.further_border) for border in design.borders}

    @property
    def size(self) -> int:
        """The number of units."""
        return len(list(self.design.cases))

    def open_units(self) -> "list[Unit]":
        """Returns the units that can be done now; [] once every network has answered."""
        from qi_datasets.evaluation.work_folder import Unit

        cases = [case for case in self.design.cases if not self.place.has(case.part("grid"))]
        return [Unit(case.part("grid"), partial(self.answers, case)) for case in cases]

    def answers(self, case: "Case") -> "Part":
        """Computes which cell a network's probe names for every test source in every cell."""
        from qi_datasets.evaluation.work_folder import Part
        from qi_datasets.protocols.grid import GridNetwork, calibrate_on_grid, largest_difference, probe_cells

        train, test = (self.design.input(self.data.images[split]).to(self.design.device) for split in (TRAIN, TEST))
        network, cells = self.design.network(case).network, self.cells[case.border]
        if self.design.calibrated(case):
            calibrate_on_grid(network, train, cells)
        reader = GridNetwork(network, cells, local=self.design.local)
        features = reader.features(train), reader.features(test)
        notes: Notes = {"difference": largest_difference(features[1]), "dense_because": reader.dense_because}
        return Part(pa.table({"answer": pa.array(probe_cells(*features).ravel(), TYPES["answer"])}), notes)

    def put_together(self, settings: GridSettings) -> GridEntry:
        """Returns the evaluation of complete answers."""
        sources = tuple(self.data.sources[TEST])
        answers: dict[str, list[NDArray[np.int64]]] = {}
        differences: dict[str, float] = {}
        dense = ""
        for case in self.design.cases:
            part = self.place.read(case.part("grid"))
            named = part.table.column("answer").to_numpy().astype(np.int64)
            answers.setdefault(case.init, []).append(named.reshape(len(sources), -1))
            differences[case.init] = max(part.notes["difference"], differences.get(case.init, 0.0))
            dense = part.notes["dense_because"]
        stacked = {init: np.stack(each) for init, each in answers.items()}
        return GridEntry.of({**settings, "differences": differences, "dense_because": dense}, stacked, sources)
