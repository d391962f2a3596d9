"""Integrity: checks whether the files are as specified. Needs no torch, reads every row, keeps memory small."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from qi_datasets.building.engine import ONE_AT_A_TIME, Engine
from qi_datasets.errors import StoredSetError
from qi_datasets.progress import bar_over
from qi_datasets.storage.manifest import FileRecord
from qi_datasets.storage.parquet import ROW_GROUP_ROWS
from qi_datasets.verification.integrity import quadrant, red_green, rows, shifted, stored_files, whole_set
from qi_datasets.verification.integrity.borders import Borders
from qi_datasets.verification.integrity.chunk import Chunk, ExaminedRows, Stretch, read_chunk, stretches
from qi_datasets.verification.report.report import Check, CheckResults, Status
from qi_datasets.verification.stored_folder import StoredFolder


def applies_always(stored: StoredFolder) -> bool:
    """Returns True, for checks of every set, also another package's."""
    return True


def from_images(stored: StoredFolder) -> bool:
    """Returns True for sets that are made from images and record which."""
    return stored.spec.needs_images and "source" in stored.spec.columns


def applies_to_generated(stored: StoredFolder) -> bool:
    """Returns True for generated sets, which can be made again and compared."""
    return not stored.spec.needs_images


def applies_to_bordered(stored: StoredFolder) -> bool:
    """Returns True for sets with configs that have a border."""
    return bool(stored.spec.borders)


@dataclass(frozen=True)
class IntegrityCheck:
    """One row of the table of checks.

    Attributes:
        name: Of the check.
        meaning: What it shows, in one sentence.
        applies: For which sets; None for those whose row of the spec table names the check.
        on_rows: Yields what is wrong with a chunk's rows; runs in the workers.
        on_folder: Yields what is wrong with the manifest and the files; runs while rows are read, and sees none.
        on_set: Yields what is wrong with the set, once all rows are read. Without any of the three, reading itself
            makes the findings of that name.
        figure: What was measured, for a reader.
        otherwise: How the check ends when something is found.
    """

    name: str
    meaning: str
    applies: Callable[[StoredFolder], bool] | None = applies_always
    on_rows: Callable[[Chunk], Iterator[str]] | None = None
    on_folder: Callable[[StoredFolder, ExaminedRows], Iterator[str]] | None = None
    on_set: Callable[[StoredFolder, ExaminedRows], Iterator[str]] | None = None
    figure: Callable[[StoredFolder, ExaminedRows], str] | None = None
    otherwise: Status = Status.FAIL

    def is_for(self, stored: StoredFolder) -> bool:
        """Returns whether the check is made on that set."""
        return self.name in stored.spec.integrity if self.applies is None else self.applies(stored)


CHECKS = (
    IntegrityCheck("manifest", "the manifest agrees with the specification", on_folder=whole_set.manifest),
    IntegrityCheck("files", "every file has its recorded size and SHA-256", on_folder=stored_files.files),
    IntegrityCheck("list", "the folder holds what the manifest lists, and nothing else", on_folder=stored_files.listed),
    IntegrityCheck("card", "the card's head is what the manifest gives", on_folder=stored_files.card),
    IntegrityCheck("croissant", "croissant.json is what the manifest gives", on_folder=stored_files.croissant),
    IntegrityCheck("readable", "every row can be read and every image decoded"),
    IntegrityCheck("schema", "the columns have the specified types and features", on_folder=stored_files.schema),
    IntegrityCheck("counts", "every split has its number of rows", on_folder=whole_set.counts),
    IntegrityCheck("images", "PNG of pixels alone, in the specified size and mode"),
    IntegrityCheck("paths", "stored images are named as their border says"),
    IntegrityCheck("labels", "every label is the specified one", on_rows=rows.labels),
    IntegrityCheck(
        "balance",
        "no label is more frequent than another",
        None,
        on_set=whole_set.balance,
        figure=whole_set.balance_figure,
    ),
    IntegrityCheck(
        "pixels", "every image is the one that its builder makes", applies_to_generated, on_rows=rows.pixels
    ),
    IntegrityCheck("columns", "the further columns say what was drawn", applies_to_generated, on_rows=rows.columns),
    IntegrityCheck("boxes", "two pure boxes where the columns say, else black", None, red_green.boxes),
    IntegrityCheck("pairs", "the two tests pair up row by row", None, red_green.pairs),
    IntegrityCheck("repeats", "no image occurs twice, in any split", None, on_set=red_green.repeats),
    IntegrityCheck("place", "x, y are the label's corner", None, quadrant.place),
    IntegrityCheck("background", "black outside the patch", None, quadrant.background),
    IntegrityCheck(
        "patch",
        "both corners hold the recorded patch",
        None,
        quadrant.same_patch,
        figure=quadrant.sources_figure,
    ),
    IntegrityCheck(
        "displacement",
        "total strides see both corners in one phase",
        None,
        on_folder=quadrant.displacement,
        figure=quadrant.displacement_figure,
    ),
    IntegrityCheck("constant", "no picture is of one colour all over", None, quadrant.constant, otherwise=Status.WARN),
    IntegrityCheck("base", "every image is the recorded one", None, shifted.base),
    IntegrityCheck("drawn", "pairs and label are those that the names decide", None, shifted.check_drawn_pairs),
    IntegrityCheck("borders", "borders are black, their centre is border 0", applies_to_bordered),
    IntegrityCheck(
        "sources",
        "rows name their sources, no source is in two splits",
        from_images,
        on_set=whole_set.sources,
        figure=whole_set.sources_figure,
    ),
    IntegrityCheck(
        "duplicates",
        "no picture is in two splits under other names",
        from_images,
        on_set=whole_set.duplicates,
        figure=whole_set.duplicates_figure,
        otherwise=Status.WARN,
    ),
    IntegrityCheck(
        "digests",
        "pixels and labels give the recorded digests",
        on_set=whole_set.digests,
        figure=whole_set.digests_figure,
    ),
    IntegrityCheck(
        "pinned",
        "digests are those that this package pins",
        whole_set.is_pinned,
        on_set=whole_set.pinned,
        figure=whole_set.pinned_figure,
    ),
)
"""Every integrity check, in the order of the report: a new check is a new row."""


WORTH_PROCESSES = 10_000
"""Number of images from which processes gain more time than starting them takes."""


def check_integrity(
    stored: StoredFolder, *, engine: Engine | None = None, full: bool = False, progress: bool = False
) -> CheckResults:
    """Reads every row of a set and makes every check that applies to it.

    Args:
        stored: The set.
        engine: Reads the rows, by default in one thread per core.
        full: Decode every image, also those with the bytes that this package writes for pixels that are known
            already.
        progress: Show a bar, if standard error is a terminal.
    """
    made = [check for check in CHECKS if check.is_for(stored)]
    seen = examine(stored, made, engine or Engine(), full, progress)
    checks = []
    for check in made:
        if check.on_set is not None:
            seen.findings.gather(check.name, check.on_set(stored, seen))
        cause = seen.findings.cause(check.name)
        figure = check.figure(stored, seen) if check.figure else ""
        status = check.otherwise if cause else Status.PASS
        checks.append(Check(stored.name, check.name, status, figure, check.meaning, cause=cause))
    return CheckResults(tuple(checks))


def examine(
    stored: StoredFolder, checks: Sequence[IntegrityCheck], engine: Engine, full: bool, progress: bool
) -> ExaminedRows:
    """Returns the notes of all rows, read chunk by chunk, and what is wrong with the folder.

    Args:
        stored: The set.
        checks: Those that are made.
        engine: Where rows are read.
        full: Decode every image.
        progress: Show a bar, if standard error is a terminal.
    """
    whole = ExaminedRows()
    rows: dict[str, int] = {}
    config = stored.manifest.configs.get(stored.default_config)
    for split in config.splits if config else ():
        try:
            rows[split] = stored.count(stored.default_config, split)
        except StoredSetError as error:
            whole.findings.add("readable", str(error))
    step = max(1, ROW_GROUP_ROWS // stored.spec.rows_per_source) * stored.spec.rows_per_source
    tasks = (stretch for split, count in rows.items() for stretch in stretches(stored, split, count, step))
    total = sum(-(-count // step) for count in rows.values())
    images = sum(rows.values()) * len(stored.manifest.configs)
    readers = replace(engine, processes=engine.processes and images >= WORTH_PROCESSES)
    with (
        bar_over(stored.name, total, "chunk", progress) as bar,
        readers.in_order(partial(examine_chunk, stored, full), tasks) as parts,
    ):
        with replace(engine, processes=False).in_order(partial(measure_file, stored), stored.manifest.files) as files:
            whole.files = dict(zip(stored.manifest.files, files, strict=True))
        for check in checks:
            if check.on_folder is not None:
                whole.findings.gather(check.name, check.on_folder(stored, whole))
        for part in parts:
            whole.merge(part)
            bar.update()
    return whole


def measure_file(stored: StoredFolder, name: str) -> FileRecord | str:
    """Returns size and SHA-256 of a file of the set, or why it can't be read."""
    try:
        return stored.file_record(name)
    except OSError as error:
        return error.strerror or type(error).__name__


def examine_chunk(stored: StoredFolder, full: bool, stretch: Stretch) -> ExaminedRows:
    """Returns the facts about a stretch of rows, in every config."""
    seen = ExaminedRows()
    borders = Borders(stored, stretch, seen)
    chunk = read_chunk(stored, stretch, seen, full, None if full else borders.compare_files)
    with ONE_AT_A_TIME:
        for check in CHECKS:
            if check.on_rows is not None and check.is_for(stored):
                seen.findings.gather(check.name, check.on_rows(chunk))
    borders.compare_images(chunk)
    return seen
