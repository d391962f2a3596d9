"""ImageNet's training images in any layout: only their names are read, and an image when it is requested."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from qi_datasets.errors import NamedArgument, SourceError, name_some
from qi_datasets.imagenet import IMAGENET_VAL, WNID, label_of, wnids
from qi_datasets.sources.base import FileLocation, Location, SpanLocation
from qi_datasets.sources.reading import open_archive
from qi_datasets.sources.tar import tar_members
from qi_datasets.sources.walk import folders_in
from qi_datasets.sources.zip import ZipLocation, zip_members

KAGGLE_TRAIN = "ILSVRC/Data/CLS-LOC/train"
BELOW = ("", "train", KAGGLE_TRAIN)
"""Folders below a path that may have class folders."""

CLASS_FOLDERS = "class folders"

NAMED = 5
"""Number of names that a message lists before it counts the rest."""

# The Hub's copy appends the synset.
TRAIN_FILE = re.compile(r"(?P<name>(?P<wnid>n\d{8})_\d+)(?:_n\d{8})?\.(?:jpe?g)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class TrainingImages:
    """Training images at a path.

    where: its name in messages.
    layout: their arrangement.
    places: image name -> its path below `where`, or its location in an archive.
    """

    where: str
    layout: str
    places: Mapping[str, str | Location] = field(repr=False)

    def location(self, name: str) -> Location:
        """Returns the location of an image's bytes. Raises SourceError if there is no such image."""
        if name not in self.places:
            raise SourceError(
                f"{self.where} lacks {name}; give the whole of ImageNet's training images", code="no-images"
            )
        place = self.places[name]
        return FileLocation(f"{self.where}/{place}") if isinstance(place, str) else place

    @property
    def has_files(self) -> bool:
        """True if each image is a separate file."""
        return self.layout == CLASS_FOLDERS

    def __str__(self) -> str:
        return f"{self.where} ({self.layout}, {len(self.places)} training images)"


def open_training(place: str | Path) -> TrainingImages:
    """Opens the training images at a path, and reads their names.

    Args:
        place: Class folders, a folder whose `train/` has them, Kaggle's root or zip, `ILSVRC2012_img_train.tar` (a tar
            of tars), webdataset shards, or the Hub's Parquet shards.

    Raises:
        SourceError: If the path has no training images, lacks some of the 1000 classes, or has validation images.
    """
    path = Path(place).expanduser()
    if not path.exists():
        raise SourceError(
            f"no such path: {path}; give the folder or archive of ImageNet's training images", code="no-such-path"
        )
    found = images_in_class_folders(path) if path.is_dir() else None
    if found is None:
        archives = [str(path)] if path.is_file() else sorted(map(str, archives_below(path)))
        found = images_in_archives(archives, str(path))
    check_classes(found)
    return found


def images_in_class_folders(path: Path) -> TrainingImages | None:
    """Returns the images in folders named after their classes; None if there are none. Only names are read."""
    for below in BELOW:
        top = path / below
        folders = [name for name in folders_in(str(top)) if WNID.fullmatch(name)] if top.is_dir() else []
        if folders:
            places: dict[str, str | Location] = {}
            strange = UnexpectedNames()
            for folder in folders:
                with os.scandir(top / folder) as entries:
                    for entry in entries:
                        match = TRAIN_FILE.fullmatch(entry.name)
                        if match and match["wnid"] == folder:
                            places[match["name"]] = f"{folder}/{entry.name}"
                        elif not entry.name.startswith("."):
                            strange.add(f"{folder}/{entry.name}")
            strange.check(places, str(top))
            return TrainingImages(str(top), CLASS_FOLDERS, places)
    return None


def archives_below(path: Path) -> Iterator[Path]:
    """Returns archives in a folder or right below it; of Parquet and tars, those named as training, if any are."""
    found = [each for each in (*path.glob("*"), *path.glob("*/*")) if each.suffix in (".tar", ".zip", ".parquet")]
    named = [each for each in found if "train" in each.name]
    return iter(named or found)


def images_in_archives(archives: Iterable[str], where: str) -> TrainingImages:
    """Returns the images in tars (also tars of tars), zips and Parquet shards."""
    places: dict[str, str | Location] = {}
    strange, kinds = UnexpectedNames(), dict[str, None]()
    for archive in archives:
        kinds[Path(archive).suffix.removeprefix(".")] = None
        for member, location in members(archive):
            match = TRAIN_FILE.fullmatch(member.rpartition("/")[2])
            if match:
                places.setdefault(match["name"], location)
            elif not member.lower().endswith((".cls", ".json", ".txt", ".csv", ".xml")):
                strange.add(member)
    strange.check(places, where)
    return TrainingImages(where, "+".join(kinds), places)


def members(archive: str) -> Iterator[tuple[str, Location]]:
    """Yields name and location of each file in an archive; a tar inside it is replaced by its files."""
    if archive.endswith(".parquet"):
        # Parquet takes a while to import.
        from qi_datasets.sources.shards import CellLocation, cells, open_parquet, require_images

        with open_parquet(archive) as shard:
            require_images(shard, archive)
            for group in range(shard.num_row_groups):
                for row, name in enumerate(cells(shard, group, "path")):
                    yield name or "", CellLocation(archive, group, row, name or "")
        return
    with open_archive(archive) as file:
        begin = file.read(4)
        file.seek(0)
        if begin == b"PK\3\4":
            for entry in zip_members(file, archive):
                # Kaggle's zip has the validation and test images too.
                if KAGGLE_TRAIN in entry.name or TRAIN_FILE.fullmatch(entry.name.rpartition("/")[2]):
                    yield entry.name, ZipLocation(archive, entry)
            return
        for member in tar_members(file, archive):
            if not member.name.endswith(".tar"):
                label = f"{member.name} in {archive}"
                yield member.name, SpanLocation(archive, member.offset, member.size, label)
                continue
            with open_archive(archive) as again:
                inner = cast("BinaryIO", Part(again, member.offset, member.size))
                for one in tar_members(inner, f"{member.name} in {archive}"):
                    label = f"{one.name} in {member.name} in {archive}"
                    yield one.name, SpanLocation(archive, member.offset + one.offset, one.size, label)


class Part:
    """A part of a file, which is read like a separate file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def read(self, size: int = -1) -> bytes:
        """Returns at most `size` bytes from the current position."""
        left = max(0, self._size - self._at)
        self._file.seek(self._start + self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a position, counted from the beginning, the current position or the end; returns it."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """Returns the current position."""
        return self._at


class UnexpectedNames:
    """Names that are not those of training images: they are counted, and some are kept for the message."""

    def __init__(self) -> None:
        self.count, self.examples = 0, list[str]()

    def add(self, name: str) -> None:
        """Counts a name."""
        self.count += 1
        if len(self.examples) < NAMED:
            self.examples.append(name)

    def check(self, places: Mapping[str, str | Location], where: str) -> None:
        """Raises SourceError if there were any, or if there is no training image at all."""
        if any(IMAGENET_VAL.file.fullmatch(name.rpartition("/")[2]) for name in self.examples):
            raise SourceError(
                f"{where} holds validation images ({self.examples[0]}): give them as ",
                NamedArgument("imagenet_val", "PATH"),
            )
        if self.count:
            more = f" and {self.count - len(self.examples)} more" if self.count > len(self.examples) else ""
            raise SourceError(
                f"{where}: {', '.join(self.examples)}{more} are not named as training images are "
                "(n01440764_10026.JPEG, in the folder of its class); take them away"
            )
        if not places:
            raise SourceError(
                f"no training images in {where}; give class folders, a tar, a zip or shards of them", code="no-images"
            )


def check_classes(found: TrainingImages) -> None:
    """Raises SourceError if one of the 1000 classes has no image, or images are of another class."""
    there = {name.partition("_")[0] for name in found.places}
    if unknown := sorted(wnid for wnid in there if label_of(wnid) < 0):
        raise SourceError(f"{found.where}: {', '.join(unknown[:NAMED])} are not among the 1000 classes; remove them")
    if missing := [wnid for wnid in wnids() if wnid not in there]:
        raise SourceError(
            f"{found.where} has {len(there)} of the 1000 classes, without {name_some(missing, NAMED)}; give all"
        )
