"""Two builds are compared by their manifests: each difference is named once, by its cause."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_datasets.storage.compare import compare
from qi_datasets.storage.manifest import Manifest, SourceRecord

OTHER = "f" * 64
Change = Callable[[Manifest], Manifest]


def source(split: str, number: int, **changes: object) -> Change:
    def changed(manifest: Manifest) -> Manifest:
        records = list(manifest.sources[split])
        records[number] = replace(records[number], **changes)
        return replace(manifest, sources=manifest.sources | {split: records})

    return changed


def sources(split: str, change: Callable[[list[SourceRecord]], list[SourceRecord]]) -> Change:
    return lambda manifest: replace(manifest, sources=manifest.sources | {split: change(list(manifest.sources[split]))})


def digest(config: str, split: str) -> Change:
    def changed(manifest: Manifest) -> Manifest:
        record = manifest.configs[config]
        splits = record.splits | {split: replace(record.splits[split], digest=OTHER)}
        return replace(manifest, configs=manifest.configs | {config: replace(record, splits=splits)})

    return changed


def both(*changes: Change) -> Change:
    def changed(manifest: Manifest) -> Manifest:
        for change in changes:
            manifest = change(manifest)
        return manifest

    return changed


def without(config: str) -> Change:
    return lambda manifest: replace(
        manifest, configs={name: record for name, record in manifest.configs.items() if name != config}
    )


def field(**changes: object) -> Change:
    return lambda manifest: replace(manifest, **changes)


def other_configs(manifest: Manifest) -> Manifest:
    return replace(manifest, configs={"border_512": manifest.configs["border_16"]})


@pytest.fixture(scope="module")
def built(small_qi: Path) -> Manifest:
    return Manifest.read(small_qi / "qi")


@pytest.mark.parametrize(
    ("change", "kinds", "same_pixels"),
    [
        (field(), [], True),
        (field(layout="tar", package_version="9", pixels="pinned", libraries={}), [], True),
        (source("train", 0, wnid="n01440764"), [], True),
        (without("border_16"), [], True),
        (field(columns={}), [], True),
        (source("train", 1, sha256=OTHER, bytes=9), ["file: train/"], True),
        (source("test", 2, sha256=OTHER, patch_sha256=OTHER), ["file: test/"], False),
        (source("test", 2, patch_sha256=OTHER), ["decoder: test/"], False),
        (both(source("test", 2, patch_sha256=OTHER), digest("border_0", "test")), ["decoder: test/"], False),
        (
            both(source("test", 2, sha256=OTHER), digest("border_0", "test")),
            ["file: test/", "rows: border_0/test"],
            False,
        ),
        (digest("border_16", "train"), ["rows: border_16/train: digest"], False),
        (source("train", 0, name="another"), ["selection: train/", "selection: train/another: there only"], False),
        (sources("train", lambda records: records[1:]), ["selection: train/"], False),
        (
            sources("train", lambda records: records[::-1]),
            ["selection: train: the images are in another order"],
            False,
        ),
        (field(columns={"label": "label", "x": "int64"}), ["columns: "] * 5, False),
        (field(spec_version="2.0.0"), ["set: data version 1.0.0 here, 2.0.0 there"], False),
        (field(name="rook"), ["set: name qi here, rook there"], False),
        (field(size=112), ["set: size 120 here, 112 there"], False),
        (other_configs, ["set: border_0, border_16 here, border_512 there"], False),
    ],
)
def test_what_differs_is_named(built: Manifest, change: Change, kinds: list[str], same_pixels: bool) -> None:
    found = compare(built, change(built))

    told = [str(difference) for difference in found.differences]
    assert len(told) == len(kinds), told
    assert all(text.startswith(kind) for text, kind in zip(told, kinds, strict=True)), told
    assert found.same == (not kinds)
    assert found.same_pixels == same_pixels
    assert all(text in str(found) or len(told) > 5 for text in told)


def test_many_differences_are_counted(built: Manifest) -> None:
    changes = [source(split, number, patch_sha256=OTHER) for split in built.sources for number in range(4)]
    found = compare(built, both(*changes)(built))
    assert len(found.differences) == 12
    assert str(found).endswith("; and 7 more")


@settings(max_examples=60)
@given(data=st.data())
def test_whatever_is_changed_is_found_whichever_way_round(built: Manifest, data: st.DataObject) -> None:
    split = data.draw(st.sampled_from(sorted(built.sources)))
    changes = {
        "file": source(split, data.draw(st.integers(0, 3)), sha256=OTHER, patch_sha256=OTHER),
        "decoder": source(split, data.draw(st.integers(0, 3)), patch_sha256=OTHER),
        "rows": digest(data.draw(st.sampled_from(sorted(built.configs))), split),
        "selection": sources(split, lambda records: records[:-1]),
    }
    kinds = data.draw(st.sets(st.sampled_from(sorted(changes)), min_size=1))
    other = both(*(changes[kind] for kind in sorted(kinds)))(built)
    there, back = compare(built, other), compare(other, built)
    assert not there.same
    assert not there.same_pixels
    assert {one.kind for one in there.differences} == {one.kind for one in back.differences} <= kinds
    assert compare(other, other).same
