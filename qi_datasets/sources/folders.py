"""ImageNet's validation files in folders (flat, by class, Kaggle's download), and any other folder of images."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from qi_datasets.errors import SourceError
from qi_datasets.imagenet import (
    IMAGENET_TRAIN,
    IMAGENET_VAL,
    WNID,
    ImageCollection,
    are_labelled,
    label_of,
    numbers_in,
    val_name,
    val_number,
)
from qi_datasets.pixels.decoding import FORMATS
from qi_datasets.sources.base import FileLocation, Source, SourceImage, contradictions
from qi_datasets.sources.reading import open_regular
from qi_datasets.sources.refused import REMEDY, UNREAD, counted
from qi_datasets.sources.walk import TRAINING, folders_in, walk

_Found: TypeAlias = tuple[str, str, str]
"""Image name, path below the folder, synset ("" if the layout gives none)."""

KAGGLE_VAL = Path("ILSVRC/Data/CLS-LOC/val")


def listing(folder: str | Path) -> list[str]:
    """Returns the names in a folder. Raises SourceError if it can't be read."""
    try:
        return os.listdir(folder)
    except OSError as error:
        raise SourceError(
            f"cannot read {folder}: {error.strerror}; check the path and its permissions", code="cannot-read"
        ) from error


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


class _FoldersByName(Mapping[str, str]):
    """The folder of each validation image, by its id, in the order of their numbers.

    There are up to 50,000 images: one array of numbers takes a tenth of the time and memory of a dictionary.

    Args:
        numbers: Numbers of the images, 1 to 50,000, folder after folder.
        folders: Paths of the folders below the source.
        counts: Number of images in each folder.
    """

    def __init__(self, numbers: npt.NDArray[np.int64], folders: Sequence[str], counts: Sequence[int]) -> None:
        self._folders = folders
        self._place = np.full(IMAGENET_VAL.images + 1, -1, np.int32)
        """The index in `folders` of each image's folder, by the image's number; -1 for missing images."""
        self._place[numbers] = np.repeat(np.arange(len(folders)), counts)

    def __getitem__(self, name: str) -> str:
        if name not in self:
            raise KeyError(name)
        return self._folders[int(self._place[val_number(name)])]

    def __contains__(self, name: object) -> bool:
        return bool(self._place[val_number(name)] >= 0)

    def __iter__(self) -> Iterator[str]:
        return map(val_name, np.flatnonzero(self._place >= 0).tolist())

    def __len__(self) -> int:
        return int((self._place >= 0).sum())


class _Listed(NamedTuple):
    """A folder with files.

    Fields:
        inside: Its path below the source.
        files: Names of the files, each followed by a null byte.
        number: Number of files.
        wnid: The synset in the folder's name, "" if there is none.
    """

    inside: str
    files: str
    number: int
    wnid: str


@dataclass
class _Validation:
    """The files of ImageNet's validation images in folders, and pictures of other names beside them.

    Attributes:
        folders: The folders with any of them.
        found: ImageNet's files, once `sort_out` was called.
        others: Paths of the other pictures.
    """

    folders: list[_Listed] = field(default_factory=list)
    found: list[_Found] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def add(self, inside: str, files: Sequence[str], wnid: str = "") -> None:
        """Adds the files of one folder."""
        if files:
            # One string a folder, not one a file: it takes longer to make 50,000 strings and keep them.
            self.folders.append(_Listed(inside, "\0".join(files) + "\0", len(files), wnid))

    def all_usual(self) -> Mapping[str, str] | None:
        """Returns id -> folder if all files have ImageNet's names, each once and in its class's folder; else None."""
        numbers = numbers_in("".join(folder.files for folder in self.folders))
        if numbers is None:
            return None
        counts = [folder.number for folder in self.folders]
        if any(folder.wnid for folder in self.folders):
            labels = np.repeat([label_of(folder.wnid) for folder in self.folders], counts)
            if not are_labelled(numbers, labels):
                return None
        names = _FoldersByName(numbers, [folder.inside for folder in self.folders], counts)
        return names if len(names) == len(numbers) else None

    def sort_out(self) -> None:
        """Puts files with ImageNet's names into `found`, and other pictures into `others`."""
        named = IMAGENET_VAL.named
        pictures = image_suffixes() | UNREAD
        for inside, files, _, wnid in self.folders:
            prefix = f"{inside}/" if inside else ""
            for file in files.split("\0")[:-1]:
                names = named(file)
                if names is not None:
                    self.found.append((names[0], prefix + file, names[1] or wnid))
                elif _ending(file) in pictures and not file.startswith("."):
                    self.others.append(prefix + file)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line about pictures that are ignored, and one about files with ImageNet's names that are no JPEGs."""
        lines = []
        if self.others:
            lines.append(f"{counted(self.others, 'other picture')} here ignored: without a name of {IMAGENET_VAL}'s")
        encoded = [path for _, path, _ in self.found if path[-4:].lower() == ".png"]
        if encoded:
            lines.append(f"{counted(encoded, 'file')} encoded again as PNG: not the files that ImageNet published")
        return tuple(lines)


@dataclass(frozen=True)
class _FileSource(Source):
    """Image files below a folder.

    names: image name -> (path below the folder, synset), or the folder of a file with ImageNet's name.
    """

    def located(self, name: str) -> SourceImage:
        """Returns the image of that name."""
        found: str | tuple[str, str] = self.names[name]
        if isinstance(found, str):
            last = found.rpartition("/")[2]
            found = (f"{found}/{name}.JPEG" if found else f"{name}.JPEG", last if WNID.fullmatch(last) else "")
        path, wnid = found
        return SourceImage(name, wnid, FileLocation(os.path.join(self.where, path)))

    @classmethod
    def of(
        cls,
        folder: Path,
        found: Sequence[_Found],
        collection: ImageCollection | None = IMAGENET_VAL,
        warnings: tuple[str, ...] = (),
    ) -> Self | None:
        """Returns the source of these files; None if there are none. Raises SourceError if two of a name differ."""
        names = {name: (path, wnid) for name, path, wnid in found}
        if len(names) < len(found):
            # The first by path is used, whatever the order of the folder's listing.
            names = {name: (path, wnid) for name, path, wnid in sorted(found, reverse=True)}
            for name, path, _ in found:
                one, other = (FileLocation(str(folder / twin)) for twin in (names[name][0], path))
                if one != other and not _are_same(name, one, other):
                    raise SourceError(
                        f"{name} occurs twice with different bytes: {one} and {other}; remove one of them",
                        code="two-of-a-name",
                    )
        if not names:
            return None
        if collection:
            warnings += contradictions(collection, ((name, wnid) for name, (_, wnid) in names.items()))
        return cls(str(folder), names, collection, warnings)

    @classmethod
    def of_validation(cls, folder: Path, files: _Validation) -> Self | None:
        """Returns the source of ImageNet's validation files; None if there are none."""
        if usual := files.all_usual():
            return cls(str(folder), usual, IMAGENET_VAL)
        files.sort_out()
        return cls.of(folder, files.found, IMAGENET_VAL, files.warnings)


def _are_same(name: str, one: FileLocation, other: FileLocation) -> bool:
    """Returns whether two paths are one file, or files with the same bytes."""
    with suppress(OSError):
        if os.path.samefile(one.path, other.path):  # noqa: PTH121
            return True
    return SourceImage(name, "", one).read() == SourceImage(name, "", other).read()


class FlatFolder(_FileSource):
    """`ILSVRC2012_val_*.JPEG`, all in one folder."""

    layout: ClassVar[str] = "flat folder"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """Returns the source; None if the folder has no such file."""
        files = _Validation()
        files.add("", listing(folder))
        return cls.of_validation(folder, files)


class ClassFolders(_FileSource):
    """`n01440764/ILSVRC2012_val_00000293.JPEG`: a folder per synset."""

    layout: ClassVar[str] = "class folders"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """Returns the source; None if no class folder has such a file."""
        files = _Validation()
        top = str(folder)
        for wnid in filter(WNID.fullmatch, folders_in(top)):
            files.add(wnid, listing(f"{top}/{wnid}"), wnid)
        return cls.of_validation(folder, files)


class ImageNetRoot(_FileSource):
    """An ImageNet root whose `val/` is flat or by class."""

    layout: ClassVar[str] = "ImageNet root with val/"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """Returns the source; None for a folder without `val/`, or without validation files there."""
        val = folder / "val"
        inner = (FlatFolder.find(val) or ClassFolders.find(val)) if val.is_dir() else None
        return None if inner is None else cls(inner.where, inner.names, inner.collection, inner.warnings)


class Kaggle(_FileSource):
    """The root of Kaggle's download, whose validation files are deep below it."""

    layout: ClassVar[str] = "Kaggle"

    @classmethod
    def find(cls, root: Path) -> Self | None:
        """Returns the source; None if `root` is not the root of Kaggle's download."""
        val = root / KAGGLE_VAL
        if not val.is_dir():
            return None
        files = _Validation()
        files.add("", listing(val))
        return cls.of_validation(val, files)


class NestedFolders(_FileSource):
    """`ILSVRC2012_val_*.JPEG` at any depth, outside of training folders."""

    layout: ClassVar[str] = "nested folders"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """Returns the source; None if no folder outside of `train/` has such a file."""
        files = _Validation()
        for inside, names in walk(str(folder), TRAINING):
            last = inside.rpartition("/")[2]
            files.add(inside, names, last if WNID.fullmatch(last) else "")
        return cls.of_validation(folder, files)


def _check_name(path: str) -> str:
    """Returns a path as an image's name. Raises SourceError if it is not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise SourceError(f"the file name {os.fsencode(path)!r} is not UTF-8; rename the file") from error
    return path


def is_built_set(folder: Path) -> bool:
    """Returns whether a folder has a set that this package wrote, whose images are not sources."""
    try:
        with open_regular(str(folder / "manifest.json")) as file:
            return b'"spec_version"' in file.read(1000)
    except OSError:
        return False


@lru_cache(maxsize=1)
def image_suffixes() -> frozenset[str]:
    """Returns the extensions of the image files that are read."""
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS)


class AnyFolder(_FileSource):
    """Any folder of images, at any depth, named by relative POSIX path: ImageNet's training images, or others."""

    layout: ClassVar[str] = "folder of images"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """Returns the source; None for a folder without images at any depth."""
        found: list[_Found] = []
        unread: list[str] = []
        training = True
        built: tuple[str, ...] = ()
        for inside, files in walk(str(folder)):
            if built and inside.startswith(built):
                continue
            if is_built_set(folder / inside):
                built += (f"{inside}/" if inside else "",)
                continue
            last = inside.rpartition("/")[2]
            wnid = last if WNID.fullmatch(last) else ""
            for file in files:
                ending = _ending(file)
                if file.startswith(".") or ending not in image_suffixes() | UNREAD:
                    continue
                path = f"{inside}/{file}" if inside else file
                if IMAGENET_VAL.named(file):
                    raise SourceError(
                        f"{folder / path} has a name of {IMAGENET_VAL} in a folder of training images, which are never "
                        "drawn from; give the folder that holds the validation images alone"
                    )
                if ending in UNREAD:
                    unread.append(_check_name(path))
                    continue
                found.append((_check_name(path), path, wnid))
                training = training and bool(wnid and IMAGENET_TRAIN.file.fullmatch(file))
        warnings = (f"{counted(unread, 'picture')} here ignored: {REMEDY}",) if unread else ()
        return cls.of(folder, found, IMAGENET_TRAIN if training else None, warnings)
