"""An entry as the Hub's evaluation results: the file that a model's repository has under `.eval_results/`."""

from pathlib import Path

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from qi_datasets.errors import OptionError, OutputError
from qi_datasets.evaluation.entry import Entry
from qi_datasets.specs import QI, SHIFTED

FOLDER = ".eval_results"


def results_of(entry: Entry, dataset_id: str) -> list[EvalResultEntry]:
    """One result for each init: the location score of `qi`, consistency of each mode of `shifted`.

    dataset_id: ORG/NAME of the set on the Hub. Raises OptionError for an entry without such a figure.
    """
    if dataset_id.count("/") != 1 or not all(dataset_id.split("/")):
        raise OptionError(f"dataset_id must be ORG/NAME, not {dataset_id!r}")
    values: dict[str, tuple[float, str]] = {}
    for init, figures in entry.figures.items():
        if entry.task == QI.name and figures["location_score"] is not None:
            notes = f"location score; reach {figures['reach']}, lower is more translation invariant"
            values[f"{QI.name}_{init}"] = (figures["location_score"]["value"], notes)
        elif entry.task == SHIFTED.name:
            for mode, moved in figures.items():
                values[f"{SHIFTED.name}_{mode}_{init}"] = (moved["consistency"]["value"], "consistency over pairs")
    if not values:
        raise OptionError(
            f"this entry of {entry.task} has no figure for the Hub: it takes one of {QI.name} at all seven borders, "
            f"or one of {SHIFTED.name}"
        )
    model = entry.content["model"]
    variant = f"{model['name']}, padding {model['padding']}, pool {model['pool']}"
    return [
        EvalResultEntry(dataset_id, task, value, date=entry.content["date"], notes=f"{notes} ({variant})")
        for task, (value, notes) in values.items()
    ]


def write_results(entry: Entry, dataset_id: str, folder: Path) -> Path:
    """Writes the results below an entry's folder; gives the file. Raises OptionError, OutputError."""
    results = eval_result_entries_to_yaml(results_of(entry, dataset_id))
    path = folder / FOLDER / f"{entry.task}.yaml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(results, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    return path
