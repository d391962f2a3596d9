"""`subset` as torchvision's data set."""

from functools import cached_property
from pathlib import Path
from typing import Any

from torchvision.datasets import VisionDataset

from qi_datasets.building.subset import FACTS, read_subset, subset_folder, write_subset
from qi_datasets.imagenet import wnids
from qi_datasets.sources.reading import decode_image
from qi_datasets.sources.training import open_training
from qi_datasets.torch.patch import Transform


class ImageNetSubset(VisionDataset):  # type: ignore[misc]
    """The first images of each class of ImageNet's training images, in the order of `subset`.

    Each item is (image, label): a PIL image of mode RGB, unless `transform` changes it, and the index of
    its synset among the 1000 sorted ones.

    Args:
        root: Path of the training images, in any layout of `qi-build --imagenet-train`.
        per_class: Images of each class.
        transform: Changes an image.
        target_transform: Changes a label.
        output: Folder of sets with the list, which is made if it is missing; default as in `load_dataset`.

    Raises:
        OptionError: If some classes have fewer images. SourceError: If the images are others.
    """

    def __init__(
        self,
        root: str | Path,
        per_class: int = 50,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        *,
        output: str | Path | None = None,
    ) -> None:
        super().__init__(str(root), transform=transform, target_transform=target_transform)
        self.images, self.per_class = open_training(root), per_class
        if not (subset_folder(output) / FACTS).is_file():
            write_subset(self.images, output)
        rows = read_subset(per_class, output)
        self.targets: list[int] = rows.column("label").to_pylist()
        self.locations = [self.images.location(name) for name in rows.column("name").to_pylist()]
        self.classes = list(wnids())

    @cached_property
    def class_to_idx(self) -> dict[str, int]:
        """The label of each synset."""
        return {wnid: label for label, wnid in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Returns the image and the label, transformed."""
        location = self.locations[index]
        image, label = decode_image(location.read(), location).convert("RGB"), self.targets[index]
        return (image, label) if self.transforms is None else self.transforms(image, label)

    def extra_repr(self) -> str:
        """Returns what torchvision's representation adds."""
        return f"Images a class: {self.per_class}"
