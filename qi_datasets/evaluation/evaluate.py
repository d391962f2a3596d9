"""`evaluate`: from a network to an entry."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from torch import nn

from qi_datasets.errors import OptionError
from qi_datasets.evaluation.cases import Design
from qi_datasets.evaluation.design import designed, device_for, task_named
from qi_datasets.evaluation.entry import ENTRY, Entry
from qi_datasets.evaluation.models import NONE, opened
from qi_datasets.evaluation.settings import MAY_DIFFER, OUTCOME, seconds_of, settings_of, with_notes
from qi_datasets.evaluation.tasks import Task
from qi_datasets.evaluation.variants import Background, Pool, Variant
from qi_datasets.evaluation.work import Workplace, check_same
from qi_datasets.networks.variants import PaddingVariant
from qi_datasets.progress import bar_over


def evaluate(
    model: str | nn.Module | Callable[[], nn.Module],
    task: str = "qi",
    output: str | Path | None = None,
    borders: Iterable[int] | None = None,
    init: str | Iterable[str] | None = None,
    seeds: int | None = None,
    limit: int | None = None,
    entry: str | Path | None = None,
    local: bool = True,
    *,
    weights: str = NONE,
    padding: PaddingVariant = "own",
    pool: Pool | None = None,
    background: Background = "zero",
    batch_norm: str | None = None,
    device: str | None = None,
    progress: bool = False,
) -> Entry:
    """Evaluates a network on a set; on `qi`: from how far away it reads where things are.

    model: a module; a function without arguments that makes one; or a name (torchvision's classifiers, `bagnet33`,
        `timm:NAME`, `package.module:factory`, `path/to/file.py:factory`). Images are (N, 3, H, W), answers (N, F)
    task: `qi`, `shifted`, `red_green`, `rook` or `corner`
    output: where the sets are, the folder that `qi-build` wrote; by default as for `load_dataset`
    borders: of `qi`, pixels per side; by default the official seven
    init: `random`, `pretrained`, `given` (the module as it is), `scratch` (trained), or several of them; by default
        `given` for a module, `pretrained` where there are weights, else `random`
    seeds: networks of `random` and `scratch`; by default 5 and 3
    limit: sources of each split, for a quick look; such figures are on no track
    entry: folder for the entry; a run that was cut off goes on there, and several processes share the work
    local: compute only what differs from the blank canvas, where the layers allow it; the figures are the same
    weights: `none`, `default` (those of the library), or the file of a state dict
    padding: `own`, `full`, `exact`, `valid`, `circular`, `reflect` or `replicate`, on the same weights
    pool: `max` or `own`, the pooling before the head; by default `max` for classifiers of the libraries
    background: `zero` normalises the picture alone, so that black stays 0; `plain` normalises black too
    batch_norm: `calibrated` on training images, or `untouched`; by default calibrated for `random`
    device: of torch; by default a GPU if there is one
    progress: show bars on a terminal

    Returns the `Entry`, whose figures follow from its predictions; it is written if `entry` is given. Raises
    OptionError for bad arguments, ModelError for a network that can't be made or evaluated, NotBuiltError and
    StoredSetError for the set, OutputError for the folder.
    """
    chosen = task_named(task)
    network = opened(model, weights)
    where = device_for(device)
    design = designed(
        chosen, network, Variant(padding, pool, background), borders, init, seeds, batch_norm, where, local
    )
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise OptionError(f"limit must be a number of sources from 1, not {limit!r}")
    if entry is None:
        with tempfile.TemporaryDirectory(prefix="qi-eval-") as folder:
            return evaluated(chosen, design, output, limit, Path(folder), progress)
    return evaluated(chosen, design, output, limit, Path(entry).expanduser().absolute(), progress)


def evaluated(
    task: Task, design: Design, output: str | Path | None, limit: int | None, folder: Path, progress: bool
) -> Entry:
    """The entry in a folder: begun, gone on with, or finished already."""
    data = task.read(output, design, limit, progress)
    settings = settings_of(task, design, data.facts)
    place = Workplace(folder)
    if not (folder / ENTRY).exists():
        settings = place.open(settings, MAY_DIFFER)
        work = task.work(design, data, place)
        with bar_over(f"{task.name}, {design.model.name}", work.size, "unit", progress) as bar:
            place.work(
                lambda: [] if (folder / ENTRY).exists() else work.open_units(),
                lambda unit: bar.update(),
            )
        with place.finishing():
            if not (folder / ENTRY).exists():
                notes = work.notes()
                made = Entry.of(with_notes(settings, notes), work.predictions(), seconds_of(notes))
                made.write(folder)
                place.remove()
                return made
    there = Entry.read(folder)
    check_same(there.content, settings, (*MAY_DIFFER, *OUTCOME), folder)
    return there
