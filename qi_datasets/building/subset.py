"""`subset` on disk: a Parquet file of names, a card, and links to images (cards/specification.md, "subset")."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from qi_datasets.builders.subset import ListedImage, sort_by_digest
from qi_datasets.cards import template
from qi_datasets.errors import NamedArgument, NotBuiltError, OptionError, OutputError, SourceError, StoredSetError
from qi_datasets.imagenet import wnids
from qi_datasets.pixels.digests import sha256_hex
from qi_datasets.set_spec import IntegerOption
from qi_datasets.sources.training import NAMED, TrainingImages, open_training
from qi_datasets.specs import SPEC_VERSION
from qi_datasets.storage.location import default_output
from qi_datasets.storage.staging import lock_folder, replace_whole
from qi_datasets.storage.writing import output_errors

SUBSET = "subset"
LIST, FACTS, CARD, TEMPLATE = "train.parquet", "subset.json", "README.md", "subset.md.jinja"
PER_CLASS = IntegerOption("per_class", default=50, low=1, high=1300)
"""The largest number of images per class; no class of ImageNet has more."""

OFFICIAL_LISTS = (50, 100, 250, 500)
SCHEMA = pa.schema({"name": pa.string(), "wnid": pa.string(), "label": pa.int16(), "rank": pa.int16()})


class SubsetFacts(TypedDict):
    """The content of `subset.json`: the numbers of images and classes, and the digest of the names in order."""

    set: str
    data_version: str
    images: int
    classes: int
    smallest_class: int
    digest: str


@dataclass(frozen=True)
class BuiltSubset:
    """The lists on disk.

    folder: their folder.
    facts: `images`, `classes`, `smallest_class`, `digest` and `data_version`, as `subset.json` has them.
    """

    folder: Path
    facts: SubsetFacts


def build_subset(imagenet_train: str | Path, output: str | Path | None = None) -> BuiltSubset:
    """Lists ImageNet's training images in the order of `subset`, and writes names, synsets, labels and ranks.

    Args:
        imagenet_train: The training images, as `open_training` takes them; only names are read.
        output: Folder of sets; the lists replace its folder `subset`.

    Raises:
        SourceError: If these are not the training images of all 1000 classes.
        OutputError: If the folder can't be written.
    """
    return write_subset(open_training(imagenet_train), output)


def write_subset(images: TrainingImages, output: str | Path | None = None) -> BuiltSubset:
    """Writes the lists of opened training images; arguments and errors are those of `build_subset`."""
    folder = subset_folder(output)
    rows = list(sort_by_digest(images.places))
    sizes = dict[str, int]()
    for row in rows:
        sizes[row.wnid] = row.rank + 1
    facts: SubsetFacts = {
        "set": SUBSET,
        "data_version": SPEC_VERSION,
        "images": len(rows),
        "classes": len(sizes),
        "smallest_class": min(sizes.values()),
        "digest": list_digest(rows),
    }
    columns = list(zip(*rows, strict=True))
    table = pa.table({field.name: pa.array(column, field.type) for field, column in zip(SCHEMA, columns, strict=True)})
    if folder.exists() and not (folder / FACTS).is_file():
        raise OutputError(
            f"{folder} exists and is no subset of this package; choose another output folder", code="folder-in-use"
        )
    with lock_folder(folder), replace_whole(folder) as staging:
        pq.write_table(table, staging / LIST, compression="zstd", write_statistics=False)
        (staging / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        card = template(TEMPLATE).render(facts=facts, lists=OFFICIAL_LISTS, file=LIST)
        (staging / CARD).write_text(str(card), encoding="utf-8")
    return BuiltSubset(folder, facts)


def list_digest(rows: Sequence[ListedImage]) -> str:
    """Returns the SHA-256 (hex) of the names in order, one a line."""
    return sha256_hex("".join(f"{row.name}\n" for row in rows).encode())


def subset_folder(output: str | Path | None) -> Path:
    """Returns the folder of the lists. Raises OutputError for a URL, where nothing can be replaced in one step."""
    root = default_output() if output is None else output
    if "://" in str(root):
        raise OutputError(f"subset is written to a folder of this machine, not to {root}")
    return Path(root).expanduser() / SUBSET


def read_facts(output: str | Path | None = None) -> SubsetFacts:
    """Reads `subset.json`. Raises NotBuiltError if it is missing, StoredSetError if it is damaged."""
    folder = subset_folder(output)
    try:
        facts: SubsetFacts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotBuiltError(
            f"subset is not built in {folder.parent}: give ",
            NamedArgument("imagenet_train", "PATH"),
            ", where ImageNet's training images are, or ",
            NamedArgument("output", "OUT"),
            " for a folder where it is",
        ) from error
    except (OSError, ValueError) as error:
        raise StoredSetError(f"{folder} is damaged ({error}); build it again with qi-build --set subset") from error
    return facts


def read_subset(per_class: int, output: str | Path | None = None, *, whole: bool = False) -> pa.Table:
    """Reads the rows of a list: `name`, `wnid`, `label`, `rank`, class after class.

    Args:
        per_class: Images of each class.
        output: Folder of sets.
        whole: Read all listed images; each class must have `per_class` or more.

    Raises:
        OptionError: If the number is out of range, or larger than that of some classes.
        NotBuiltError, StoredSetError: If the lists are missing, or are damaged.
    """
    count, folder = PER_CLASS.check(per_class), subset_folder(output)
    facts = read_facts(output)
    try:
        table = pq.read_table(folder / LIST, schema=SCHEMA)
        names = table.column("name").to_pylist()
        agrees = sha256_hex("".join(f"{name}\n" for name in names).encode()) == facts["digest"]
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise StoredSetError(f"{folder} is damaged ({error}); build it again with qi-build --set subset") from error
    if not agrees:
        raise StoredSetError(f"{folder} is damaged: names are not those of the digest; build it again")
    check_sizes(table, count)
    return table if whole else _rows_below(table, "rank", count)


def _rows_below(table: pa.Table, column: str, limit: int) -> pa.Table:
    # Its import takes longer than all of Arrow's else, and who only looks for lists doesn't need it.
    import pyarrow.compute as pc

    return table.filter(pc.less(table.column(column), limit))


def check_sizes(table: pa.Table, per_class: int) -> None:
    """Raises OptionError, which names the classes, if some classes have fewer images than are asked for."""
    largest = table.group_by("wnid").aggregate([("rank", "max")])
    short = _rows_below(largest, "rank_max", per_class - 1).sort_by("wnid")
    if short.num_rows:
        examples = short.slice(0, NAMED).to_pylist()
        named = ", ".join(f"{each['wnid']} ({each['rank_max'] + 1})" for each in examples)
        more = f" and {short.num_rows - NAMED} more" if short.num_rows > NAMED else ""
        raise OptionError(
            NamedArgument("per_class", per_class),
            f" is more than these classes have: {named}{more}; ask for fewer",
            code="too-many",
        )


def link_subset(images: TrainingImages, rows: pa.Table, folder: str | Path) -> int:
    """Makes a tree of class folders with links to the images of a list, as `ImageFolder` takes it.

    Args:
        images: The images, in class folders, since a link can't lead into an archive.
        rows: The rows of the list.
        folder: The folder to make, which must not exist.

    Returns:
        The number of links.

    Raises:
        OutputError: If the folder exists or can't be written.
        SourceError: If the images are in archives, or an image is missing.
    """
    target = Path(folder).expanduser().absolute()
    if target.exists():
        raise OutputError(f"{target} is there already; links are made in a new folder only", code="folder-in-use")
    names = list(zip(rows.column("name").to_pylist(), rows.column("wnid").to_pylist(), strict=True))
    locations = [images.location(name) for name, _ in names]
    if not images.has_files:
        raise SourceError(f"links lead to files, and the images of {images.where} are in archives; unpack them")
    with output_errors(target), replace_whole(target) as staging:
        for wnid in wnids():
            (staging / wnid).mkdir()
        for (_, wnid), location in zip(names, locations, strict=True):
            source = Path(str(location)).absolute()
            (staging / wnid / source.name).symlink_to(source)
    return len(names)
