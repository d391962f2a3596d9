"""Labels files: which synset an image of ImageNet's validation set has, for layouts that don't tell it."""

import csv
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from qi_datasets.errors import SourceError
from qi_datasets.imagenet import labels_by_wnid
from qi_datasets.sources.base import VAL_FILE, WNID, Source
from qi_datasets.sources.matlab import synsets_by_id
from qi_datasets.specs import IMAGENET_VAL_IMAGES, IMAGENET_VAL_NAME

GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"
KINDS = (
    f"the development kit ({GROUND_TRUTH} with {META} beside it, or the kit's tar.gz), LOC_val_solution.csv, "
    "or lines of `id wnid`"
)


def with_labels(source: Source, labels: str | Path) -> Source:
    """The source with the synsets of a labels file, where its layout tells none.

    labels: the development kit's ground truth, with its `meta.mat` in the same folder; the kit's untouched `tar.gz`;
    Kaggle's `LOC_val_solution.csv`; or lines of an image's id, number or path and its synset. Raises SourceError for a
    file that is missing or malformed, or that knows none of the source's images.
    """
    wnids = read_labels(Path(labels).expanduser())
    if not any(name in wnids for name in source.names):
        raise SourceError(f"{labels} knows no image of {source}; --labels takes {KINDS}")
    return replace(source, wnids=wnids)


def read_labels(path: Path) -> dict[str, str]:
    """Image name -> synset from a labels file of any kind; SourceError when it is missing or malformed."""
    if path.is_file() and tarfile.is_tarfile(path):
        return development_kit(*kit_members(path), path)
    if path.suffix.lower() == ".csv":
        return kaggle_table(path)
    text = decoded(content(path), path)
    if text.split("\n", 1)[0].strip().isdecimal():
        return development_kit(text.split(), content(path.with_name(META)), path)
    return id_lines(text, path)


def content(path: Path) -> bytes:
    """The bytes of a file; SourceError when it can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read {path} ({error.strerror}); --labels takes {KINDS}") from error


def decoded(data: bytes, path: Path) -> str:
    """The text in `data`; SourceError when it is none."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is no text; --labels takes {KINDS}") from error


def kaggle_table(table: Path) -> dict[str, str]:
    """Image name -> synset from Kaggle's table: the first word of the prediction. SourceError when it is no such."""
    try:
        with table.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines, strict=True))
        wnids = {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}
        if not wnids or not all(map(WNID.fullmatch, wnids.values())):
            raise ValueError("no synset where one is expected")
    except OSError as error:
        raise SourceError(f"{table} cannot be read ({error.strerror})") from error
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, csv.Error) as error:
        raise SourceError(f"{table} is not Kaggle's table of ImageId,PredictionString ({error})") from error
    return wnids


def id_lines(text: str, path: Path) -> dict[str, str]:
    """Image name -> synset from lines of `id wnid`; an id may be a name, with or without its ending, or a number."""
    wnids: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match line.rsplit(maxsplit=1):
            case [key, wnid] if WNID.fullmatch(wnid):
                name = image_name(key.strip())
            case _:
                raise SourceError(f"{path}, line {number}: {line.strip()[:60]!r} is not `id wnid`")
        if wnids.setdefault(name, wnid) != wnid:
            raise SourceError(f"{path}, line {number}: {name} is {wnid} here and {wnids[name]} above; keep one of them")
    if not wnids:
        raise SourceError(f"{path} is empty; --labels takes {KINDS}")
    return wnids


def image_name(key: str) -> str:
    """The name under which a source knows what a line calls `293`, `00000293` or `ILSVRC2012_val_00000293.JPEG`."""
    if key.isdecimal() and len(key) <= 8:
        return IMAGENET_VAL_NAME.format(int(key))
    match = VAL_FILE.fullmatch(PurePosixPath(key).name)
    return match[1] if match else key


def kit_members(path: Path) -> tuple[list[str], bytes]:
    """The lines of the ground truth and the bytes of `meta.mat` inside the development kit's archive."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                file = tar.extractfile(member) if name in (GROUND_TRUTH, META) else None
                if file is not None:
                    found[name] = file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise SourceError(f"{path} is cut off or damaged ({error}); fetch it again") from error
    if missing := [name for name in (GROUND_TRUTH, META) if name not in found]:
        raise SourceError(f"{path} holds no {missing[0]}; is it ILSVRC2012_devkit_t12.tar.gz?")
    return decoded(found[GROUND_TRUTH], path).split(), found[META]


def development_kit(lines: Sequence[str], meta: bytes, path: Path) -> dict[str, str]:
    """Image name -> synset: line k of the ground truth is the kit's own number for the class of image k.

    That numbering is not the sorted one; only `meta.mat` tells which synset a number is.
    """
    try:
        synsets = synsets_by_id(meta)
        wnids = [synsets[int(line)] for line in lines]
    except (ValueError, KeyError) as error:
        raise SourceError(f"{path}: its numbers cannot be looked up in the kit's {META} ({error})") from error
    if len(wnids) != IMAGENET_VAL_IMAGES or not labels_by_wnid().keys() >= set(wnids):
        raise SourceError(
            f"{path}: {len(wnids)} lines of {len(set(wnids))} classes are not the ground truth of ILSVRC2012's "
            f"{IMAGENET_VAL_IMAGES} validation images; fetch the development kit again"
        )
    return {IMAGENET_VAL_NAME.format(number): wnid for number, wnid in enumerate(wnids, start=1)}
