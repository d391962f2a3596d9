"""The images of the benchmarks, in the layouts and numbers that the lines need."""

import io
import os
import tarfile
from functools import cached_property
from pathlib import Path

from PIL import Image

from qi_datasets.building.selection import official_names, official_selection
from qi_datasets.imagenet import IMAGENET_VAL
from qi_datasets.sources import DemoSource
from qi_datasets.specs import QI


class Sources:
    """A flat folder of the selected images, and what is derived from it below `work`."""

    def __init__(self, given: Path | None, work: Path) -> None:
        self.given, self.work = given, work

    @cached_property
    def names(self) -> list[str]:
        """Returns the names of the officially selected images."""
        return [name for members in official_selection(QI).values() for name in members]

    @cached_property
    def flat(self) -> Path:
        """A flat folder of the selected images: the given one, or demo pictures under their names."""
        if self.given is not None:
            return self.given
        folder = self.work / "flat"
        folder.mkdir()
        demo = DemoSource.of(len(self.names))
        for name, picture in zip(self.names, demo.names, strict=True):
            (folder / f"{name}.JPEG").write_bytes(demo.image(picture).read())
        return folder

    @cached_property
    def tar(self) -> Path:
        """The flat folder's files as ImageNet's tar."""
        path = self.work / "ILSVRC2012_img_val.tar"
        with tarfile.open(path, "w") as archive:
            for file in sorted(self.flat.iterdir()):
                archive.add(file, arcname=file.name)
        return path

    @cached_property
    def crowd(self) -> Path:
        """A flat folder with all 50,000 names, all links to one file."""
        folder = self.work / "crowd"
        folder.mkdir()
        picture = folder / "one"
        buffer = io.BytesIO()
        Image.new("RGB", (64, 64)).save(buffer, "JPEG")
        picture.write_bytes(buffer.getvalue())
        for name in official_names(range(IMAGENET_VAL.images)):
            os.link(picture, folder / f"{name}.JPEG")
        picture.unlink()
        return folder

    @cached_property
    def crowded_classes(self) -> Path:
        """All 50,000 names in folders by class."""
        folder = self.work / "classes"
        for name in official_names(range(IMAGENET_VAL.images)):
            of_class = folder / IMAGENET_VAL.wnid(name)
            of_class.mkdir(parents=True, exist_ok=True)
            os.link(self.crowd / f"{name}.JPEG", of_class / f"{name}.JPEG")
        return folder

    @cached_property
    def built(self) -> Path:
        """A folder with QI built from the selected images."""
        from tests.benchmarks.building import build

        output = self.work / "built"
        build(self.flat, output)
        return output

    def fresh(self) -> Path:
        """A path where nothing is yet."""
        count = len(list(self.work.glob("fresh-*")))
        (self.work / f"fresh-{count}").touch()
        return self.work / f"output-{count}"
