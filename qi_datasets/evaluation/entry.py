"""An entry: the network, data, settings and answers of an evaluation. Reading it computes every figure again.

An entry is a folder of two files: `entry.json`, of the published schema `cards/entry.schema.json`, and
`predictions.parquet` (cards/specification.md, "entries"). Needs no torch.
"""

import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from html import escape
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import numpy as np
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from numpy.typing import NDArray

from qi_datasets.errors import EntryError, one_line
from qi_datasets.evaluation.content import DataContent, EntryContent, EntrySettings, Sealed
from qi_datasets.evaluation.curve import figure_of
from qi_datasets.evaluation.description import ABOUT, change_about, check_about
from qi_datasets.evaluation.figures import compute_figures, quadrant_scores
from qi_datasets.evaluation.invariants import check_reach, check_rows
from qi_datasets.evaluation.predictions import PREDICTIONS, Predictions
from qi_datasets.evaluation.results import TaskFigures, read_figures
from qi_datasets.evaluation.wording import methods, sentence, table_of
from qi_datasets.pixels.digests import sha256_hex
from qi_datasets.sources.reading import open_regular
from qi_datasets.specs import QI, SPEC_VERSION, SPECS
from qi_datasets.storage.manifest import DEMO, OFFICIAL, PINNED, UNVERIFIED, VERIFIED
from qi_datasets.storage.writing import output_errors, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENTRY = "entry.json"
SCHEMA = "entry.schema.json"
VERSION = "2.0"
"""Version of the schema and of the protocol: a reader of 2.0 understands every 2.x."""

OLDER = "1"
"""The earlier major version: its entries differ only in their figures, which are computed from predictions."""

MOST_BYTES = 5_000_000
UNSEALED = ("seals", "seconds")
"""Sections in which two runs of one evaluation may differ."""

COMPUTED = ("version", "predictions", "figures", *UNSEALED)
"""Sections that `Entry.of` computes from settings, predictions and seconds."""

MOST_FIELDS = 12
"""Names of the fields, by section, in which numbers may have lost their fraction."""

CLOSE = 1e-9
"""Relative difference up to which figures are equal, since another processor may round differently."""


@dataclass(frozen=True)
class Entry:
    """One evaluation: `content`, as in `entry.json`, and `predictions`, the rows behind its figures.

    `content` is nested dictionaries of text and numbers: `model`, `task`, `data`, `protocol`, `run`, `figures` and
    more, as the schema describes them.
    """

    content: EntryContent
    predictions: Predictions

    @classmethod
    def of(cls, settings: EntrySettings, predictions: Predictions, seconds: Mapping[str, float]) -> Self:
        """Returns the entry of finished answers; computes figures, digests and seals. Raises EntryError as `read`."""
        check_rows(settings, predictions)
        content: EntryContent = {
            "version": VERSION,
            **settings,
            "predictions": {"rows": len(predictions), "sha256": predictions.sha256},
            "figures": compute_figures(settings, predictions),
            "seals": {},
            "seconds": dict(seconds),
        }
        content["seals"] = seals_of(content)
        check_schema(content)
        check_about(content)
        check_data(content["data"])
        check_reach(content, content["figures"])
        return cls(content, predictions)

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Returns the entry in a folder, after computing every figure again from its predictions.

        An entry of version 1 gets the figures of this version. Raises EntryError, which names the field, border or
        init, for an entry that is not of the schema, whose figures disagree with its predictions, that breaks an
        invariant, or that was changed after it was written.
        """
        content = read_json(Path(folder) / ENTRY)
        if major_version(content) == OLDER:
            return cls.of_older(content, Path(folder))
        checked = check_schema(content)
        predictions = Predictions.read(Path(folder) / PREDICTIONS, checked["task"])
        return cls(check_entry_content(checked, predictions), predictions)

    def described(self, **fields: str | None) -> "Entry":
        """Returns the same entry with other texts about its network, sealed again; nothing else differs.

        Args:
            **fields: `name`, `paper`, `code`, `authors`, `model_id`, `notes`, as in `evaluate`; "" removes one.

        Raises:
            OptionError: If an entry can't have these texts.
        """
        about = change_about(self.content, **fields)
        content: dict[str, object] = {}
        for name, section in self.content.items():
            if name != ABOUT:
                content[name] = section
            if name == "task" and about:
                content[ABOUT] = about
        content["version"] = VERSION
        seals = {name: seal for name, seal in self.content["seals"].items() if name != ABOUT}
        changed: dict[str, object] = {name: content[name] for name in ("version", ABOUT) if name in content}
        content["seals"] = seals | seals_of(changed)
        return replace(self, content=cast("EntryContent", content))

    @classmethod
    def of_older(cls, older: dict[str, object], folder: Path) -> Self:
        """Returns this version's entry for one of version 1; all that follows from predictions is computed again."""
        content = {**older, "version": VERSION}
        data = older.get("data")
        if isinstance(data, dict) and (data.get("track"), data.get("pixels")) == (OFFICIAL, UNVERIFIED):
            content["data"] = {**data, "track": UNVERIFIED}
        # Its figures are of another statistic: only the fields that they follow from are checked against the schema.
        checked = check_schema(content, besides="figures")
        check_seals(cast("Sealed", older))
        predictions = Predictions.read(folder / PREDICTIONS, checked["task"])
        check_predictions(checked, predictions)
        settings = {name: section for name, section in checked.items() if name not in COMPUTED}
        return cls.of(cast("EntrySettings", settings), predictions, checked["seconds"])

    def write(self, folder: str | Path) -> Path:
        """Writes both files into a folder, which is made. Returns the path of `entry.json`. Raises OutputError."""
        target = Path(folder)
        with output_errors(target):
            target.mkdir(parents=True, exist_ok=True)
            write_atomically(target / PREDICTIONS, self.predictions.write)
            write_atomically(target / ENTRY, lambda file: file.write_text(self.text, encoding="utf-8"))
        return target / ENTRY

    @property
    def text(self) -> str:
        """The text of `entry.json`."""
        return json.dumps(self.content, indent=1, allow_nan=False) + "\n"

    @property
    def task(self) -> str:
        """The set that the network was evaluated on."""
        return str(self.content["task"])

    @property
    def figures(self) -> dict[str, TaskFigures]:
        """Init -> figures: `QuadrantFigures` of `qi`, and those of the other tasks (`evaluation.results`)."""
        return read_figures(self.task, self.content["figures"])

    def scores(self, init: str) -> dict[int, NDArray[np.float64]]:
        """Returns border -> d of each test source (`scores.location`) of a `qi` entry, sources in the set's order."""
        if self.task != QI.name or init not in self.content["protocol"]["inits"]:
            raise EntryError(f"this entry of {self.task} has no scores by source for init {init!r}")
        return quadrant_scores(self.content, init, self.predictions.where(init=init))

    def __str__(self) -> str:
        return "\n".join(sentence(self.content, init) for init in self.figures)

    def _repr_html_(self) -> str:
        """Returns HTML for a notebook: the sentences, and the tables as text."""
        said = "".join(f"<p>{escape(line)}</p>" for line in f"{self}".splitlines())
        return f"{said}<pre>{escape(self.table())}</pre>"

    def table(self, form: str = "text") -> str:
        """Returns the figures as tables, one for each init.

        Args:
            form: "text", "markdown" or "latex" (with the package booktabs).

        Raises:
            OptionError: If it is another form.
        """
        return table_of(self.content, form)

    def methods(self) -> str:
        """Returns a paragraph on how the entry was measured, to paste into an article."""
        return methods(self.content)

    def plot(self) -> "Figure":
        """Returns a figure of matplotlib: accuracy against border on `qi`, top-1 against shift on `shifted`.

        Raises:
            MissingExtraError: Without matplotlib.
        """
        return figure_of([self.content])

    def __repr__(self) -> str:
        model, data = self.content["model"], self.content["data"]
        return f"Entry({model['name']}, {self.task}, {data['evaluated']} sources, {len(self.predictions)} rows)"


def check_entry_content(content: EntryContent, predictions: Predictions) -> EntryContent:
    """Returns `content` after comparing it with the predictions, the pinned digests and its own seals."""
    check_about(content)
    check_data(content["data"])
    check_predictions(content, predictions)
    check_rows(content, predictions)
    figures = compute_figures(content, predictions)
    if fault := next(figure_faults(content["figures"], figures), ""):
        raise EntryError(fault)
    check_reach(content, figures)
    check_seals(content)
    return content


def check_predictions(content: EntryContent, predictions: Predictions) -> None:
    """Raises EntryError unless the predictions have the digest that is in the entry."""
    if content["predictions"] != {"rows": len(predictions), "sha256": predictions.sha256}:
        raise EntryError(
            f"{PREDICTIONS} is not what the entry was made from: {len(predictions)} rows of SHA-256 "
            f"{predictions.sha256[:12]}..., not {content['predictions']['rows']} of "
            f"{content['predictions']['sha256'][:12]}..."
        )


def check_seals(content: Sealed) -> None:
    """Raises EntryError, which names the section, if one was changed after it was sealed."""
    for section, seal in seals_of(content).items():
        if content["seals"].get(section) != seal:
            raise EntryError(f"the section {section} was changed after the entry was written (its seal differs)")


def check_data(data: DataContent) -> None:
    """Raises EntryError if the data can't be as the entry says: another version, or not the pinned digests."""
    spec = SPECS[data["set"]]
    if data["data_version"].partition(".")[0] != SPEC_VERSION.partition(".")[0]:
        raise EntryError(
            f"data.data_version is {data['data_version']}; this package knows {SPEC_VERSION}", code="unreadable-entry"
        )
    if data["canonical"] != (data["track"] in (OFFICIAL, UNVERIFIED)):
        raise EntryError(f"data.canonical is {data['canonical']}, but data.track is {data['track']}")
    if data["canonical"] and (data["track"] == OFFICIAL) != (data["pixels"] in (PINNED, VERIFIED)):
        raise EntryError(f"data.track is {data['track']}, but data.pixels is {data['pixels']}")
    if data["pixels"] == PINNED:
        check_digests(data, spec.digests)
    if data["track"] == DEMO:
        check_digests(data, spec.demo_digests)
    sizes = {OFFICIAL: spec.splits, UNVERIFIED: spec.splits, DEMO: spec.demo_splits}
    if data["track"] in sizes and (data["limit"] is not None or data["sources"] != dict(sizes[data["track"]])):
        raise EntryError(f"data.track is {data['track']}, but not all of its sources were evaluated")


def check_digests(data: DataContent, pinned: Mapping[str, str]) -> None:
    """Raises EntryError unless the digests of the entry's data are the pinned ones."""
    for split, digest in data["digests"].items():
        if pinned.get(split) != digest:
            raise EntryError(f"data.digests.{split} is not the digest that is pinned for {data['set']}")


class Missing:
    """The value of a name that is missing in one of two mappings."""

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()


def differences_of(
    where: str, one: object, other: object, are_equal: Callable[[object, object], bool] = operator.eq
) -> Iterator[tuple[str, object, object]]:
    """Yields each place where two nested values differ, with both values there.

    Args:
        where: The dotted name of both, such as "model", whose parts are "model.padding" and others.
        one: Nested mappings, or any other value.
        other: As `one`.
        are_equal: Compares values that are not mappings.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in dict.fromkeys((*one, *other)):
            yield from differences_of(f"{where}.{name}", one.get(name, MISSING), other.get(name, MISSING), are_equal)
    elif not are_equal(one, other):
        yield where, one, other


def are_equal_figures(one: object, other: object) -> bool:
    """Returns whether two figures, or lists of them, differ by no more than the rounding of another processor."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(are_equal_figures, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)
    return one == other


def figure_faults(said: Mapping[str, object], found: Mapping[str, object]) -> Iterator[str]:
    """Yields a line for each figure of an entry that its predictions do not give, and the other way round."""
    for where, one, other in differences_of("figures", said, found, are_equal_figures):
        if one is MISSING:
            yield f"{where} is missing"
        elif other is MISSING:
            yield f"{where} is no figure of these predictions"
        else:
            yield f"{where} is {one!r}, but the predictions give {other!r}"


def seals_of(content: Mapping[str, object]) -> dict[str, str]:
    """Returns the SHA-256 (hex) of each section of an entry, by its name."""
    return {
        name: sha256_hex(json.dumps(section, sort_keys=True, separators=(",", ":")).encode())
        for name, section in content.items()
        if name not in UNSEALED
    }


def read_json(path: Path) -> dict[str, object]:
    """Returns a JSON object of finite numbers; EntryError for anything else."""
    try:
        if not path.is_file():
            raise EntryError(
                f"{path} is missing; an entry is {ENTRY} and {PREDICTIONS}, in one folder", code="unreadable-entry"
            )
        if path.stat().st_size > MOST_BYTES:
            raise EntryError(f"{path} is larger than any entry ({MOST_BYTES // 10**6} MB)", code="unreadable-entry")
        with open_regular(str(path)) as file:
            # Editors on Windows put a byte order mark before the text.
            text = file.read().decode("utf-8-sig")
        content = json.loads(text, parse_constant=refuse_constant, parse_float=parse_finite)
    except (OSError, ValueError, RecursionError) as error:
        raise EntryError(f"{path} is no JSON of an entry: {one_line(error)[:200]}", code="unreadable-entry") from error
    if not isinstance(content, dict):
        raise EntryError(f"{path} is no JSON object", code="unreadable-entry")
    return encode_sealed(content)


def encode_sealed(content: dict[str, object]) -> dict[str, object]:
    """Returns an entry's content as it was sealed: a formatter that writes 1.0 as 1 has changed nothing."""
    seals = content.get("seals")
    if not isinstance(seals, dict):
        return content
    for name, seal in seals_of(content).items():
        if name in seals and seals[name] != seal:
            fields = sorted(fields_of_whole_numbers("", content[name]))[:MOST_FIELDS]
            chosen = (some for count in range(len(fields), 0, -1) for some in combinations(fields, count))
            variants = (with_fractions("", content[name], frozenset(some)) for some in chosen)
            found = next((one for one in variants if seals_of({name: one})[name] == seals[name]), content[name])
            content = {**content, name: found}
    return content


def fields_of_whole_numbers(name: str, value: object) -> set[str]:
    """Returns the names of the fields that hold integers, at any depth."""
    if isinstance(value, dict):
        return {field for inner, at in value.items() for field in fields_of_whole_numbers(inner, at)}
    if isinstance(value, list):
        return {field for at in value for field in fields_of_whole_numbers(name, at)}
    return {name} if isinstance(value, int) and not isinstance(value, bool) else set()


def with_fractions(name: str, value: object, fields: frozenset[str]) -> object:
    """Returns the value, with the integers of some fields as floating-point numbers."""
    if isinstance(value, dict):
        return {inner: with_fractions(inner, at, fields) for inner, at in value.items()}
    if isinstance(value, list):
        return [with_fractions(name, at, fields) for at in value]
    if isinstance(value, int) and not isinstance(value, bool) and name in fields:
        return float(value)
    return value


def refuse_constant(constant: str) -> float:
    """Raises ValueError for a constant such as NaN, which is not JSON."""
    raise ValueError(f"{constant} is no number")


def parse_finite(text: str) -> float:
    """Returns a number that a float can hold; ValueError otherwise."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


@cache
def schema() -> dict[str, object]:
    """Returns the published schema."""
    text = files("qi_datasets.cards").joinpath(SCHEMA).read_text(encoding="utf-8")
    content: dict[str, object] = json.loads(text)
    return content


def major_version(content: Mapping[str, object]) -> str:
    """Returns the part of an entry's version before the dot."""
    return str(content.get("version", "")).partition(".")[0]


def check_schema(content: Mapping[str, object], besides: str = "") -> EntryContent:
    """Returns content of the published schema as its type. Raises EntryError, which names the field, for other content.

    besides: a section that is not checked.
    """
    if major_version(content) != major_version({"version": VERSION}):
        raise EntryError(
            f"version is {content.get('version')!r}; this package reads entries of version {VERSION}",
            code="unreadable-entry",
        )
    errors = Draft202012Validator(schema()).iter_errors(content)
    error = best_match(one for one in errors if not besides or besides not in one.absolute_path)
    if error is not None:
        field = ".".join(map(str, error.absolute_path)) or "the entry"
        raise EntryError(f"{field}: {' '.join(error.message.split())[:200]}")
    return cast("EntryContent", content)
