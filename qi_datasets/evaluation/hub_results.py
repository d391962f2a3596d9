"""Writes results for the Hub's rankings: the tasks in a set's `eval.yaml`, and an entry's file in `.eval_results/`.

Both follow from `RANKED`. A value is in [0, 100], and more is better, since the Hub has no other order (eval-results
in the Hub's documentation). Source: cards/specification.md, "The Hub's benchmarks".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from qi_datasets.errors import HubError, NamedArgument, OptionError, one_line
from qi_datasets.evaluation.content import EntryContent, Figures
from qi_datasets.evaluation.description import network_name
from qi_datasets.evaluation.entry import Entry
from qi_datasets.evaluation.initialisations import GIVEN, INITS, PRETRAINED
from qi_datasets.scores.location import location_invariance
from qi_datasets.set_spec import SetSpec
from qi_datasets.specs import CIRCULAR, CROP, QI, SHIFTED, ZERO
from qi_datasets.storage.manifest import Manifest
from qi_datasets.storage.writing import output_errors

FOLDER = ".eval_results"
FRAMEWORK = "qi-datasets"
"""The identifier of this package among the Hub's evaluation frameworks."""

SETTINGS: Mapping[Literal["padding", "pool", "background"], str] = {
    "padding": "padding",
    "pool": "pooling",
    "background": "background",
}
"""Field of a model -> the name of its value."""

MOST_BYTES = 100_000
"""Largest size in bytes of a file of results."""

DIGITS = 4
"""Decimal places of a value."""


@dataclass(frozen=True)
class Ranked:
    """A figure that the Hub ranks.

    Attributes:
        id: Id of its task in `eval.yaml`.
        inits: The initialisations that it is ranked for.
        value: Computes the value from the figures of one init; from 0 to 100, more is better; None if there is none.
        notes: Computes the text beside the value.
    """

    id: str
    inits: Sequence[str]
    value: Callable[[Figures], float | None]
    notes: Callable[[Figures], str]


@dataclass(frozen=True)
class Source:
    """The source of a result: a link, its name, and the user of the Hub who vouches for it."""

    url: str
    name: str
    user: str | None = None


def invariance(figures: Figures) -> float | None:
    """Returns the location invariance from figures on `qi`; None if borders are missing."""
    score = figures["location_score"]
    return None if score is None else location_invariance(score["value"])


def reach_notes(figures: Figures) -> str:
    """Returns the location score and both reaches as text."""
    at_75, reach = ("none" if figures[name] is None else figures[name] for name in ("reach_75", "reach"))
    score = figures["location_score"]["value"]
    return f"location invariance = 100 x (1 - location score {score:.3f}); reach at 75 % {at_75}, reach {reach}"


def ranked_share(mode: str, id_ending: str, name: str, words: str) -> Ranked:
    """Returns a share on `shifted` as a ranked figure, in percent.

    Args:
        mode: The mode of the views.
        id_ending: The end of the task's id.
        name: The share's name in an entry's figures.
        words: A description of the share.
    """

    def value(figures: Figures) -> float | None:
        found = figures.get(mode, {}).get(name)
        return None if found is None else 100 * float(found["value"])

    def notes(figures: Figures) -> str:
        low, high = (100 * figures[mode][name][end] for end in ("low", "high"))
        return f"{words} ({mode}), in %, 95 % interval {low:.1f} to {high:.1f}"

    # An untrained classifier names few classes, and is consistent for that reason alone: so it is not ranked.
    return Ranked(f"{SHIFTED.name}_{mode}_{id_ending}", (PRETRAINED, GIVEN), value, notes)


RANKED: Mapping[str, Sequence[Ranked]] = {
    QI.name: tuple(Ranked(f"{QI.name}_{init}", (init,), invariance, reach_notes) for init in INITS),
    SHIFTED.name: tuple(
        ranked
        for mode in (CROP, ZERO, CIRCULAR)
        for ranked in (
            ranked_share(mode, "consistency", "consistency", "share of pairs of shifted views with one answer"),
            ranked_share(mode, "top1", "diagonal", "top-1, mean over shifts along the diagonal"),
        )
    ),
}
"""Set -> its ranked figures, in the order of `eval.yaml`."""


def benchmark_file(spec: SetSpec, manifest: Manifest) -> str | None:
    """Returns the text of the `eval.yaml` that makes a published set a benchmark; None for other sets.

    Args:
        spec: The set.
        manifest: The published manifest; a set of another size than the official one is no benchmark.
    """
    if spec.name not in RANKED or manifest.size != spec.size:
        return None
    pictures = " Made of generated demo pictures, not of ImageNet." if manifest.demo else ""
    text = f"{spec.summary}{pictures} Values lie from 0 to 100, and more is better; the specification is on the card."
    config, split = next(iter(manifest.configs)), list(spec.splits)[-1]
    content = {
        "name": f"{spec.title} (demo pictures)" if manifest.demo else spec.title,
        "description": text,
        "evaluation_framework": FRAMEWORK,
        "tasks": [{"id": ranked.id, "config": config, "split": split} for ranked in RANKED[spec.name]],
    }
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100))


def ranked_values(content: EntryContent) -> dict[str, tuple[float, str]]:
    """Returns task id -> value and notes, for each ranked figure of an entry. content: the entry's content."""
    found: dict[str, tuple[float, str]] = {}
    for ranked in RANKED.get(content["task"], ()):
        for init in ranked.inits:
            figures = content["figures"].get(init)
            value = None if figures is None else ranked.value(figures)
            if figures is not None and value is not None:
                found.setdefault(ranked.id, (round(value, DIGITS), ranked.notes(figures)))
    return found


def results_of(
    entry: Entry, dataset_id: str, *, revision: str | None = None, source: Source | None = None
) -> list[EvalResultEntry]:
    """Returns a result for each ranked figure of an entry.

    Args:
        entry: The entry.
        dataset_id: ORG/NAME of the set on the Hub.
        revision: The commit of the set that the entry was measured on.
        source: The link where the result can be looked up.

    Raises:
        OptionError: If the entry has no such figure, or a name is not valid.
    """
    if dataset_id.count("/") != 1 or not all(dataset_id.split("/")):
        raise OptionError(NamedArgument("dataset_id"), f" must be ORG/NAME, not {dataset_id!r}", code="bad-place")
    values = ranked_values(entry.content)
    if not values:
        raise OptionError(
            f"this entry of {entry.task} has no figure for the Hub: it ranks networks on {QI.name} at all seven "
            f"borders, and pretrained or given ones on {SHIFTED.name}"
        )
    return [
        EvalResultEntry(
            dataset_id,
            task,
            value,
            dataset_revision=revision,
            date=entry.content["date"],
            source_url=source.url if source else None,
            source_name=source.name if source else None,
            source_user=source.user if source else None,
            notes=f"{notes} ({variant_words(entry.content)})",
        )
        for task, (value, notes) in values.items()
    ]


def variant_words(content: EntryContent) -> str:
    """Returns a description of the evaluated network and its settings."""
    model = content["model"]
    settings = ", ".join(f"{model[name]} {word}" for name, word in SETTINGS.items())
    return f"{network_name(content)}, {settings}"


def results_name(content: EntryContent) -> str:
    """Returns the path of an entry's results in its model's repository.

    Results with other settings than the usual ones are in files of their own, as the Hub asks.
    """
    model = content["model"]
    unusual: list[str] = [model["padding"]] if model["padding"] != "own" else []
    unusual += [f"{model['background']}-background"] if model["background"] != "zero" else []
    return f"{FOLDER}/{'-'.join([content['task'], *unusual])}.yaml"


def results_text(results: Sequence[EvalResultEntry]) -> str:
    """Returns results as the text of a file."""
    content = eval_result_entries_to_yaml(list(results))
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000))


def write_results(entry: Entry, dataset_id: str, folder: Path) -> Path:
    """Writes the results below an entry's folder, and returns the file.

    Raises:
        OptionError: If an argument is wrong.
        OutputError: If the folder can't be written.
    """
    text = results_text(results_of(entry, dataset_id))
    path = folder / results_name(entry.content)
    with output_errors(path, advice=""):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path


def tasks_in(path: Path) -> list[str]:
    """Returns the ids of the tasks of an `eval.yaml`. Raises HubError for another file."""
    content = read_yaml(path)
    tasks = content.get("tasks") if isinstance(content, dict) else None
    if not isinstance(tasks, list):
        raise HubError(f"{path.name} defines no tasks")
    return [str(task.get("id")) for task in tasks if isinstance(task, dict)]


def results_in(path: Path) -> list[dict[str, Any]]:
    """Returns the results in a file. Raises HubError for another file."""
    found = read_yaml(path)
    if not isinstance(found, list) or not all(isinstance(data_set_of(one), dict) for one in found):
        raise HubError(f"{path.name} is no list of results of the Hub's kind")
    return found


def data_set_of(result: object) -> object:
    """Returns a result's reference to its data set."""
    return result.get("dataset") if isinstance(result, dict) else None


def read_yaml(path: Path) -> object:
    """Reads a file of somebody else without running any of it. Raises HubError if it can't be read."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES // 1000} kB")
        text = path.read_text(encoding="utf-8")
        # An anchor can expand to more than the memory holds.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise ValueError("it has aliases")
        return yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise HubError(f"{path.name} can't be read as YAML: {one_line(error)[:100]}") from error
