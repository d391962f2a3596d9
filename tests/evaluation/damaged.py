"""Stored sets that the tests damage."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def swap_images(file: Path, first: int, second: int) -> None:
    """Exchanges the images of two rows of a Parquet file."""
    table = pq.read_table(file)
    images = table.column("image").to_pylist()
    images[first], images[second] = images[second], images[first]
    place = table.schema.get_field_index("image")
    swapped = table.set_column(place, table.schema.field("image"), pa.array(images, table.schema.field("image").type))
    pq.write_table(swapped, file)
