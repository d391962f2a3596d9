"""ImageNet's validation files in a folder, flat or by class, Kaggle's download, and any other folder of images."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Self, TypeAlias

from PIL import Image

from qi_datasets.errors import SourceError
from qi_datasets.sources.base import VAL_FILE, WNID, FileLocation, Source, SourceImage
from qi_datasets.sources.labels import kaggle_table

NO_PICTURES = {"BUFR", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}
"""Kinds of files that Pillow knows by name but can't decode by itself."""

Found: TypeAlias = tuple[str, str, str]
"""Image name, path below the folder, synset ("" if unknown)."""

KAGGLE_VAL = Path("ILSVRC/Data/CLS-LOC/val")
KAGGLE_LABELS = "LOC_val_solution.csv"


def listing(folder: Path) -> list[str]:
    """The names in a folder; SourceError when it can't be read."""
    try:
        return os.listdir(folder)
    except OSError as error:
        raise SourceError(f"cannot read {folder}: {error.strerror}; check the path and its permissions") from error


def validation_files(folder: Path) -> list[Found]:
    """The validation files that lie in a folder itself."""
    return [(match[1], name, match[2] or "") for name in listing(folder) if (match := VAL_FILE.fullmatch(name))]


@dataclass(frozen=True)
class FileSource(Source):
    """Image files below a folder. names: image name -> (path below the folder, synset)."""

    def image(self, name: str) -> SourceImage:
        """The image of that name."""
        path, wnid = self.names[name]
        return SourceImage(name, wnid, FileLocation(os.path.join(self.where, path)))

    @classmethod
    def of(cls, folder: Path, found: Sequence[Found], imagenet_val: bool = True) -> Self | None:
        """The source of what was found, None if that is nothing; SourceError for twins with different bytes."""
        names = {name: (path, wnid) for name, path, wnid in found}
        if len(names) < len(found):
            # The first by path counts, whatever order the folder lists them in.
            names = {name: (path, wnid) for name, path, wnid in sorted(found, reverse=True)}
            for name, path, _ in found:
                one, other = (FileLocation(str(folder / twin)) for twin in (names[name][0], path))
                if one != other and SourceImage(name, "", one).read() != SourceImage(name, "", other).read():
                    raise SourceError(
                        f"{name} occurs twice with different bytes: {one} and {other}; remove one of them"
                    )
        return cls(str(folder), names, imagenet_val) if names else None


class FlatFolder(FileSource):
    """`ILSVRC2012_val_*.JPEG`, all in one folder."""

    layout: ClassVar[str] = "flat folder"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The source, or None if the folder holds no such file."""
        return cls.of(folder, validation_files(folder))


class ClassFolders(FileSource):
    """`n01440764/ILSVRC2012_val_00000293.JPEG`: a folder per synset."""

    layout: ClassVar[str] = "class folders"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The source, or None if no class folder holds such a file."""
        classes = [name for name in sorted(listing(folder)) if WNID.fullmatch(name) and (folder / name).is_dir()]
        found = [
            (name, f"{wnid}/{file}", wnid) for wnid in classes for name, file, _ in validation_files(folder / wnid)
        ]
        return cls.of(folder, found)


class ImageNetRoot(FileSource):
    """An ImageNet root whose `val/` is flat or by class."""

    layout: ClassVar[str] = "ImageNet root with val/"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The source, or None if there is no `val/` with validation files."""
        val = folder / "val"
        inner = (FlatFolder.find(val) or ClassFolders.find(val)) if val.is_dir() else None
        return None if inner is None else cls(inner.where, inner.names, True)


class Kaggle(FileSource):
    """Kaggle's download: the root, or its folder of validation files; the synsets are in a table at the root."""

    layout: ClassVar[str] = "Kaggle"

    @classmethod
    def find_root(cls, root: Path) -> Self | None:
        """The source, or None if `root` is not the root of Kaggle's download."""
        return cls.labelled(root / KAGGLE_VAL, root)

    @classmethod
    def find_val(cls, val: Path) -> Self | None:
        """The source, or None if `val` is not the validation folder inside Kaggle's download.

        It is a flat folder too, but its place tells where the synsets are.
        """
        resolved, depth = val.resolve(), len(KAGGLE_VAL.parts)
        return cls.labelled(val, resolved.parents[depth - 1]) if resolved.parts[-depth:] == KAGGLE_VAL.parts else None

    @classmethod
    def labelled(cls, val: Path, root: Path) -> Self | None:
        """The flat files of `val` with the synsets from the table at `root`; None if there are no such files."""
        files = FlatFolder.find(val) if val.is_dir() else None
        if files is None:
            return None
        wnids, warning = kaggle_wnids(root / KAGGLE_LABELS)
        names = {name: (path, wnids.get(name, wnid)) for name, (path, wnid) in files.names.items()}
        return cls(str(val), names, True, (warning,) if warning else ())


def kaggle_wnids(table: Path) -> tuple[dict[str, str], str]:
    """Image name -> synset from Kaggle's table, and a warning or ""."""
    try:
        return kaggle_table(table), ""
    except SourceError as error:
        return {}, f"{error}: wnid stays empty, unless --labels FILE tells it"


@lru_cache(maxsize=1)
def image_suffixes() -> frozenset[str]:
    """The file endings that Pillow can open."""
    extensions = Image.registered_extensions()
    return frozenset(ending for ending, kind in extensions.items() if kind in Image.OPEN and kind not in NO_PICTURES)


class AnyFolder(FileSource):
    """Any folder of images, at any depth, named by their relative POSIX path."""

    layout: ClassVar[str] = "folder of images"

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The source, or None if there is no image at any depth."""
        found: list[Found] = []
        for parent, folders, files in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            inside = Path(parent).relative_to(folder)
            wnid = inside.name if WNID.fullmatch(inside.name) else ""
            for file in sorted(files):
                if not file.startswith(".") and os.path.splitext(file)[1].lower() in image_suffixes():
                    path = (inside / file).as_posix()
                    found.append((path, path, wnid))
        return cls.of(folder, found, imagenet_val=False)
