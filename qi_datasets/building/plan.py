"""What a set is to become: its images chosen, its options checked, before anything is written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qi_datasets.builder import Builder
from qi_datasets.building.selection import NAMED, official_selection, select
from qi_datasets.errors import OptionError, StoredSetError, TooFewImagesError
from qi_datasets.imagenet import IMAGENET_VAL
from qi_datasets.registry import builder_of, spec_named
from qi_datasets.set_spec import SetSpec
from qi_datasets.sources import Source, SourceImage
from qi_datasets.specs import BORDER, QI, QUADRANT, SPEC_VERSION
from qi_datasets.storage.manifest import Manifest

Splits = Mapping[str, Mapping[str, int]]
"""Set name -> split name -> number of sources, for sets that are not to have their official sizes."""


@dataclass(frozen=True)
class Recipe:
    """The manifest of a set that is to be made again, and where it was found."""

    where: str
    manifest: Manifest


@dataclass(frozen=True)
class Plan:
    """What a set is to become: worked out and checked before anything is written.

    builder: of the set, for its size.
    borders: pixels, one for each config.
    source: where its images come from; None for a set that needs none.
    images: by split, in row order; empty for a set that needs none.
    canonical: all of it as the spec table says.
    recipe: what its pixels are compared with.
    """

    builder: Builder
    borders: tuple[int, ...]
    source: Source | None
    images: Mapping[str, list[SourceImage]]
    canonical: bool
    recipe: Recipe | None = None

    @property
    def spec(self) -> SetSpec:
        """The set's row of the spec table."""
        return self.builder.spec

    @property
    def content(self) -> tuple[int, int, int]:
        """Shape (h, w, c) of the part of an image that may not be black, as far as the set's geometry says."""
        side = QUADRANT.patch if self.spec == QI else self.builder.size
        return side, side, self.spec.channels

    def rows(self, split: str) -> int:
        """Number of rows that a split will have."""
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

    spec: the set.
    source: its images; None for a set that needs none.
    splits: sizes that differ from the spec table's.
    official: demand the official selection of an ImageNet val source; otherwise the same order runs over the images
        that are there.
    borders: pixels, default the official ones; 0 is always among them.
    size: side of the images at border 0 in pixels, default the official one.

    Raises OptionError or SourceError.
    """
    builder = builder_of(spec, size)
    asked = spec.borders if borders is None else tuple(BORDER.check(border) for border in borders)
    wanted = tuple(sorted({0, *asked})) if spec.borders else (0,)
    if not spec.needs_images:
        return Plan(builder, wanted, None, {}, builder.size == spec.size)
    if source is None:
        raise OptionError(f"{spec.name} is made from images: give imagenet_val=PATH, or demo=True to try it without")
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


def plan_recipe(recipe: Recipe, source: Source | None = None) -> Plan:
    """The plan that makes a recipe's set again: its images, whatever their layout in `source`, its borders, its size.

    Raises TooFewImagesError, which names the images that the source lacks, StoredSetError for a recipe of another data
    version, UnknownSetError, OptionError.
    """
    manifest = recipe.manifest
    spec = spec_named(manifest.name)
    if manifest.spec_version != SPEC_VERSION:
        raise StoredSetError(
            f"{recipe.where} is of data version {manifest.spec_version}, this package makes {SPEC_VERSION}; "
            "install the version that wrote it"
        )
    builder = builder_of(spec, manifest.size)
    borders = tuple(sorted({0, *manifest.borders}))
    if not spec.needs_images:
        return Plan(builder, borders, None, {}, builder.size == spec.size, recipe)
    if source is None:
        raise OptionError(
            f"{spec.name} is made from images, and a recipe holds none: give imagenet_val=PATH, or demo=True for a "
            "recipe of demo pictures"
        )
    chosen = {split: [record.name for record in records] for split, records in manifest.sources.items()}
    missing = [name for names in chosen.values() for name in names if name not in source.names]
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise TooFewImagesError(
            f"{spec.name}: {source} lacks {len(missing)} images of the recipe: {', '.join(missing[:NAMED])}{more}"
        )
    from_val = source.collection == IMAGENET_VAL
    canonical = from_val and builder.size == spec.size and chosen == official_selection(spec)
    images = {split: [source.image(name) for name in names] for split, names in chosen.items()}
    return Plan(builder, borders, source, images, canonical, recipe)
