"""A second build: the same input is recognised, another is refused, and a failed one changes nothing."""

import json
from pathlib import Path

import pytest

from qi_datasets.building.build import build_set
from qi_datasets.building.plan import plan_set
from qi_datasets.errors import OutputError, SourceError
from qi_datasets.sources import DemoSource
from qi_datasets.specs import QI, ROOK
from qi_datasets.storage.manifest import MANIFEST, Manifest
from qi_datasets.storage.manifest_file import text_of
from tests import expected, pictures
from tests.building.small_builds import ALONE, FOUR, built, digests


class TestWhatIsThere:
    def test_the_same_input_is_not_built_again(self, flat_folder: str, qi_copy: Path, untouched) -> None:
        before = untouched(qi_copy)

        one = built(flat_folder, qi_copy, (0, 16))

        assert not one.made
        assert untouched(qi_copy) == before

    def test_fewer_borders_than_there_are_need_nothing(self, flat_folder: str, qi_copy: Path) -> None:
        one = built(flat_folder, qi_copy, (0,))

        assert not one.made
        assert one.manifest.borders == {0, 16}

    def test_more_borders_are_a_union(self, flat_folder: str, qi_copy: Path) -> None:
        before = digests(Manifest.read(qi_copy / "qi"))

        one = built(flat_folder, qi_copy, (32,))

        assert one.made
        assert list(one.manifest.configs) == ["border_0", "border_16", "border_32"]
        assert before.items() < digests(one.manifest).items()

    def test_the_same_files_elsewhere_are_the_same_input(
        self, album: dict[str, bytes], qi_copy: Path, tmp_path: Path
    ) -> None:
        for place in (pictures.flat(album, tmp_path / "elsewhere"), pictures.tar_file(album, tmp_path)):
            assert not built(place, qi_copy).made

    def test_files_that_are_not_selected_do_not_count(
        self, album: dict[str, bytes], qi_copy: Path, tmp_path: Path
    ) -> None:
        unused = expected.in_order(album)[12]
        place = pictures.flat(album | {unused: b"other"}, tmp_path / "images")

        assert not built(place, qi_copy).made

    def test_force_builds_again(self, flat_folder: str, qi_copy: Path) -> None:
        before = Manifest.read(qi_copy / "qi")

        one = built(flat_folder, qi_copy, (0, 16), force=True)

        assert one.made
        assert one.manifest == before

    def test_other_bytes_under_the_same_name_are_refused(
        self, album: dict[str, bytes], qi_copy: Path, tmp_path: Path, untouched
    ) -> None:
        name = expected.in_order(album)[5]
        place = pictures.flat(album | {name: pictures.encoded(pictures.picture(77))}, tmp_path / "images")
        before = untouched(qi_copy)

        with pytest.raises(OutputError, match=f"made from another {name}.*force=True"):
            built(place, qi_copy)

        assert untouched(qi_copy) == before
        assert digests(built(place, qi_copy, (0, 16), force=True).manifest) != {}
        assert not built(place, qi_copy).made

    def test_one_other_bit_is_refused(self, album: dict[str, bytes], qi_copy: Path, tmp_path: Path) -> None:
        name = expected.in_order(album)[5]
        changed = bytes([*album[name][:-1], album[name][-1] ^ 1])
        place = pictures.flat(album | {name: changed}, tmp_path / "images")

        with pytest.raises(OutputError, match=f"made from another {name}"):
            built(place, qi_copy)

    def test_other_images_are_refused(self, qi_copy: Path, tmp_path: Path) -> None:
        place = pictures.flat(pictures.album(12), tmp_path / "images")

        with pytest.raises(OutputError, match="made from other images"):
            built(place, qi_copy)
        with pytest.raises(OutputError, match="made from other images"):
            build_set(plan_set(QI, DemoSource.of(12), splits=FOUR), qi_copy, engine=ALONE)

    def test_another_spec_version_is_refused_and_a_generated_set_is_made_anew(
        self, flat_folder: str, qi_copy: Path
    ) -> None:
        build_set(plan_set(ROOK), qi_copy)
        for name in ("qi", "rook"):
            path = qi_copy / name / MANIFEST
            path.write_text(text_of(json.loads(path.read_text()) | {"spec_version": "0.9.0"}))

        with pytest.raises(OutputError, match=r"of spec version 0\.9\.0, this package makes"):
            built(flat_folder, qi_copy)
        assert build_set(plan_set(ROOK), qi_copy).made
        assert not build_set(plan_set(ROOK), qi_copy).made

    @pytest.mark.parametrize("damage", ["gone", "cut off", "card gone"])
    def test_a_damaged_set_is_built_again(self, damage: str, flat_folder: str, qi_copy: Path) -> None:
        manifest = Manifest.read(qi_copy / "qi")
        path = qi_copy / "qi" / ("README.md" if damage == "card gone" else next(iter(manifest.files)))
        if damage == "cut off":
            path.write_bytes(path.read_bytes()[:-5])
        else:
            path.unlink()

        one = built(flat_folder, qi_copy)

        assert one.made
        assert one.manifest == manifest
        assert one.manifest.missing_files(one.folder) == []

    @pytest.mark.parametrize("there", ["a file", "a folder of the user's", "an empty folder"])
    def test_what_is_no_set_is_not_replaced(self, there: str, tmp_path: Path, untouched) -> None:
        place = tmp_path / "rook"
        if there == "a file":
            place.write_text("mine")
        else:
            place.mkdir()
            if "user" in there:
                (place / "thesis.tex").write_text("mine")
        before = untouched(tmp_path)

        with pytest.raises(OutputError, match="is no set of this package; add force=True"):
            build_set(plan_set(ROOK), tmp_path)

        assert {name: seen for name, seen in untouched(tmp_path).items() if not name.endswith(".lock")} == before
        assert place.exists()
        assert build_set(plan_set(ROOK), tmp_path, force=True).made

    def test_a_failed_rebuild_keeps_the_old_set(
        self, album: dict[str, bytes], qi_copy: Path, tmp_path: Path, untouched
    ) -> None:
        name = expected.in_order(album)[11]
        place = pictures.flat(album | {name: album[name][:50]}, tmp_path / "images")
        before = untouched(qi_copy)

        with pytest.raises(SourceError, match=name):
            built(place, qi_copy, force=True)

        assert untouched(qi_copy) == before
        assert {path.name for path in qi_copy.iterdir()} == {"qi", ".qi.lock"}
