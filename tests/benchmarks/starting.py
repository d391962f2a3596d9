"""Lines about the time before any work is done."""

import os
from collections.abc import Iterator

from qi_datasets.building.selection import official_order, select
from qi_datasets.sources import open_source
from qi_datasets.specs import QI
from tests.benchmarks.line import Line, command_seconds, timed
from tests.benchmarks.sources import Sources


def lines(sources: Sources) -> Iterator[Line]:
    """Yields lines: finding images, and the command's help."""

    def find() -> None:
        official_order.cache_clear()
        source = open_source(sources.crowd)
        for names in select(QI, source.names, collection=source.collection, official=True).values():
            for name in names:
                source.image(name)

    def scan() -> None:
        with os.scandir(sources.crowd) as entries:
            for _ in entries:
                pass

    yield Line("finding 3000 among 50,000 files / os.scandir", lambda: timed(find), lambda: timed(scan), 5)

    def scan_classes() -> None:
        for folder in os.listdir(sources.crowded_classes):
            with os.scandir(sources.crowded_classes / folder) as entries:
                for _ in entries:
                    pass

    yield Line(
        "opening 50,000 files in class folders / os.scandir over them",
        lambda: timed(lambda: open_source(sources.crowded_classes)),
        lambda: timed(scan_classes),
        1.5,
    )
    yield Line(
        "qi-build --help / python -c pass",
        lambda: command_seconds("-c", "from qi_datasets.commands.build import main; main(['--help'])"),
        lambda: command_seconds("-c", "pass"),
        8,
    )
