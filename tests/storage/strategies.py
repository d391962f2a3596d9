"""Made-up manifests, and other JSON."""

from hypothesis import strategies as st

from qi_datasets.storage.manifest import (
    PINNED,
    UNVERIFIED,
    VERIFIED,
    ConfigRecord,
    FileRecord,
    Manifest,
    SourceRecord,
    SplitRecord,
)

texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=8)
numbers, names = st.integers(0, 10**12), st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,8}", fullmatch=True)
hexes = st.binary(min_size=32, max_size=32).map(bytes.hex)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
wnids = st.just("") | st.from_regex(r"n[0-9]{8}", fullmatch=True)
sides = st.integers(1, 9336)
splits = st.builds(SplitRecord, numbers, hexes, st.lists(paths, min_size=1, max_size=2, unique=True))
configs = st.builds(ConfigRecord, st.integers(0, 4096), sides, st.dictionaries(names, splits, min_size=1, max_size=2))
manifests = st.builds(
    Manifest,
    name=names,
    spec_version=texts,
    package_version=texts,
    canonical=st.booleans(),
    pixels=st.sampled_from([PINNED, VERIFIED, UNVERIFIED]),
    layout=texts,
    size=sides,
    configs=st.dictionaries(names, configs, min_size=1, max_size=3),
    sources=st.dictionaries(
        names,
        st.lists(st.builds(SourceRecord, texts.filter(bool), wnids, numbers, hexes, hexes), max_size=2),
        max_size=2,
    ),
    files=st.dictionaries(paths, st.builds(FileRecord, numbers, hexes), max_size=3),
    libraries=st.dictionaries(texts, texts, max_size=3),
)
everything = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
