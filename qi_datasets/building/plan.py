"""Plans a set: chooses its images and checks its options before anything is written."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from qi_datasets.builder import Builder
from qi_datasets.building.selection import NAMED, official_selection, select
from qi_datasets.errors import NamedArgument, OptionError, StoredSetError, TooFewImagesError, name_some
from qi_datasets.imagenet import IMAGENET_VAL, val_wnid
from qi_datasets.pixels.digests import sha256_hex
from qi_datasets.progress import bar_over
from qi_datasets.registry import builder_of, look_up_spec
from qi_datasets.set_spec import SetSpec
from qi_datasets.sources import DemoSource, Source, SourceImage
from qi_datasets.sources.base import size_of
from qi_datasets.specs import BORDER, QI, QUADRANT, SPEC_VERSION
from qi_datasets.storage.manifest import Manifest, SourceRecord

Splits = Mapping[str, Mapping[str, int]]
"""Set name -> split name -> number of sources, for sets whose sizes are not the official ones."""


@dataclass(frozen=True)
class Recipe:
    """The manifest of a set that is to be made again, and the place where it was found."""

    where: str
    manifest: Manifest


@dataclass(frozen=True)
class Plan:
    """The plan of a set: everything that is decided and checked before anything is written.

    Attributes:
        builder: The set's builder, for the requested size.
        borders: Borders in pixels, one for each config.
        source: The source of its images; None for a set that needs none.
        images: Names of the images by split, in row order; empty for a set that needs none.
        canonical: Whether all of the set is as the spec table says.
        recipe: The recipe that its pixels are compared with.
        found_by_name: Number of the recipe's images that the source has under their names; the others have the right
            bytes.
    """

    builder: Builder
    borders: tuple[int, ...]
    source: Source | None
    images: Mapping[str, list[SourceImage]]
    canonical: bool
    recipe: Recipe | None = None
    found_by_name: int = 0

    @property
    def found_by_content(self) -> int:
        """The number of images of the recipe that were found by their bytes."""
        return sum(map(len, self.images.values())) - self.found_by_name

    @property
    def spec(self) -> SetSpec:
        """The set's row of the spec table."""
        return self.builder.spec

    @property
    def content(self) -> tuple[int, int, int]:
        """Shape (h, w, c) of the part of an image that may be other than black, by the set's geometry."""
        side = QUADRANT.patch if self.spec == QI else self.builder.size
        return side, side, self.spec.channels

    def rows(self, split: str) -> int:
        """Returns the number of rows that a split will have."""
        return len(self.images[split]) * self.spec.rows_per_source if self.images else self.spec.rows(split)


def plan_set(
    spec: SetSpec,
    source: Source | None = None,
    *,
    splits: Splits | None = None,
    official: bool = True,
    borders: Iterable[int] | None = None,
    size: int | None = None,
) -> Plan:
    """Selects a set's images and checks its options.

    Raises OptionError or SourceError.

    Args:
        spec: The set.
        source: Its images; None for a set that needs none.
        splits: Sizes that differ from the spec table's.
        official: Demand the official selection of an ImageNet val source; otherwise select, in the same order, from
            the source's images.
        borders: Borders in pixels, default the official ones; 0 is always among them.
        size: Side of the images at border 0 in pixels, default the official one.
    """
    builder = builder_of(spec, size)
    asked = spec.borders if borders is None else tuple(BORDER.check(border) for border in borders)
    wanted = tuple(sorted({0, *asked})) if spec.borders else (0,)
    if not spec.needs_images:
        return Plan(builder, wanted, None, {}, builder.size == spec.size)
    if source is None:
        raise OptionError(
            f"{spec.name} is made from images: give ",
            NamedArgument("imagenet_val", "PATH"),
            ", or ",
            NamedArgument("demo", True),
            " to try it without",
            code="missing-argument",
        )
    from_val = source.collection == IMAGENET_VAL
    chosen = select(
        spec,
        source.names,
        collection=source.collection,
        official=official and from_val,
        splits=splits,
        where=str(source),
    )
    canonical = from_val and builder.size == spec.size and chosen == official_selection(spec)
    images = {split: [source.image(name) for name in names] for split, names in chosen.items()}
    return Plan(builder, wanted, source, images, canonical)


def plan_recipe(recipe: Recipe, source: Source | None = None, *, progress: bool = False) -> Plan:
    """Plans a recipe's set: the same images, in any layout of `source`, with the same borders and size.

    Images are found by their names, and by their content where the source has no such name.

    Args:
        recipe: The recipe.
        source: The images; None for a set that needs none.
        progress: Show a bar while images are looked for, if standard error is a terminal.

    Raises:
        TooFewImagesError: If the source lacks images; the message names them.
        StoredSetError: If the recipe is of another data version.
        UnknownSetError: If there is no set of the recipe's name.
        OptionError: If the recipe needs images and there are none.
    """
    manifest = recipe.manifest
    spec = look_up_spec(manifest.name)
    if manifest.spec_version != SPEC_VERSION:
        raise StoredSetError(
            f"{recipe.where} is of data version {manifest.spec_version}, this package makes {SPEC_VERSION}; "
            "install the version that wrote it",
            code="other-version",
        )
    builder = builder_of(spec, manifest.size)
    borders = tuple(sorted({0, *manifest.borders}))
    if not spec.needs_images:
        return Plan(builder, borders, None, {}, builder.size == spec.size, recipe)
    if source is None:
        raise OptionError(
            f"{spec.name} is made from images, and a recipe holds none: give ",
            NamedArgument("imagenet_val", "PATH"),
            ", or ",
            NamedArgument("demo", True),
            " for a recipe of demo pictures",
            code="missing-argument",
        )
    records = [record for members in manifest.sources.values() for record in members]
    found = {record.name: source.image(record.name) for record in records if record.name in source.names}
    by_name = len(found)
    if not isinstance(source, DemoSource):
        found |= found_by_content([record for record in records if record.name not in found], source, found, progress)
    missing = [record.name for record in records if record.name not in found]
    if missing:
        raise TooFewImagesError(
            f"{spec.name}: {source} lacks {len(missing)} images of the recipe: {name_some(missing, NAMED)}"
        )
    chosen = {split: [record.name for record in members] for split, members in manifest.sources.items()}
    images = {split: [found[name] for name in names] for split, names in chosen.items()}
    told = source.collection == IMAGENET_VAL or not by_name
    canonical = told and builder.size == spec.size and chosen == official_selection(spec)
    return Plan(builder, borders, source, images, canonical, recipe, by_name)


def found_by_content(
    wanted: Sequence[SourceRecord], source: Source, taken: Collection[str], progress: bool
) -> dict[str, SourceImage]:
    """Finds a source's images that have the bytes of these records, by the names of the records.

    Args:
        wanted: The records.
        source: The images; where sizes are known without reading, only those of a wanted size are read.
        taken: Names of images that are left out.
        progress: Whether to show a bar.
    """
    names = {(record.bytes, record.sha256): record for record in wanted}
    sizes = {record.bytes for record in wanted}
    images = (source.image(name) for name in source.names if name not in taken) if wanted else ()
    candidates = [image for image in images if (size := size_of(image.location)) is None or size in sizes]
    found: dict[str, SourceImage] = {}
    with bar_over("finding images by content", len(candidates), "image", progress) as bar:
        for image, data in source.contents(candidates):
            bar.update()
            record = names.pop((len(data), sha256_hex(data)), None) if len(data) in sizes else None
            if record is not None:
                wnid = val_wnid(record.name) or record.wnid
                found[record.name] = SourceImage(record.name, wnid, image.location)
    return found
