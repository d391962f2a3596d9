"""QI with 4 sources per split, as the tests of building make it."""

from pathlib import Path

from qi_datasets.building.build import BuiltSet, build_set
from qi_datasets.building.engine import Engine
from qi_datasets.building.plan import Plan, plan_set
from qi_datasets.sources import open_source
from qi_datasets.specs import QI
from qi_datasets.storage.manifest import Manifest

FOUR = {"qi": dict.fromkeys(QI.splits, 4)}
ALONE = Engine(1)


def plan_of(place: object, borders: tuple[int, ...] = (0,), **options: object) -> Plan:
    """Returns a plan of QI with 4 sources per split."""
    return plan_set(QI, open_source(str(place)), splits=FOUR, official=False, borders=borders, **options)


def built(place: object, output: Path, borders: tuple[int, ...] = (0,), force: bool = False) -> BuiltSet:
    return build_set(plan_of(place, borders), output, engine=ALONE, force=force)


def digests(manifest: Manifest) -> dict[tuple[str, str], str]:
    return {(name, s): split.digest for name, config in manifest.configs.items() for s, split in config.splits.items()}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
