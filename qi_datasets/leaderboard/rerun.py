"""Repeats a random part of an entry's predictions, if its network can be made."""

import random
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import HfApi

from qi_datasets.errors import QIDatasetsError, one_line
from qi_datasets.evaluation.content import EntryContent
from qi_datasets.evaluation.description import ABOUT
from qi_datasets.evaluation.design import design_of
from qi_datasets.evaluation.entry import Entry
from qi_datasets.evaluation.evaluate import read_data, run_design
from qi_datasets.evaluation.initialisations import SCRATCH
from qi_datasets.evaluation.models import DEFAULT, NONE, is_of_library
from qi_datasets.evaluation.reproduce import TELLING, request_of
from qi_datasets.leaderboard.words import content_of_init
from qi_datasets.storage.hub import HubPlace, ask_hub, connection
from qi_datasets.storage.published import fetch_file


@dataclass(frozen=True)
class RepeatedRun:
    """The result of a repetition. lines: what was repeated or could not be. differences: the results that differ."""

    lines: tuple[str, ...]
    differences: tuple[str, ...] = ()


def repeat(
    folder: Path, parts: int, *, output: str | Path | None = None, trust: bool = False, progress: bool = False
) -> RepeatedRun:
    """Repeats random parts of an entry's predictions: an init, a border and a seed each.

    Args:
        folder: The entry's folder.
        parts: Number of parts to repeat.
        output: The folder of sets, as in `evaluate`.
        trust: Whether code from the model's repository may run.
        progress: Show bars on a terminal.
    """
    entry = Entry.read(folder)
    protocol = entry.content["protocol"]
    cases = [
        (init, border, seed)
        for init, settings in protocol["inits"].items()
        for border in protocol["borders"]
        for seed in settings["seeds"]
        if init != SCRATCH
    ]
    if not cases:
        return RepeatedRun(("not repeated: it was trained from scratch; qi-eval --check FOLDER does so",))
    # A submitter must not know which parts will be repeated.
    chosen = random.SystemRandom().sample(cases, min(parts, len(cases)))
    try:
        model, weights = network_of(entry.content, trust=trust)
        lines, different = [], []
        for init, border, seed in sorted(chosen):
            share = share_that_differs(entry, model, weights, (init, border, seed), output=output, progress=progress)
            where = f"init {init}, border {border}, seed {seed}"
            lines.append(f"repeated {where}: {share:.1%} of the answers differ")
            if share > TELLING:
                different.append(f"{where}: {share:.1%} of the answers differ when it is repeated")
    except QIDatasetsError as error:
        return RepeatedRun((f"not repeated: {one_line(error)[:200]}",))
    return RepeatedRun(tuple(lines), tuple(different))


class NotRepeatableError(QIDatasetsError):
    """A network that can't be made here."""

    code = "not-repeatable"


def network_of(content: EntryContent, *, trust: bool) -> tuple[str, str]:
    """Returns model and weights of an entry for `evaluate`. Raises NotRepeatableError if there are none.

    Args:
        content: The entry's content.
        trust: Whether code from the model's repository may run.
    """
    name, weights = content["model"]["name"], content["model"]["weights"]
    model_id = content.get(ABOUT, {}).get("model_id")
    by_library = is_of_library(name)
    if by_library and weights in (NONE, DEFAULT):
        return name, weights
    if model_id is None:
        raise NotRepeatableError("neither its library nor a repository (model_id) has the network")
    if not by_library and not trust:
        raise NotRepeatableError(f"the network is code of {model_id}; --trust runs it, once you have read it")
    file, _, factory = name.rpartition(":")
    if not by_library and not file.endswith(".py"):
        raise NotRepeatableError(f"{name!r} names no file of {model_id}")
    code = "" if by_library else check_file_name(file)
    state = "" if weights in (NONE, DEFAULT) else check_file_name(weights)
    place = HubPlace(model_id, repo_type="model")
    with connection():
        # At a commit: for a branch the client may return the cached copy of a repository that is gone.
        commit = ask_hub(lambda: HfApi().model_info(model_id).sha, place)
        place = replace(place, revision=commit or place.revision)
        return f"{fetch_file(place, code)}:{factory}" if code else name, str(
            fetch_file(place, state)
        ) if state else weights


def check_file_name(name: str) -> str:
    """Returns a file name without folders. Raises NotRepeatableError for other names."""
    if "/" in name or name.startswith("."):
        raise NotRepeatableError(f"{name!r} is no name of a file")
    return name


def share_that_differs(
    entry: Entry, model: str, weights: str, case: tuple[str, int, int], *, output: str | Path | None, progress: bool
) -> float:
    """Returns the share of a case's answers that differ in another run; 1.0 if the network has other weights.

    Args:
        entry: The entry.
        model: As in `evaluate`.
        weights: As in `evaluate`.
        output: As in `evaluate`.
        progress: As in `evaluate`.
        case: Init, border and seed.
    """
    init, border, seed = case
    request = request_of(content_of_init(entry.content, init))
    request = replace(request, borders=None, weights=weights, local=entry.content["run"]["local"])
    design = design_of(model, request)
    design = replace(design, borders=[border], inits={init: {**design.inits[init], "seeds": [seed]}})
    data = read_data(design, output, request.limit, progress=progress)
    with tempfile.TemporaryDirectory(prefix="qi-rerun-") as folder:
        again = run_design(design, data, Path(folder), progress)
    seeds = entry.content["protocol"]["inits"][init]["seeds"]
    sealed = entry.content["model"]["weights_sha256"][init][seeds.index(seed)]
    same_data = entry.content["data"]["digests"] == again.content["data"]["digests"]
    if not same_data:
        raise NotRepeatableError("the sets here differ from those that it was measured on")
    if again.content["model"]["weights_sha256"][init] != [sealed]:
        return 1.0
    there = entry.predictions.where(init=init, border=border, seed=seed).column("prediction")
    return float((there != again.predictions.column("prediction")).mean())
