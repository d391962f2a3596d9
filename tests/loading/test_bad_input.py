"""A wrong call raises one of our errors, one line that says why, and leaves nothing behind."""

from pathlib import Path

import datasets
import pyarrow.dataset as ds
import pytest

from qi_datasets import QIDatasetsError, load_dataset
from qi_datasets.errors import NotBuiltError, OptionError, OutputError, SourceError, UnknownSetError

BAD_CALLS = {
    "a negative border": (
        {"path": "qi", "border": -16},
        OptionError,
        "border must be an integer from 0 to 4096, not -16",
    ),
    "a border as text": ({"path": "qi", "border": "64"}, OptionError, "not '64'"),
    "a fractional border": ({"path": "qi", "border": 1.5}, OptionError, r"not 1\.5"),
    "a border that is true": ({"path": "qi", "border": True}, OptionError, "not True"),
    "too wide a border": ({"path": "qi", "border": 4097}, OptionError, "not 4097"),
    "an unknown set": (
        {"path": "q1"},
        UnknownSetError,
        r"no set is called 'q1' \(did you mean 'qi'\?\); there are rook",
    ),
    "a path": ({"path": "./qi"}, UnknownSetError, "no set is called './qi'"),
    "nothing": ({"path": None}, UnknownSetError, "no set is called None"),
    "an unknown config": (
        {"path": "qi", "name": "bordr_64"},
        UnknownSetError,
        "no config 'bordr_64'.*did you mean 'border_64'",
    ),
    "a config out of range": ({"path": "qi", "name": "border_5000"}, OptionError, "not 5000"),
    "a config of digits without end": ({"path": "qi", "name": f"border_{'9' * 5000}"}, QIDatasetsError, ""),
    "a config that is a number": ({"path": "qi", "name": 64}, UnknownSetError, "no config 64"),
    "another set's config": ({"path": "rook", "name": "border_0"}, UnknownSetError, "rook has no config 'border_0'"),
    "a config against a border": (
        {"path": "qi", "name": "border_64", "border": 0},
        OptionError,
        "contradict each other",
    ),
    "a border where none is": ({"path": "corner", "border": 3}, OptionError, "corner takes no border"),
    "a size where none is": ({"path": "rook", "size": 64}, OptionError, "rook takes no size, but size=64"),
    "a canvas where none is": ({"path": "corner", "canvas": 120}, OptionError, "corner takes no canvas"),
    "too small a size": ({"path": "corner", "size": 0}, OptionError, "size must be an integer from 3 to 1024, not 0"),
    "a size as text": ({"path": "corner", "size": "5"}, OptionError, "not '5'"),
    "an odd canvas": ({"path": "qi", "canvas": 113}, OptionError, "canvas must be an even integer"),
    "not built": (
        {"path": "qi"},
        NotBuiltError,
        r'qi is not built in .*qi_datasets\.build_dataset\("qi", imagenet_val=PATH\).*demo=True.*output=OUT',
    ),
    "a canvas that is not built": (
        {"path": "qi", "canvas": 112},
        NotBuiltError,
        r'qi with canvas=112 is not built in .*build_dataset\("qi", canvas=112, imagenet_val=PATH\)',
    ),
    "no such images": ({"path": "qi", "imagenet_val": "/no/such/path"}, SourceError, "no such path: /no/such/path"),
    "an unknown split": ({"path": "corner", "split": "test"}, UnknownSetError, "corner has no split 'test'"),
    "a split with a typo": ({"path": "qi", "split": "tset"}, UnknownSetError, "'tset'.*did you mean 'test'"),
    "an unknown split in a sum": ({"path": "qi", "split": "train[:5]+tset[2:]"}, UnknownSetError, "no split 'tset'"),
    "an unknown split in a list": ({"path": "qi", "split": ["train", "tset"]}, UnknownSetError, "no split 'tset'"),
    "half a slice": ({"path": "qi", "split": "train[:5"}, OptionError, r"split='train\[:5' can't be read"),
    "too many percent": ({"path": "qi", "split": "train[:101%]"}, OptionError, "between|Percent|-100"),
    "a split that is a number": (
        {"path": "qi", "split": 3},
        OptionError,
        "split must be a name such as 'train', not 3",
    ),
    "a streamed slice": (
        {"path": "qi", "split": "train[:5]", "streaming": True},
        OptionError,
        "a part of a split, which can't be streamed; use take and skip",
    ),
    "an argument with a typo": (
        {"path": "rook", "boarder": 64},
        OptionError,
        r"no argument 'boarder' \(did you mean 'border'\?\)",
    ),
    "a stock argument with a typo": ({"path": "rook", "colums": ["label"]}, OptionError, "did you mean 'columns'"),
    "an argument like no other": ({"path": "rook", "xyzzy": 1}, OptionError, "no argument 'xyzzy'; help"),
    "files of one's own": (
        {"path": "rook", "data_files": "a.parquet"},
        OptionError,
        "takes no data_files: a set has its",
    ),
    "processes for a stream": (
        {"path": "rook", "streaming": True, "num_proc": 2},
        OptionError,
        "num_proc=2 has no effect with streaming=True",
    ),
    "an unknown column": (
        {"path": "qi", "columns": ["image", "lable"]},
        OptionError,
        "no column 'lable'.*did you mean 'label'.*there are image, label, source",
    ),
    "a column of the stored rows, for pairs": (
        {"path": "shifted", "mode": "pairs", "columns": ["image"]},
        OptionError,
        "no column 'image'.*there are image_a, image_b, label",
    ),
    "columns that are text": (
        {"path": "qi", "columns": "label"},
        OptionError,
        "columns must be a list of some of image",
    ),
    "no columns": ({"path": "qi", "columns": []}, OptionError, "columns must be a list"),
    "a filter by what a border moves": (
        {"path": "qi", "border": 8, "filters": [("x", "==", 8)]},
        OptionError,
        "filters sees x as it is stored, not as it is seen",
    ),
    "a computed filter by what a border moves": (
        {"path": "qi", "border": 8, "filters": ds.field("border") == 8},
        OptionError,
        "filters sees border as it is stored",
    ),
    "another kind of image under a view": (
        {"path": "rook", "border": 8, "features": datasets.Features({"image": datasets.Value("binary")})},
        OptionError,
        r"features: image must be datasets\.Image\(\) under a view",
    ),
    "a config of another set beside a mode": (
        {"path": "shifted", "name": "nonsense", "mode": "crop"},
        UnknownSetError,
        "no config 'nonsense'",
    ),
    "a border beside a mode": ({"path": "shifted", "mode": "crop", "border": 8}, OptionError, "takes no border"),
}


@pytest.mark.parametrize(("call", "kind", "message"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_a_bad_call_is_one_of_our_errors_and_leaves_nothing(
    call: dict[str, object], kind: type[QIDatasetsError], message: str, home: Path
) -> None:
    with pytest.raises(kind, match=message) as raised:
        load_dataset(**call)

    assert len(str(raised.value).splitlines()) == 1
    assert not home.exists() or call["path"] == "corner"


def test_our_errors_are_value_errors_where_a_value_is_wrong() -> None:
    with pytest.raises(ValueError, match="not -1"):
        load_dataset("qi", border=-1)


@pytest.mark.parametrize("where", ["a file/out", "/proc/1/out"])
def test_an_output_that_cannot_be_written_is_one_of_our_errors(where: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("mine")

    with pytest.raises(OutputError, match="choose another output folder"):
        load_dataset("rook", output=tmp_path / where)


def test_an_output_may_have_any_name(tmp_path: Path) -> None:
    output = tmp_path / "sets [old] * ä, 1"

    assert load_dataset("rook", output=output)["train"].num_rows == 2


@pytest.mark.parametrize("place", ["output", "imagenet_val"])
def test_the_home_of_a_user_who_is_not_there_is_one_of_our_errors(place: str) -> None:
    with pytest.raises(QIDatasetsError, match="~no-such-user"):
        load_dataset("qi", **{place: "~no-such-user/sets"})
