"""Entries of made-up answers, whose figures can be counted by hand."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qi_datasets.evaluation.entry import ENTRY, Entry, seals_of
from qi_datasets.evaluation.invariants import sources_digest
from qi_datasets.evaluation.predictions import PREDICTIONS, Predictions
from qi_datasets.specs import QI, SPEC_VERSION

SHA = "0" * 64
SOURCES = [f"picture_{number}" for number in range(30)]
BORDERS = list(QI.borders)
SEEDS = [0, 1]
READ, UNREAD, EQUAL, PROVED = (0, 16, 32), (64,), (128, 256), (512,)
"""The verdict on the made-up network at each border."""


def settings(**changed: Any) -> dict[str, Any]:
    """Returns all settings of a made-up `qi` entry; changed: sections to replace."""
    return {
        "package_version": "0.1.0",
        "date": "2025-01-31",
        "task": "qi",
        "model": {
            "name": "made_up",
            "weights": "none",
            "weights_sha256": {"random": [SHA, SHA]},
            "parameters": 12,
            "padding": "own",
            "pool": "max",
            "background": "zero",
            "receptive_field": 43,
            "total_stride": 8,
            "phase": False,
        },
        "transform": {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "interpolation": None},
        "data": {
            "set": "qi",
            "data_version": SPEC_VERSION,
            "layout": "other images",
            "track": "other",
            "canonical": False,
            "pixels": "unverified",
            "digests": dict.fromkeys(QI.splits, SHA),
            "sources": dict.fromkeys(QI.splits, 30),
            "limit": None,
            "evaluated": len(SOURCES),
            "sources_sha256": sources_digest(SOURCES),
        },
        "protocol": {
            "inits": {"random": {"seeds": SEEDS, "batch_norm": "calibrated"}},
            "borders": BORDERS,
            "further_border": 0,
            "modes": [],
            "shifts": [],
            "settings": {"probe_penalty": 1.0},
        },
        "run": {
            "device": "cpu",
            "dtype": "float32",
            "tf32": False,
            "batch": 16,
            "local": True,
            "libraries": {"torch": "2.9"},
        },
        "proved": {"random": list(PROVED)},
        "training": [],
        **changed,
    }


def answers(seed: int = 0) -> dict[str, np.ndarray]:
    """Returns columns of answers that read location at READ, are random at UNREAD, and see no difference beyond."""
    random = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {name: [] for name in ("border", "seed", "source", "label", "margin", "difference")}
    for border in BORDERS:
        for number in SEEDS:
            label = np.arange(2 * len(SOURCES)) % 2
            blind = border in EQUAL + PROVED
            right = np.where(label, 1.0, -1.0) + 0.4 * random.normal(size=label.size)
            tossed = np.repeat(random.normal(size=len(SOURCES)), 2)
            columns["border"] += [border] * label.size
            columns["seed"] += [number] * label.size
            columns["source"] += [name for name in SOURCES for _ in range(2)]
            columns["label"] += label.tolist()
            columns["margin"] += (0 * tossed if blind else right if border in READ else tossed).tolist()
            columns["difference"] += [1e-7 if blind else 0.25] * label.size
    return {name: np.array(values) for name, values in columns.items()}


def predictions(columns: Mapping[str, Any] | None = None) -> Predictions:
    """Returns the predictions with those columns."""
    found = answers() if columns is None else dict(columns)
    found.setdefault("init", "random")
    found.setdefault("channels", np.where(np.asarray(found["difference"]) < 1e-5, 0.0, 0.5))
    found.setdefault("prediction", np.asarray(found["margin"]) > 0)
    return Predictions.of("qi", found)


def entry(columns: Mapping[str, Any] | None = None, **changed: Any) -> Entry:
    """Returns the made-up entry."""
    return Entry.of(settings(**changed), predictions(columns), {"total": 1.5})


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None], *, seal: bool = False, file: str = ENTRY) -> None:
    """Changes `entry.json` by a function of its content; seal: as a forger would, who renews the seals."""
    content = json.loads((folder / file).read_text())
    change(content)
    if seal:
        content["seals"] = seals_of(content)
    (folder / file).write_text(json.dumps(content))


def forge(folder: Path, columns: Mapping[str, Any]) -> None:
    """Replaces the predictions of an entry, and renews their digest and the seals, but no figure."""
    found = predictions(columns)
    found.write(folder / PREDICTIONS)

    def change(content: dict[str, Any]) -> None:
        content["predictions"] = {"rows": len(found), "sha256": found.sha256}

    rewrite(folder, change, seal=True)


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Returns a change of one field, by its dotted path; `...` removes it."""

    def change(content: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for name in parents:
            content = content[name]
        if value is ...:
            del content[last]
        else:
            content[last] = value

    return change


Columns = dict[str, np.ndarray]


def changed(name: str, rows: Any, value: Any) -> Callable[[Columns], Columns]:
    """Returns a change of some rows of a column of predictions."""

    def change(columns: Columns) -> Columns:
        values = columns[name].copy()
        values[rows] = value
        return columns | {name: values}

    return change


def kept(rows: Any) -> Callable[[Columns], Columns]:
    """Returns a change that keeps some rows of predictions."""
    return lambda columns: {name: values[rows] for name, values in columns.items()}
