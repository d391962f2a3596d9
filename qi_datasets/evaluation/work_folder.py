"""Units of work of an unfinished evaluation: each is one Parquet part, written atomically and claimed by a lock file.

Processes on one entry, on this machine or on another one that shares the folder, or the same command again after it
was killed, take the units that are neither finished nor claimed. A part depends on its unit alone, so that the entry is
the same whichever process computed which unit.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from qi_datasets.errors import OptionError, OutputError
from qi_datasets.evaluation.content import Notes
from qi_datasets.evaluation.entry import ENTRY, MISSING, differences_of
from qi_datasets.storage.writing import write_atomically

Settings = TypeVar("Settings", bound=Mapping[str, object])

FOLDER = ".work"
SETTINGS = "settings.json"
NOTES = b"qi_datasets"
"""Key of the notes in a part's metadata."""

PATIENCE = 0.2
"""Seconds between two looks at the units of other processes."""


@dataclass(frozen=True)
class Part:
    """The result of a unit: a table, and notes beside it (plain JSON), among them the `seconds` that it took."""

    table: pa.Table
    notes: Notes = field(default_factory=Notes)


@dataclass(frozen=True)
class Unit:
    """One unit of work.

    Attributes:
        name: Its unique name, which is also that of its file.
        compute: Computes its part.
        inputs: Parts that are not needed after it.
        for_part: The part that it is an input of; once that is there, this unit need not be done.
    """

    name: str
    compute: Callable[[], Part]
    inputs: Sequence[str] = ()
    for_part: str = ""


class Workplace:
    """The parts of one evaluation, in the folder of its entry.

    result: the file that exists once all is done
    parts: the folder of unfinished work
    """

    def __init__(self, entry: Path, result: str = ENTRY, parts: str = FOLDER) -> None:
        self.entry, self.result, self.folder = entry, entry / result, entry / parts

    @property
    def finished(self) -> bool:
        """True if the entry is written and no work is left."""
        return self.result.exists() and not (self.folder / SETTINGS).exists()

    def open(self, settings: Settings, ignored: Sequence[str]) -> Settings:
        """Makes the folder, or joins the evaluation in it; returns the settings under which it was begun.

        ignored: settings in which two runs of one evaluation may differ. Raises OptionError if the folder holds an
        evaluation with others, OutputError if it can't be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / f"{SETTINGS}.lock"):
                path = self.folder / SETTINGS
                if not path.exists():
                    write_atomically(path, lambda file: file.write_text(json.dumps(settings), encoding="utf-8"))
                begun: Settings = json.loads(path.read_text(encoding="utf-8"))
                self.remove_damaged()
        except (OSError, ValueError) as error:
            raise OutputError(f"cannot work in {self.folder}: {error}; choose another folder for the entry") from error
        check_same(begun, json.loads(json.dumps(settings)), ignored, self.entry)
        return begun

    def remove_damaged(self) -> None:
        """Removes parts that can't be read, for example after a crash of the machine."""
        for path in self.folder.glob("*.parquet"):
            try:
                self.read(path.stem)
            except FileNotFoundError:
                continue  # another process has removed it
            except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
                path.unlink(missing_ok=True)

    def path(self, name: str, suffix: str = "parquet") -> Path:
        """Returns the path of a part, or of a further file of a unit."""
        return self.folder / f"{name}.{suffix}"

    def has(self, name: str) -> bool:
        """Returns whether a part exists."""
        return self.path(name).exists()

    def read(self, name: str) -> Part:
        """Returns a part that is there."""
        table = pq.read_table(self.path(name))
        return Part(table.replace_schema_metadata(None), json.loads(table.schema.metadata[NOTES]))

    def do(self, unit: Unit) -> None:
        """Computes a unit, stores its part, and removes the parts that are not needed after it."""
        start = time.perf_counter()
        part = unit.compute()
        spent = sum(self.read(name).notes["seconds"] for name in unit.inputs if self.has(name))
        notes = {**part.notes, "seconds": time.perf_counter() - start + spent}
        table = part.table.replace_schema_metadata({NOTES: json.dumps(notes)})
        write_atomically(self.path(unit.name), lambda file: pq.write_table(table, file, compression="zstd"))
        for name in unit.inputs:
            self.path(name).unlink(missing_ok=True)

    def work(self, open_units: Callable[[], list[Unit]], done: Callable[[Unit], None], *, wait: bool = True) -> None:
        """Does units until none is open.

        Args:
            open_units: Units without a part whose own inputs are there, in the order of work; [] when all is done.
            done: Called after each unit.
            wait: Wait until other processes have done their units, rather than return before.
        """
        while not self.finished and (units := open_units()):
            for unit in units:
                with self._claimed(unit) as mine:
                    if mine:
                        self.do(unit)
                if mine:
                    done(unit)
                    break
            else:
                if not wait:
                    return
                time.sleep(PATIENCE)

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Lets one process at a time put the entry together."""
        path = self.folder.with_name(f"{self.folder.name}.lock")
        with FileLock(path):
            yield
            # Processes that wait for the lock, or come later, find the entry.
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes the parts of a written entry; the settings first, since a process that finds these would continue."""
        (self.folder / SETTINGS).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def _claimed(self, unit: Unit) -> Iterator[bool]:
        """Yields True if this process claims the unit inside the block; a process that ended claims nothing."""
        lock = FileLock(self.path(unit.name, "lock"), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        try:
            done = self.has(unit.name) or (bool(unit.for_part) and self.has(unit.for_part))
            yield not done and not self.finished
        finally:
            lock.release()


def check_same(
    begun: Mapping[str, object], settings: Mapping[str, object], ignored: Sequence[str], where: Path
) -> None:
    """Raises OptionError, which names the first difference, unless two evaluations have the same settings.

    Args:
        begun: Settings of the evaluation in the folder.
        settings: The requested settings.
        ignored: Sections that may differ.
        where: The folder, for the message.
    """
    # The network comes last, since weights differ if its number of seeds does.
    for section in sorted((name for name in settings if name not in ignored), key="model".__eq__):
        for place, there, asked in differences_of(section, begun.get(section, MISSING), settings[section]):
            raise OptionError(
                f"{where} holds another evaluation: its {place} is {clip_text(there)}, not {clip_text(asked)}; "
                "give another folder for the entry"
            )


def clip_text(value: object) -> str:
    """Returns a value as text, shortened."""
    text = f"{value}" if value is MISSING else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
