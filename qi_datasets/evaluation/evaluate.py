"""`evaluate`: makes an entry from a network."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qi_datasets.errors import OptionError
from qi_datasets.evaluation import wording
from qi_datasets.evaluation.arguments import EvaluationRequest, check_entry
from qi_datasets.evaluation.cases import Design
from qi_datasets.evaluation.content import DeadContent, EntrySettings
from qi_datasets.evaluation.data import EvaluationData
from qi_datasets.evaluation.description import ABOUT, make_about
from qi_datasets.evaluation.design import design_of
from qi_datasets.evaluation.entry import Entry
from qi_datasets.evaluation.initialisations import Background, Padding, Pool
from qi_datasets.evaluation.models import NONE
from qi_datasets.evaluation.settings import MAY_DIFFER, OUTCOME, seconds_of, settings_of, with_notes
from qi_datasets.evaluation.tasks import TASKS, Work
from qi_datasets.evaluation.work_folder import Unit, Workplace, check_same
from qi_datasets.progress import Teller, bar_over, is_watched, note


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
    padding: Padding = "own",
    pool: Pool | None = None,
    background: Background = "zero",
    batch_norm: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    device: str | None = None,
    progress: bool | None = None,
    name: str | None = None,
    paper: str | None = None,
    code: str | None = None,
    authors: str | None = None,
    model_id: str | None = None,
    notes: str | None = None,
) -> Entry:
    """Evaluates a network on a set; on `qi`: up to which border does it read location?

    Args:
        model: A module; a function without arguments that makes one; or a name (torchvision's classifiers,
            `bagnet33`, `timm:NAME`, `package.module:factory`, `path/to/file.py:factory`). Images are (N, 3, H, W),
            answers (N, F).
        task: `qi`, `shifted`, `red_green`, `rook` or `corner`.
        output: The folder of sets that `qi-build` wrote; by default as in `load_dataset`.
        borders: Borders of `qi` in pixels per side; by default the official seven.
        init: `random`, `pretrained`, `given` (the module as it is), `scratch` (trained), or several of them; by
            default `given` for a module, `pretrained` if there are weights, else `random`.
        seeds: Number of networks of `random` and `scratch`; by default 5 and 3.
        limit: Number of sources of each split, for a quick look; such figures are on no track.
        entry: Folder for the entry; an interrupted run continues there, and several processes share the work.
        local: Compute only what differs from a black image, where the layers allow it; the figures are the
            same.
        weights: `none`, `default` (those of the library), or the file of a state dict.
        padding: `own`, `full`, `exact`, `valid`, `circular`, `reflect` or `replicate`, with the same weights.
        pool: `max` or `own`, the pooling before the head; by default `max` for classifiers of the libraries.
        background: `zero` normalises the picture alone, so that black stays 0; `plain` normalises black too.
        batch_norm: `calibrated` on training images, or `untouched`; by default calibrated for `random`.
        mean: Mean of each channel in [0, 1], for normalising pictures; by default those that the library
            says of its weights, else ImageNet's.
        std: Standard deviation of each channel in [0, 1], likewise; by default those that the library
            says of its weights, else ImageNet's.
        device: Device of torch; by default a GPU if there is one.
        progress: Show bars, or lines where there is no terminal; by default bars on terminals and in notebooks.
        name: The network's name for readers, at most 80 characters; by default that of the model.
        paper: A https link.
        code: A https link.
        authors: The people who made the network, or ran it.
        model_id: ORG/MODEL, its repository on the Hub.
        notes: Further remarks for readers; these six may be changed later (`Entry.described`).

    Returns:
        The `Entry`, whose figures follow from its predictions; it is written if `entry` is given.

    Raises:
        OptionError: If an argument is wrong.
        ModelError: If the network can't be made or evaluated.
        NotBuiltError: If the set is not there.
        StoredSetError: If the set differs from its manifest.
        OutputError: If the folder can't be written.
    """
    request = EvaluationRequest(
        task, borders, init, seeds, limit, local, weights, padding, pool, background, batch_norm, mean, std, device
    )
    about = {"name": name, "paper": paper, "code": code, "authors": authors, "model_id": model_id, "notes": notes}
    return evaluate_request(model, request, output, entry, progress=progress, **about)


def evaluate_request(
    model: str | nn.Module | Callable[[], nn.Module],
    request: EvaluationRequest,
    output: str | Path | None = None,
    entry: str | Path | None = None,
    *,
    progress: bool | None = None,
    **about: str | None,
) -> Entry:
    """Evaluates a network as a request says; arguments, result and errors as in `evaluate`.

    Args:
        model: As in `evaluate`.
        request: The settings of the evaluation.
        output: As in `evaluate`.
        entry: As in `evaluate`.
        progress: As in `evaluate`.
        **about: The six fields that describe the network.
    """
    check_entry(entry)
    about_network = make_about(**about)
    progress = is_watched() if progress is None else progress
    design = design_of(model, request)
    data = read_data(design, output, request.limit, progress=progress)
    if entry is None:
        with tempfile.TemporaryDirectory(prefix="qi-eval-") as folder:
            return run_design(design, data, Path(folder), progress, about_network)
    return run_design(design, data, Path(entry).expanduser().absolute(), progress, about_network)


def read_data(design: Design, output: str | Path | None, limit: int | None, *, progress: bool) -> EvaluationData:
    """Reads the data of a design; errors as in `evaluate`.

    Args:
        design: The evaluation's design.
        output: As in `evaluate`.
        limit: As in `evaluate`.
        progress: As in `evaluate`.
    """
    return TASKS[design.task].read(output, design, limit, progress)


def run_design(
    design: Design, data: EvaluationData, folder: Path, progress: bool, about: Mapping[str, str] | None = None
) -> Entry:
    """Begins the entry in a folder, continues it, or reads it if it is finished.

    Args:
        design: The evaluation's design.
        data: The evaluation's data.
        folder: The entry's folder.
        progress: Show a bar on a terminal.
        about: Texts about the network; an entry that is finished already gets them too.
    """
    place, settings = Workplace(folder), settings_of(design, data.facts)
    if not place.finished:
        settings = place.open(settings, MAY_DIFFER)
        work = TASKS[design.task].work(design, data, place)
        dead = dead_content(design)
        for init, branches in dead.items() if progress else ():
            note(f"{design.model.name} ({init}): {wording.dead_branches(branches)}")
        with deterministic(), bar_over(f"{design.task}, {design.model.name}", work.size, "unit", progress) as bar:
            teller = Teller(f"{design.task}, {design.model.name}", work.size, progress)

            def count(unit: Unit) -> None:
                bar.update()
                teller.count(unit.name.split("-")[1] if len(design.borders) > 1 else "")

            try:
                place.work(work.open_units, count)
            except KeyboardInterrupt as stop:
                stop.add_note(f"{teller.done} of at most {work.size} parts were done")
                raise
        with place.finishing():
            if not place.finished:
                made = put_together(settings, dead, work)
                made = made.described(**about) if about else made
                made.write(folder)
                place.remove()
                return made
    there = Entry.read(folder)
    check_same(there.content, settings, (*MAY_DIFFER, *OUTCOME), folder)
    if about and about != there.content.get(ABOUT, {}):
        there = there.described(**about)
        there.write(folder)
    return there


def merge_parts(design: Design, data: EvaluationData, folder: Path) -> Entry:
    """Returns the entry of a folder's finished parts: of the borders at which every init and seed has answered.

    Work can be continued there afterwards.

    Raises:
        OptionError: If no border is complete.
    """
    place = Workplace(folder)
    if place.finished:
        return Entry.read(folder)
    place.open(settings_of(design, data.facts), MAY_DIFFER)
    alone = {border: replace(design, borders=[border]) for border in design.borders}
    work_of = TASKS[design.task].work
    complete = [border for border, one in alone.items() if not work_of(one, data, place).open_units()]
    if not complete:
        raise OptionError(f"nothing in {folder} can be put together yet: no border has the answers of every network")
    some = replace(design, borders=complete)
    dead = dead_content(some)
    with place.finishing():
        made = put_together(settings_of(some, data.facts), dead, work_of(some, data, place))
        made.write(folder)
    return made


@contextmanager
def deterministic() -> Iterator[None]:
    """Makes GPUs choose their algorithms by rule, not by measured speed, and none that adds in an undefined order."""
    cudnn: Any = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


def dead_content(design: Design) -> dict[str, DeadContent]:
    """Returns the residual branches that add nothing, by init, as in an entry."""
    found = design.dead_branches()
    return {init: {"count": one.count, "of": one.of, "layers": one.layers} for init, one in found.items()}


def put_together(settings: EntrySettings, dead: dict[str, DeadContent], work: Work) -> Entry:
    """Returns the entry of complete answers. dead: what the entry says of dead branches, by init."""
    notes = work.notes()
    said = with_notes(settings, notes)
    if dead:
        said[wording.DEAD] = dead
    return Entry.of(said, work.predictions(), seconds_of(notes))
