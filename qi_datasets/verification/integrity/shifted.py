"""Integrity checks on the rows of `shifted`: the recorded photograph, and the pairs and label that its name decides."""

from collections.abc import Iterator

from qi_datasets.builder import ImageSet
from qi_datasets.pixels.digests import sha256_hex
from qi_datasets.registry import builder_of
from qi_datasets.verification.integrity.chunk import Chunk


def base(chunk: Chunk) -> Iterator[str]:
    """Yields images whose pixels differ from those that the manifest recorded for their source."""
    recorded = chunk.stored.manifest.sources.get(chunk.split, [])
    for row in chunk.rows:
        if row.number < len(recorded) and sha256_hex(row.image.tobytes()) != recorded[row.number].patch_sha256:
            name = recorded[row.number].name
            yield f"{chunk.where(row)} ({row.values['source']}): the image is not the one that was recorded for {name}"


def check_drawn_pairs(chunk: Chunk) -> Iterator[str]:
    """Yields pairs of windows that differ from the draws of the source's name, and labels that are not the synset's."""
    builder = builder_of(chunk.stored.spec, chunk.stored.manifest.size)
    if not isinstance(builder, ImageSet):
        return
    for row in chunk.rows:
        (wanted,) = builder(row.image, row.values["source"], row.values["wnid"])
        if row.label != wanted.label:
            yield f"{chunk.where(row)}: label {row.label}, but {wanted.label} is {row.values['wnid'] or 'no synset'}"
        if row.values["pairs"] != wanted.columns["pairs"]:
            yield f"{chunk.where(row)}: pairs {row.values['pairs']}, but {wanted.columns['pairs']} by its source"
