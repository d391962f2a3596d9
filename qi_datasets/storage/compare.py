"""Compares two builds of a set by their manifests: which images differ, in their files or in their decoding."""

from collections.abc import Iterator
from dataclasses import dataclass

from qi_datasets.storage.manifest import Manifest, SourceRecord

FILE, DECODER, SELECTION, ROWS, COLUMNS, SET = "file", "decoder", "selection", "rows", "columns", "set"
"""Kinds of differences: of the image's file; of its pixels although the file is the same; of the choice of images; of
the rows although their images are the same; of the columns; of the whole set."""

_NAMED = 5
"""Number of differences that a message names before it counts the rest."""


@dataclass(frozen=True)
class Difference:
    """One thing that differs.

    Attributes:
        kind: One of the constants above.
        where: The image's name and split, or the split's name, or "" for the set.
        text: The values in the two builds.
        same_pixels: Whether the pixels are nevertheless the same.
    """

    kind: str
    where: str
    text: str
    same_pixels: bool = False

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.text}" if self.where else f"{self.kind}: {self.text}"


@dataclass(frozen=True)
class Comparison:
    """All differences between two builds.

    Attributes:
        images: Number of sources that both have.
        configs: The configs that both have.
        decoders: The libraries that decoded JPEG files for the two builds.
    """

    differences: tuple[Difference, ...]
    images: int
    configs: tuple[str, ...]
    decoders: str = ""

    @property
    def same(self) -> bool:
        """True if everything that both have is the same."""
        return not self.differences

    @property
    def same_pixels(self) -> bool:
        """True if all common rows and pixels are the same; image files may differ if they decode alike."""
        return all(difference.same_pixels for difference in self.differences)

    def __str__(self) -> str:
        if self.same:
            return f"the same in {', '.join(self.configs)}" + (f", {self.images} images" if self.images else "")
        named = "; ".join(map(str, self.differences[:_NAMED]))
        more = len(self.differences) - _NAMED
        return named + (f"; and {more} more" if more > 0 else "")


def compare(ours: Manifest, theirs: Manifest) -> Comparison:
    """Compares two builds of a set in everything that both have: images by name, and the digests of common configs.

    A config that only one of them has is ignored. Where an image differs, the digests that follow from it are
    not named as well.
    """
    different = tuple(_different_sets(ours, theirs))
    if different:
        return Comparison(different, 0, ())
    configs = tuple(name for name in ours.configs if name in theirs.configs)
    differences: list[Difference] = []
    images = 0
    decoders = f"decoded by {ours.decoder} here, {theirs.decoder} there"
    for split in dict.fromkeys((*ours.sources, *theirs.sources)):
        one, other = ours.sources.get(split, []), theirs.sources.get(split, [])
        images += len({source.name for source in one} & {source.name for source in other})
        differences += _different_images(split, one, other, decoders)
    if ours.columns and theirs.columns and ours.columns != theirs.columns:
        names = [name for name in ours.columns | theirs.columns if ours.columns.get(name) != theirs.columns.get(name)]
        kinds = [f"{ours.columns.get(name, 'none')} here, {theirs.columns.get(name, 'none')} there" for name in names]
        differences += [Difference(COLUMNS, name, kind) for name, kind in zip(names, kinds, strict=True)]
    explained = {difference.where.partition("/")[0] for difference in differences if not difference.same_pixels}
    for config in configs:
        differences += _different_digests(ours, theirs, config, explained)
    return Comparison(tuple(differences), images, configs, decoders if images else "")


def _different_sets(ours: Manifest, theirs: Manifest) -> Iterator[Difference]:
    for what in ("name", "spec_version", "size"):
        one, other = getattr(ours, what), getattr(theirs, what)
        if one != other:
            yield Difference(SET, "", f"{what.replace('spec_version', 'data version')} {one} here, {other} there")
    if not ours.configs.keys() & theirs.configs.keys():
        yield Difference(SET, "", f"{', '.join(ours.configs)} here, {', '.join(theirs.configs)} there")


def _different_images(
    split: str, ours: list[SourceRecord], theirs: list[SourceRecord], decoders: str
) -> Iterator[Difference]:
    known = {source.name: source for source in theirs}
    for source in ours:
        where, other = f"{split}/{source.name}", known.get(source.name)
        if other is None:
            yield Difference(SELECTION, where, "here only")
        elif source.sha256 != other.sha256:
            same = source.patch_sha256 == other.patch_sha256
            sizes = f"{source.bytes} bytes here, {other.bytes} there"
            yield Difference(FILE, where, sizes + ("; the pixels are the same" if same else ""), same)
        elif source.patch_sha256 != other.patch_sha256:
            yield Difference(DECODER, where, f"the same file gives other pixels ({decoders})")
    names = {source.name for source in ours}
    for source in theirs:
        if source.name not in names:
            yield Difference(SELECTION, f"{split}/{source.name}", "there only")
    common = [source.name for source in ours if source.name in known]
    if common != [source.name for source in theirs if source.name in names]:
        yield Difference(SELECTION, split, "the images are in another order")


def _different_digests(ours: Manifest, theirs: Manifest, config: str, explained: set[str]) -> Iterator[Difference]:
    one, other = ours.configs[config].splits, theirs.configs[config].splits
    for split in dict.fromkeys((*one, *other)):
        if split not in one or split not in other:
            yield Difference(ROWS, f"{config}/{split}", "here only" if split in one else "there only")
        elif one[split].digest != other[split].digest and split not in explained:
            digests = f"digest {one[split].digest[:12]}... here, {other[split].digest[:12]}... there"
            yield Difference(ROWS, f"{config}/{split}", digests)
