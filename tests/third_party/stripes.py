"""Two sets as another package would bring them: one needs no input, the other is made from images."""

import numpy as np

from qi_datasets.builder import GeneratedSet, ImageSet, Placed, Row, SetSpec, whole
from qi_datasets.pixels.geometry import central_square

STRIPES = SetSpec(
    name="stripes",
    title="Stripes",
    summary="Horizontal or vertical.",
    builder="stripes:Stripes",
    mode="L",
    size=16,
    labels=("horizontal", "vertical"),
    splits={"train": 4, "test": 2},
    columns={"period": "int32", "edges": "int32[2,2]"},
)

THUMBS = SetSpec(
    name="thumbs",
    title="Thumbs",
    summary="The middle of a photo.",
    builder="stripes:Thumbs",
    mode="RGB",
    size=24,
    labels=("photo",),
    splits={"train": 2, "test": 2},
    columns={"source": "string", "wnid": "string"},
    needs_images=True,
    demo_splits={"train": 2, "test": 2},
)


class Stripes(GeneratedSet):
    spec = STRIPES

    def rows(self, split):
        for number in range(self.spec.splits[split]):
            period = 2 + number // 2 + (2 if split == "test" else 0)
            lines = np.arange(self.size) % period == 0
            image = np.zeros((self.size, self.size), np.uint8)
            image[lines if number % 2 == 0 else (slice(None), lines)] = 255
            yield Row(whole(image), number % 2, {"period": period, "edges": [[0, 0], [period, period]]})


class Thumbs(ImageSet):
    spec = THUMBS

    def patch(self, image):
        return central_square(image, 1.0, 20)

    def rows(self, patch, source, wnid):
        yield Row(Placed(patch, 2, 2, self.size, self.size), 0, {"source": source, "wnid": wnid})
