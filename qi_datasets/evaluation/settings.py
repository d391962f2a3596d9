"""The sections of an entry beside its figures: its settings, and notes about its answers."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import torch

from qi_datasets.evaluation.cases import Case, Design
from qi_datasets.evaluation.content import DataContent, EntrySettings, Notes, RunContent, TrainingContent
from qi_datasets.evaluation.tasks import TASKS
from qi_datasets.evaluation.wording import DEAD
from qi_datasets.protocols.corners import LARGEST_BATCH

LIBRARIES = ("torch", "torchvision", "timm", "numpy", "pyarrow")

MAY_DIFFER = ("date", "run", "package_version")
"""Sections in which processes that share the work on one entry may differ."""

OUTCOME = ("proved", "training", DEAD)
"""Sections that a run fills in."""


def settings_of(design: Design, data: DataContent) -> EntrySettings:
    """Returns the sections of an entry before there are answers, in the entry's order."""
    task = TASKS[design.task]
    model, variant, facts = design.model, design.variant, design.facts
    digests: dict[str, list[str]] = {}
    for case in design.cases:
        if case.border == design.borders[0]:
            digests.setdefault(case.init, []).append(design.digest(case))
    settings: EntrySettings = {
        "package_version": version("qi-datasets"),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "task": task.name,
        "model": {
            "name": model.name,
            "weights": model.weights,
            "weights_sha256": digests,
            "parameters": facts.parameters,
            "padding": variant.padding,
            "pool": facts.pool,
            "background": variant.background,
            "receptive_field": facts.field.size if facts.field is not None and facts.field.bounded else None,
            "total_stride": None if facts.field is None else facts.field.stride,
            "phase": design.phase,
        },
        "transform": {
            "mean": list(model.transform.mean),
            "std": list(model.transform.std),
            "interpolation": model.transform.interpolation,
        },
        "data": data,
        "protocol": {
            "inits": dict(design.inits),
            "borders": list(design.borders),
            "further_border": facts.further_border,
            "modes": list(task.modes),
            "shifts": list(task.shifts),
            "settings": dict(task.settings),
        },
        "run": {
            "device": device_name(design.device),
            "dtype": "float32",
            "tf32": False,
            "batch": LARGEST_BATCH,
            "local": design.local,
            "libraries": libraries(),
        },
        "proved": {},
        "training": [],
    }
    if any(facts.head):
        before, after = map(list, facts.head)
        settings["model"]["head"] = {"before_pooling": before, "after_pooling": after}
    return settings


def with_notes(settings: EntrySettings, notes: Mapping[Case, Notes]) -> EntrySettings:
    """Returns the settings with notes about the answers: proofs and trainings."""
    unproved = {(case.init, case.border) for case, noted in notes.items() if not noted.get("proved")}
    proved: dict[str, list[int]] = {}
    for init, border in dict.fromkeys((case.init, case.border) for case in notes):
        if (init, border) not in unproved:
            proved.setdefault(init, []).append(border)
    training: list[TrainingContent] = [
        {"init": case.init, "border": case.border, "seed": case.seed, **noted["training"]}
        for case, noted in notes.items()
        if "training" in noted
    ]
    dense = any(noted.get("dense_because") for noted in notes.values())
    run: RunContent = {**settings["run"], "local": settings["run"]["local"] and not dense}
    return {**settings, "proved": proved, "training": training, "run": run}


def seconds_of(notes: Mapping[Case, Notes]) -> dict[str, float]:
    """Returns the seconds of work, in all and by border."""
    seconds = {"total": sum(float(noted["seconds"]) for noted in notes.values())}
    for case, noted in notes.items():
        name = f"border {case.border}"
        seconds[name] = seconds.get(name, 0.0) + float(noted["seconds"])
    return seconds


def device_name(device: str) -> str:
    """Returns a device's name: that of a GPU, or cpu."""
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device


def libraries() -> dict[str, str]:
    """Returns the versions of the installed libraries that figures may depend on."""
    found = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
