"""`build_dataset`: builds all requested sets from one source of images in one call."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qi_datasets.building.build import BuiltSet, build_set, refresh_set
from qi_datasets.building.copying import images_wanted_by, make_random_access
from qi_datasets.building.engine import Engine
from qi_datasets.building.plan import Plan, plan_set
from qi_datasets.building.selection import selection_ranks
from qi_datasets.errors import Message, NamedArgument, OptionError, StoredSetError, TooFewImagesError
from qi_datasets.imagenet import IMAGENET_VAL
from qi_datasets.registry import look_up_spec, specs
from qi_datasets.set_spec import IntegerOption, SetSpec
from qi_datasets.sources import DemoSource, Source, open_source
from qi_datasets.sources.one_pass import WantedImages
from qi_datasets.storage.location import Place, output_of, set_folder

COUNT_OPTIONS = {"per_split": 1, "shifted_images": 0}
"""The arguments that set a number of sources, with the smallest value of each; 0 leaves the set out."""

MOST_IMAGES = 1_000_000
"""The largest value of each of these arguments."""


def sized_by(option: str) -> Callable[[SetSpec], bool]:
    """Returns a predicate: does this option, or that of the set before it, decide which images a set has?"""

    def affected(spec: SetSpec) -> bool:
        before = spec.first_rank_after
        return spec.needs_images and option in (
            spec.count_option,
            specs()[before].count_option if before is not None else None,
        )

    return affected


EFFECTS: Mapping[str, Callable[[SetSpec], bool]] = {
    "imagenet_val": lambda spec: spec.needs_images,
    "demo": lambda spec: spec.needs_images,
    "borders": lambda spec: bool(spec.borders),
    "canvas": lambda spec: spec.size_option is not None and spec.size_option.name == "canvas",
    "per_split": sized_by("per_split"),
    "shifted_images": sized_by("shifted_images"),
    "dask": lambda spec: spec.needs_images,
}
"""The arguments that concern only some sets, with these sets."""


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """Arguments of `build_dataset`, checked. Raises OptionError if they have no effect or contradict each other."""

    sets: Sequence[str] = ()
    imagenet_val: str | Path | None = None
    demo: bool = False
    borders: Sequence[int] | None = None
    canvas: int | None = None
    per_split: int | None = None
    shifted_images: int | None = None
    dask: str | None = None
    counts: Mapping[str, Mapping[str, int]] = field(init=False)
    """Set -> split -> number of sources, for all sets whose sizes are not the official ones."""

    def __post_init__(self) -> None:
        if self.demo and self.imagenet_val is not None:
            raise OptionError(
                NamedArgument("demo", True),
                " and ",
                NamedArgument("imagenet_val", "PATH"),
                " exclude each other; give one of them",
                code="contradiction",
            )
        if self.borders is not None and not self.borders:
            raise OptionError(
                NamedArgument("borders", "[]"),
                " asks for no border at all; leave it out, or give some",
                code="nothing-asked",
            )
        for option, least in COUNT_OPTIONS.items():
            number = getattr(self, option)
            if number is not None:
                IntegerOption(option, default=least, low=least, high=MOST_IMAGES).check(number)
        object.__setattr__(self, "counts", self._sizes(usual=False))
        chosen = [look_up_spec(name) for name in self.sets]
        for option, concerns in EFFECTS.items():
            value = getattr(self, option)
            if value is None or value is False:
                continue
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
            if chosen and not any(map(concerns, chosen)):
                raise OptionError(
                    f"{', '.join(spec.name for spec in chosen)}: ",
                    NamedArgument(option, shown),
                    " has no effect there; leave it out",
                    code="no-effect",
                )
            if not chosen and self.imagenet_val is None and not self.demo:
                raise OptionError(
                    NamedArgument(option, shown),
                    " has no effect without images; give ",
                    NamedArgument("imagenet_val", "PATH"),
                    " or ",
                    NamedArgument("demo", True),
                    " too",
                    code="no-effect",
                )

    @property
    def has_images(self) -> bool:
        """True if a source of images is named."""
        return self.demo or self.imagenet_val is not None

    def source(self, *, unnamed: bool = False) -> Source | None:
        """Returns the source of images. The demo has the usual number of pictures, or more if more are requested.

        Args:
            unnamed: Whether to take images that neither name nor folder identifies as ImageNet's.
        """
        if not self.demo:
            return None if self.imagenet_val is None else open_source(self.imagenet_val, unnamed=unnamed)
        # All builds get the same pictures, whichever sets they make, since the order of selection runs over all.
        sizes = (self.counts, self._sizes(usual=True))
        made_from_images = [spec for spec in specs().values() if spec.needs_images]
        return DemoSource.of(max(selection_ranks(spec, size).stop for spec in made_from_images for size in sizes))

    def wanted(self) -> WantedImages:
        """Returns the images of ImageNet val that may be selected."""
        return images_wanted_by(self._chosen, self.counts)

    @property
    def _chosen(self) -> list[SetSpec]:
        """The requested sets, or all sets that can have rows."""
        return [look_up_spec(name) for name in dict.fromkeys(self.sets)] or [
            spec for spec in specs().values() if sum(self.counts.get(spec.name, spec.splits).values()) > 0
        ]

    def plans(self, source: Source | None) -> tuple[list[Plan], list[str]]:
        """Returns the checked plans of all sets, and a line for each set that is left out, which says why."""
        plans, notes = list[Plan](), list[str]()
        for spec in self._chosen:
            if spec.needs_images and source is None and not self.sets:
                continue
            try:
                plans.append(self._plan(spec, source))
            except TooFewImagesError as error:
                # Few sources have images for every set: without a request, the sets that can be built are built.
                if self.sets or spec.first_rank_after is None or (spec.name in self.counts and not self.demo):
                    raise
                notes.append(Message("left out: ", error))
        return plans, notes

    def _plan(self, spec: SetSpec, source: Source | None) -> Plan:
        # If the size of a set, or of the set before it, is given, the images of the source alone are selected from.
        counts, before = dict(self.counts), spec.first_rank_after
        own_images = source is not None and source.collection != IMAGENET_VAL and not self.demo
        if before is not None and own_images and self.sets and before not in self.sets and before not in counts:
            # With images of one's own, a set that is not requested reserves no images.
            counts[before] = dict.fromkeys(specs()[before].splits, 0)
        return plan_set(
            spec,
            source,
            splits=counts,
            official=not counts.keys() & {spec.name, before},
            borders=self.borders,
            size=self.canvas if EFFECTS["canvas"](spec) else None,
        )

    def _sizes(self, *, usual: bool) -> dict[str, dict[str, int]]:
        """Returns the sizes as `counts`; usual: as if none were given. All sets count, as one may follow another."""
        counts: dict[str, dict[str, int]] = {}
        for spec in specs().values():
            number = None if usual else getattr(self, spec.count_option, None)
            if spec.needs_images and number is not None:
                counts[spec.name] = dict.fromkeys(spec.splits, number)
            elif spec.needs_images and self.demo:
                counts[spec.name] = dict(spec.demo_splits or spec.splits)
        return counts


@dataclass(frozen=True, repr=False)
class Built:
    """The result of `build_dataset`.

    Attributes:
        sets: The sets by name, in the order of the spec table or of the request.
        root: The folder or URL of the sets.
        notes: A line for each set that was left out.
    """

    sets: Mapping[str, BuiltSet]
    root: Place
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "\n".join(
            [f"<Built in {self.root}: {', '.join(self.sets)}>", *map(repr, self.sets.values()), *self.notes]
        )

    @property
    def warnings(self) -> list[str]:
        """Warnings about the sets: pictures that the source has under several names."""
        repeats = [one.manifest.repeats for one in self.sets.values() if one.manifest.repeats]
        return repeats + [remark for one in self.sets.values() for remark in one.remarks]

    @property
    def digests(self) -> dict[str, dict[str, dict[str, str]]]:
        """The split digests (hex): set -> config -> split."""
        return {
            name: {
                config: {split: part.digest for split, part in record.splits.items()}
                for config, record in one.manifest.configs.items()
            }
            for name, one in self.sets.items()
        }


def build_dataset(
    sets: str | Iterable[str] | None = None,
    *,
    imagenet_val: str | Path | None = None,
    demo: bool = False,
    output: str | Path | None = None,
    borders: Iterable[int] | None = None,
    canvas: int | None = None,
    per_split: int | None = None,
    shifted_images: int | None = None,
    workers: int | None = None,
    dask: str | None = None,
    force: bool = False,
    progress: bool = True,
) -> Built:
    """Builds sets, unless they are there already: does all that the command `qi-build` can.

    Args:
        sets: A name or several, default all; without images, all that need none.
        imagenet_val: ImageNet's validation images in any layout, or other images; they are only read.
        demo: Use built-in procedural pictures instead.
        output: A folder or an fsspec URL, default `$QI_DATASETS_HOME` or the platform's cache folder.
        borders: Pixels per side of the borders of `qi`, default the official seven; 0 is always built.
        canvas: Side of the template of `qi` in pixels, default the official one.
        per_split: Number of sources per split of `qi`, drawn from the images that are there; default the
            official ones.
        shifted_images: The same for `shifted`, after the images of `qi`, unless it is built alone from images of
            one's own; 0 leaves it out.
        workers: Threads, default one per core.
        dask: Address of the scheduler of a Dask cluster that does the work instead.
        force: Build again, even if the sets are there.
        progress: Show bars, if standard error is a terminal.

    Returns:
        The built sets with their digests.

    Raises:
        OptionError: If an argument is wrong or has no effect.
        SourceError: If images are missing or damaged.
        OutputError: If a set can't be written or must not be replaced; nothing is changed then.

    Example:
        >>> print(build_dataset("rook", output="sets", progress=False))  # doctest: +ELLIPSIS
        <Built in ...sets: rook>
        <rook in ...rook: made; pixels are the official ones>
    """
    request = BuildRequest(
        sets=(sets,) if isinstance(sets, str) else tuple(sets or ()),
        imagenet_val=imagenet_val,
        demo=demo,
        borders=None if borders is None else tuple(borders),
        canvas=canvas,
        per_split=per_split,
        shifted_images=shifted_images,
        dask=dask,
    )
    root = output_of(output)
    source = request.source()
    for message in source.cautions if source is not None else ():
        warnings.warn(message, stacklevel=2)
    built = build_requested(request, source, root, Engine(workers, dask), force=force, progress=progress)
    for message in built.warnings:
        warnings.warn(message, stacklevel=2)
    return built


def build_requested(
    request: BuildRequest, source: Source | None, root: Place, engine: Engine, *, force: bool, progress: bool
) -> Built:
    """Builds the requested sets. Without images, sets of images from an earlier version of the package are refreshed.

    Args:
        request: The request.
        source: The images; None if none are given.
        root: The folder or URL of the sets.
        engine: Decodes and encodes the sources.
        force: Make the sets even if they are there.
        progress: Show bars, if standard error is a terminal.
    """
    with make_random_access(source, request.wanted, progress) as readable:
        plans, notes = request.plans(readable)
        # Sets of images come first: they can fail over a damaged file, and then no other set is left behind.
        built = {
            plan.spec.name: build_set(plan, root, engine=engine, force=force, progress=progress)
            for plan in sorted(plans, key=lambda plan: not plan.spec.needs_images)
        }
    left_out = []
    for spec in specs().values():
        if source is not None or request.sets or not spec.needs_images:
            continue
        try:
            refreshed = refresh_set(set_folder(root, spec, spec.size), progress=progress)
        except StoredSetError as error:
            notes.append(Message("not refreshed: ", error))
            refreshed = None
        if refreshed is None:
            left_out.append(spec.name)
        else:
            built[spec.name] = refreshed
    if left_out:
        names = ", ".join(left_out)
        path, demo = NamedArgument("imagenet_val", "PATH"), NamedArgument("demo", True)
        notes.append(Message(f"left out: {names}, made from images: give ", path, ", or ", demo))
    return Built({name: built[name] for name in (request.sets or specs()) if name in built}, root, tuple(notes))
