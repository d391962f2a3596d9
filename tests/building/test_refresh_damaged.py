"""A set that a refresh can't repair is built again if the images are there, and stays unchanged if they aren't."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qi_datasets.building.build import build_set, refresh_set
from qi_datasets.building.plan import plan_set
from qi_datasets.errors import StoredSetError
from qi_datasets.registry import look_up_spec
from qi_datasets.sources import open_source
from qi_datasets.specs import ROOK
from qi_datasets.storage.manifest import MANIFEST
from qi_datasets.storage.parquet import file_record
from tests import expected
from tests.building.small_builds import ALONE, built, contents
from tests.old_sets import as_0_1_0

FILE = "border_16/validation-00000-of-00001.parquet"


def flipped(path: Path, manifest: dict[str, Any]) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def cut_off(path: Path, manifest: dict[str, Any]) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def gone(path: Path, manifest: dict[str, Any]) -> None:
    path.unlink()


def unlisted(path: Path, manifest: dict[str, Any]) -> None:
    del manifest["files"][FILE]


def of_another_set(path: Path, manifest: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as other:
        rook = build_set(plan_set(ROOK), Path(other))
        ((name, record),) = ((name, r) for name, r in rook.manifest.files.items() if name.endswith(".parquet"))
        path.write_bytes((rook.folder / name).read_bytes())
    manifest["files"][FILE] = asdict(record)


def with_a_row_more(path: Path, manifest: dict[str, Any]) -> None:
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table[:1]]), path)
    manifest["files"][FILE] = asdict(file_record(path))


DAMAGES = (flipped, cut_off, gone, unlisted, of_another_set, with_a_row_more)


class TestThatImagesAreNeeded:
    """A set that a refresh can't repair is built again if the images are there, and stays unchanged if they aren't."""

    @pytest.fixture(params=DAMAGES, ids=lambda damage: damage.__name__)
    def damaged(self, request: pytest.FixtureRequest, old_qi: Path) -> Path:
        manifest = json.loads((old_qi / MANIFEST).read_text())
        request.param(old_qi / FILE, manifest)
        (old_qi / MANIFEST).write_text(json.dumps(manifest))
        return old_qi

    def test_without_them_it_is_an_error_and_nothing_changes(self, damaged: Path, untouched) -> None:
        before = untouched(damaged)

        with pytest.raises(StoredSetError, match=f"{damaged} is not as its manifest says .*; build it again") as raised:
            refresh_set(damaged)

        assert len(str(raised.value).splitlines()) == 1
        assert untouched(damaged) == before
        assert {path.name for path in damaged.parent.iterdir()} == {"qi", ".qi.lock"}

    def test_more_sources_than_rows_are_an_error(self, old_qi: Path) -> None:
        manifest = json.loads((old_qi / MANIFEST).read_text())
        manifest["sources"]["validation"].append(manifest["sources"]["validation"][0])
        (old_qi / MANIFEST).write_text(json.dumps(manifest))

        with pytest.raises(StoredSetError, match=r"border_0/validation has 8 rows"):
            refresh_set(old_qi)

    def test_with_them_it_is_built_again(self, damaged: Path, flat_folder: str, small_qi: Path) -> None:
        one = built(flat_folder, damaged.parent, (0, 16))

        assert one.made
        assert contents(damaged) == contents(small_qi / "qi")

    def test_more_borders_are_built_with_labels(self, old_qi: Path, flat_folder: str) -> None:
        one = built(flat_folder, old_qi.parent, (32,))

        assert one.made
        assert one.manifest.borders == {0, 16, 32}
        assert all(
            source.wnid == expected.val_wnid(source.name) for part in one.manifest.sources.values() for source in part
        )

    def test_another_packages_columns_may_depend_on_synsets(self, plugin, flat_folder: str, tmp_path: Path) -> None:
        plugin("thumbs = stripes:Thumbs")
        spec = look_up_spec("thumbs")
        sizes = {"thumbs": dict.fromkeys(spec.splits, 2)}
        plan = plan_set(spec, open_source(flat_folder), splits=sizes, official=False)
        folder = build_set(plan, tmp_path / "out", engine=ALONE).folder
        fresh = contents(folder)
        as_0_1_0(folder, "wnid")

        with pytest.raises(StoredSetError, match="another package's set"):
            refresh_set(folder)
        assert build_set(plan, tmp_path / "out", engine=ALONE).made
        assert contents(folder) == fresh
        as_0_1_0(folder)
        assert refresh_set(folder) is not None
        assert contents(folder) == fresh
