"""Types of the sections of `entry.json`, nested dictionaries, as `cards/entry.schema.json` describes them."""

from typing import Any, NotRequired, TypeAlias, TypedDict

from qi_datasets.evaluation.initialisations import Background, Padding, Pool

Figures: TypeAlias = dict[str, Any]
"""Nested dictionaries of plain numbers; `evaluation.results` has them as types."""


class ModelContent(TypedDict):
    """The network: its origin, its weights (init -> SHA-256 by seed), and properties of its layers."""

    name: str
    weights: str
    weights_sha256: dict[str, list[str]]
    parameters: int
    padding: Padding
    pool: Pool
    background: Background
    receptive_field: int | None
    total_stride: int | None
    phase: bool
    head: NotRequired[dict[str, list[str]]]


class TransformContent(TypedDict):
    """The normalisation: mean and standard deviation of each channel, for images in [0, 1]."""

    mean: list[float]
    std: list[float]
    interpolation: str | None


class DataContent(TypedDict):
    """The set, its version and track, the digests of its splits, and the number of evaluated sources."""

    set: str
    data_version: str
    layout: str
    track: str
    canonical: bool
    caveat: NotRequired[str]
    pixels: str
    digests: dict[str, str]
    sources: dict[str, int]
    limit: int | None
    evaluated: int
    sources_sha256: str


class InitContent(TypedDict):
    """The seeds of an initialisation, and its treatment of batch norms."""

    seeds: list[int]
    batch_norm: str


class ProtocolContent(TypedDict):
    """The protocol: initialisations, borders in pixels, views and shifts of `shifted`, and constants."""

    inits: dict[str, InitContent]
    borders: list[int]
    further_border: int
    modes: list[str]
    shifts: list[int]
    settings: dict[str, int | float | str | bool]


class RunContent(TypedDict):
    """The machine and the libraries that computed the answers."""

    device: str
    dtype: str
    tf32: bool
    batch: int
    local: bool
    libraries: dict[str, str]


class TrainingOutcome(TypedDict):
    """The outcome of one training: number of epochs, accuracy and loss on its training images."""

    epochs: int
    accuracy: float
    loss: float


class TrainingContent(TrainingOutcome):
    """The trainings, by network."""

    init: str
    border: int
    seed: int


class DeadContent(TypedDict):
    """Residual branches that add nothing: their number, the number of all branches, and their layers."""

    count: int
    of: int
    layers: list[str]


class PredictionsContent(TypedDict):
    """The number of rows and the SHA-256 of `predictions.parquet`."""

    rows: int
    sha256: str


class EntrySettings(TypedDict):
    """The sections of an entry before its figures are computed."""

    package_version: str
    date: str
    task: str
    about: NotRequired[dict[str, str]]
    model: ModelContent
    transform: TransformContent
    data: DataContent
    protocol: ProtocolContent
    run: RunContent
    proved: dict[str, list[int]]
    training: list[TrainingContent]
    dead_branches: NotRequired[dict[str, DeadContent]]


class EntryContent(EntrySettings):
    """The content of `entry.json`; `figures` is init -> figures, `seals` is section -> SHA-256 of its JSON."""

    version: str
    predictions: PredictionsContent
    figures: dict[str, Figures]
    seals: dict[str, str]
    seconds: dict[str, float]


class Sealed(TypedDict):
    """Content with seals: that of an entry, or of an evaluation on a grid."""

    seals: dict[str, str]


class Notes(TypedDict, total=False):
    """Notes about the answers of one network; `seconds` is always there."""

    seconds: float
    proved: bool
    dense_because: str
    training: TrainingOutcome
    dtype: str
    difference: float


class GridSettings(TypedDict):
    """The sections of `grid.json` before there are answers; common sections are those of an entry."""

    version: int
    package_version: str
    date: str
    model: ModelContent
    transform: TransformContent
    data: DataContent
    run: RunContent
    grid: int
    border: int
    inits: dict[str, InitContent]


class GridAnswered(GridSettings):
    """The sections of `grid.json` before its figures are computed."""

    differences: dict[str, float]
    dense_because: str


class GridContent(GridAnswered):
    """The content of `grid.json`."""

    figures: dict[str, Figures]
    seals: dict[str, str]
