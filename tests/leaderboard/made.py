"""Entries of made-up networks, whose scores are known."""

from pathlib import Path
from typing import Any

import numpy as np

from qi_datasets.evaluation.entry import Entry
from qi_datasets.evaluation.grid import GridEntry
from qi_datasets.evaluation.predictions import Predictions
from qi_datasets.specs import QI
from tests.evaluation import entries

SOURCES = len(entries.SOURCES)
SCRIPT = "<script>alert(1)</script>"


def network(
    number: int,
    *,
    read: tuple[int, ...] = (0, 16, 32),
    missed: int = 0,
    init: str = "random",
    borders: tuple[int, ...] = QI.borders,
    data: dict[str, Any] | None = None,
    **model: Any,
) -> Entry:
    """Returns a network that is right at the borders `read`, except for the first `missed` sources; blind elsewhere."""
    label = np.arange(2 * SOURCES) % 2
    right = np.where(label, 1.0, -1.0) + 0.5 * np.random.default_rng(number).uniform(-1, 1, label.size)
    right[: 2 * missed] = 0.5
    columns = {
        "init": init,
        "border": np.repeat(borders, label.size),
        "seed": 0,
        "source": np.tile(np.repeat(np.array(entries.SOURCES, object), 2), len(borders)),
        "label": np.tile(label, len(borders)),
        "margin": np.concatenate([right if border in read else 0 * right for border in borders]),
        "difference": np.concatenate([np.full(label.size, 0.3 if border in read else 0.0) for border in borders]),
    }
    columns["prediction"] = columns["margin"] > 0
    columns["channels"] = columns["difference"]
    settings = entries.settings(proved={})
    settings["model"] |= {
        "name": f"network_{number}",
        "weights_sha256": {init: [f"{number:064x}"]},
        "receptive_field": None,
        **model,
    }
    settings["data"] |= data or {}
    settings["protocol"] |= {"inits": {init: {"seeds": [0], "batch_norm": "untouched"}}, "borders": list(borders)}
    return Entry.of(settings, Predictions.of("qi", columns), {"total": 1.0})


def on_grid(entry: Entry, *, right: int = SOURCES, grid: int = 3) -> GridEntry:
    """That network on a grid: the first `right` sources' cells are told, of the others cell 0 is said."""
    (init,) = entry.content["protocol"]["inits"]
    told = np.tile(np.arange(grid**2), (1, SOURCES, 1))
    told[:, right:] = 0
    shared = ("package_version", "date", "model", "transform", "data", "run")
    kept = {name: entry.content[name] for name in shared}
    settings = {"version": 1, **kept, "grid": grid, "border": 0, "inits": entry.content["protocol"]["inits"]}
    return GridEntry.of(
        {**settings, "differences": {init: 0.5}, "dense_because": ""}, {init: told}, (*entries.SOURCES,)
    )


def shifted(number: int, *, labelled: bool = True, init: str = "random", **model: Any) -> Entry:
    """Returns a network on `shifted` that is right at every second source, at every shift."""
    shifts, sources, modes = list(range(-32, 33)), entries.SOURCES[:4], ["crop", "zero", "circular"]
    images = [{"pair": -1, "shift": t, "side": 0} for t in shifts]
    images += [{"pair": k, "shift": 0, "side": side} for k in range(5) for side in (0, 1)]
    count = len(sources) * len(images)
    columns: dict[str, Any] = {
        name: np.tile(np.repeat([image[name] for image in images], len(sources)), len(modes)) for name in images[0]
    }
    answers = np.tile(np.arange(len(sources)), len(images) * len(modes))
    columns |= {
        "mode": np.repeat(np.array(modes, object), count),
        "source": np.tile(np.array(sources, object), len(images) * len(modes)),
        "label": np.where(answers % 2, answers, 7) if labelled else -1,
        "prediction": answers,
        "margin": np.linspace(0.1, 1 + number, answers.size),
        "difference": 0.0,
        **{"init": init, "border": 0, "seed": 0},
    }
    settings = entries.settings(task="shifted", proved={})
    settings["model"] |= {"name": f"network_{number}", "weights_sha256": {init: [f"{number:064x}"]}, **model}
    settings["data"] |= {
        "set": "shifted",
        "digests": {"test": entries.SHA},
        "sources": {"test": len(sources)},
        "evaluated": len(sources),
        "sources_sha256": entries.sources_digest(sources),
    }
    settings["protocol"] |= {
        "inits": {init: {"seeds": [0], "batch_norm": "untouched"}},
        "borders": [0],
        "modes": modes,
        "shifts": shifts,
    }
    return Entry.of(settings, Predictions.of("shifted", columns), {"total": 1.0})


def written(folder: Path, **made: Entry) -> Path:
    """Writes entries by name; returns the folder of all of them."""
    for name, entry in made.items():
        entry.write(folder / name)
    return folder
