"""Sets are found by name, also those that another package brings through a real entry point."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qi_datasets import load_dataset
from qi_datasets.builder import Builder
from qi_datasets.errors import BuilderError, OptionError, QIDatasetsError, UnknownSetError
from qi_datasets.registry import builder_of, look_up_spec, specs
from qi_datasets.specs import SPECS
from tests import expected
from tests.refusals import refused

STRIPES = "stripes = stripes:Stripes\nthumbs = stripes:Thumbs"


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_set_of_the_table_has_its_builder(spec) -> None:
    builder = builder_of(spec)

    assert isinstance(builder, Builder)
    assert builder.spec is spec
    assert builder.size == spec.size


def test_a_size_is_checked() -> None:
    assert builder_of(SPECS["corner"], 9).size == 9
    with pytest.raises(OptionError):
        builder_of(SPECS["rook"], 9)
    with pytest.raises(OptionError):
        builder_of(SPECS["corner"], 2)


@pytest.mark.parametrize(
    ("name", "hint"), [("q1", "qi"), ("QI", "qi"), ("red-green", "red_green"), ("Corner", "corner"), ("rok", "rook")]
)
def test_an_unknown_name_gets_the_known_ones_and_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UnknownSetError, match=f"did you mean '{hint}'") as raised:
        look_up_spec(name)

    assert repr(name) in str(raised.value)
    assert ", ".join(SPECS) in str(raised.value)


@pytest.mark.parametrize("name", ["zzzz", "", 3])
def test_a_name_like_no_other_gets_the_known_ones_alone(name: object) -> None:
    with refused(UnknownSetError, "unknown-set", match="there are rook, corner") as raised:
        look_up_spec(name)

    assert "did you mean" not in str(raised.value)


def test_another_packages_sets_are_listed_after_ours(plugin) -> None:
    plugin(STRIPES)

    assert list(specs()) == [*SPECS, "stripes", "thumbs"]
    assert type(builder_of(look_up_spec("stripes"))).__name__ == "Stripes"
    with pytest.raises(UnknownSetError, match="did you mean 'stripes'"):
        look_up_spec("stripe")


def test_another_packages_set_is_made_and_loaded_like_ours(plugin, tmp_path: Path) -> None:
    plugin(STRIPES)

    rows = load_dataset("stripes", output=tmp_path)

    assert {split: len(part) for split, part in rows.items()} == {"train": 4, "test": 2}
    assert rows["test"][0]["edges"] == [[0, 0], [4, 4]]
    wanted = np.zeros((16, 16), np.uint8)
    wanted[::2] = 255
    np.testing.assert_array_equal(np.asarray(rows["train"][0]["image"]), wanted)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("'two'", "period.*int32.*two"), ("2.5", "period.*int32.*2.5"), ("2**40", "period.*int32")],
)
def test_a_column_of_another_type_is_an_error_that_names_it(plugin, tmp_path: Path, value: str, shown: str) -> None:
    source = Path(__file__).with_name("third_party").joinpath("stripes.py").read_text()
    plugin(STRIPES, source.replace('{"period": period,', f'{{"period": {value},'))

    with pytest.raises(BuilderError, match=f"^stripes: .*{shown}"):
        load_dataset("stripes", output=tmp_path)
    assert not (tmp_path / "stripes").exists()


def test_another_packages_set_made_from_images_is_built_by_the_command(
    plugin, qi_build, flat_folder, album, tmp_path
) -> None:
    plugin(STRIPES)

    result = qi_build("--set", "thumbs", "--imagenet-val", flat_folder, "--per-split", 3, "--output", tmp_path)

    assert result.exit_code == 0, result.output
    rows = load_dataset("thumbs", output=tmp_path)
    assert [*rows["train"]["source"], *rows["test"]["source"]] == expected.in_order(album)[:6]
    assert np.asarray(rows["train"][0]["image"]).shape == (24, 24, 3)


def test_another_packages_set_works_in_a_fresh_process(plugin, tmp_path: Path) -> None:
    site = plugin(STRIPES)
    script = "from qi_datasets.commands.build import main; main()"
    arguments = ["--set", "stripes", "--set", "thumbs", "--demo", "--workers", "1", "--output", str(tmp_path / "out")]

    made = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {script}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )

    assert made.returncode == 0, made.stderr
    assert "stripes" in made.stdout
    assert load_dataset("thumbs", output=tmp_path / "out")["train"].num_rows == 2


BROKEN = {
    "no class": ("a = stripes:STRIPES", None, "is no GeneratedSet or ImageSet"),
    "a class of something else": ("a = stripes:SetSpec", None, "is no GeneratedSet or ImageSet"),
    "a class without a spec": ("a = stripes:GeneratedSet", None, "is no GeneratedSet or ImageSet"),
    "a name that is taken": (
        "a = stripes:Mine",
        "from qi_datasets.builders.rook import Rook\nclass Mine(Rook): pass\n",
        "calls its set rook, which is taken",
    ),
    "no such module": ("a = missing_module:Set", None, "missing_module"),
    "no such attribute": ("a = stripes:Nothing", None, "Nothing"),
    "a module that fails": ("a = stripes:Stripes", "raise RuntimeError('their bug')", "their bug"),
}


@pytest.mark.parametrize(("entry", "module", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_entry_point_is_an_error_that_names_it(plugin, entry: str, module: str | None, message: str) -> None:
    plugin(entry, module)

    with pytest.raises(QIDatasetsError, match=message) as raised:
        specs()

    assert isinstance(raised.value, BuilderError)
    assert entry.partition(" = ")[2] in str(raised.value)


def test_a_broken_entry_point_does_not_hinder_our_sets(plugin, tmp_path: Path) -> None:
    plugin("a = missing_module:Set")

    assert load_dataset("corner", output=tmp_path)["train"].num_rows == 2
