"""`load_dataset("subset", ...)`: a list of training images, with the images themselves if their path is given."""

from functools import partial
from pathlib import Path
from typing import Any

import datasets
from PIL import Image

from qi_datasets.building.subset import FACTS, PER_CLASS, read_subset, subset_folder, write_subset
from qi_datasets.errors import NamedArgument, OptionError
from qi_datasets.imagenet import wnids
from qi_datasets.sources.reading import decode_image
from qi_datasets.sources.training import TrainingImages, open_training


def load_subset(
    per_class: int | None = None,
    imagenet_train: str | Path | None = None,
    *,
    split: str | list[str] | None = None,
    streaming: bool = False,
    output: str | Path | None = None,
    **others: object,
) -> Any:
    """Loads a list of `subset`, with its images if their path is given.

    Args:
        per_class: Images of each class; a list holds all smaller lists.
        imagenet_train: Path of the training images; the lists are made from them if they are not built. Images are
            read from there when their rows are; without it rows have no images.
        split: "train", or a part of it.
        streaming: Stream the rows; images in archives can't be streamed.
        output: Folder of sets.
        others: Arguments that must all be None.

    Returns:
        A Dataset if `split` is given, else a DatasetDict, with columns `name`, `wnid`, `label`, `rank`, and `image`.

    Raises:
        OptionError: If an argument has no effect; further errors as in `read_subset` and `open_training`.
    """
    for name, value in others.items():
        if value not in (None, {}):
            raise OptionError(
                f"subset takes no {name}, but ",
                NamedArgument(name, f"{value!r}"),
                " is given; leave it out",
                code="no-effect",
            )
    if per_class is None:
        raise OptionError(
            "subset takes ",
            NamedArgument("per_class", "N"),
            ", images of each class: 50, 100, 250, 500, or any other number",
            code="nothing-asked",
        )
    PER_CLASS.check(per_class)
    images = None if imagenet_train is None else open_training(imagenet_train)
    if images is not None and not (subset_folder(output) / FACTS).is_file():
        write_subset(images, output)
    rows = datasets.Dataset(read_subset(per_class, output).combine_chunks())
    rows = rows.cast_column("label", datasets.ClassLabel(names=list(wnids())))
    if images is not None:
        if streaming and not images.has_files:
            raise OptionError(
                f"images of {images.where} are in archives, which can't be streamed; leave streaming out",
                code="missing-argument",
            )
        rows = with_images(rows, images)
    if streaming:
        rows = rows.to_iterable_dataset()
    if split is None:
        return (datasets.IterableDatasetDict if streaming else datasets.DatasetDict)({"train": rows})
    if split == "train":
        return rows
    if streaming:
        raise OptionError(f"split={split!r} can't be streamed; use take and skip instead", code="no-streaming")
    try:
        instruction = datasets.ReadInstruction.from_spec(split).to_absolute({"train": len(rows)})
    except (ValueError, AssertionError, KeyError) as error:
        raise OptionError(f"subset has no split {split!r}; there is train", code="unknown-split") from error
    return datasets.concatenate_datasets([rows.select(range(part.from_, part.to)) for part in instruction])


def with_images(rows: datasets.Dataset, images: TrainingImages) -> datasets.Dataset:
    """Returns the rows with a column `image`, which is read when its row is."""
    names = rows.with_format(None)["name"][:]
    if images.has_files:
        paths = [str(images.location(name)) for name in names]
        return rows.add_column("image", paths).cast_column("image", datasets.Image())
    for name in names:
        images.location(name)
    return rows.with_transform(partial(_read, images=images))


def _read(batch: dict[str, list[str]], images: TrainingImages) -> dict[str, list[str] | list[Image.Image]]:
    locations = [images.location(name) for name in batch["name"]]
    return {**batch, "image": [decode_image(each.read(), each) for each in locations]}
