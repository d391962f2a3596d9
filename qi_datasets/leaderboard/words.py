"""Texts of the page: names of rows and tracks, numbers, the finding, and commands that reproduce an entry."""

import shlex
from collections.abc import Iterable, Mapping, Sequence

from qi_datasets.errors import OptionError
from qi_datasets.evaluation import wording
from qi_datasets.evaluation.arguments import EvaluationRequest
from qi_datasets.evaluation.content import EntryContent, ModelContent
from qi_datasets.evaluation.description import network_name
from qi_datasets.evaluation.figures import EQUAL, PROVED
from qi_datasets.evaluation.initialisations import GIVEN
from qi_datasets.evaluation.reproduce import request_of
from qi_datasets.evaluation.wording import NOTHING
from qi_datasets.imagenet import IMAGENET_MEAN, IMAGENET_STD
from qi_datasets.leaderboard.collection import FoundEntry
from qi_datasets.leaderboard.ranking import RankedRow, Track
from qi_datasets.specs import QI, SPECS
from qi_datasets.storage.manifest import DEMO, OFFICIAL, UNVERIFIED

OWN = "own"
LONGEST = 34
"""Largest number of characters of a name in a figure."""

MINUS = "\N{MINUS SIGN}"
"""The sign of a number below 0."""

SIGNS = {EQUAL: "=", PROVED: "\N{IDENTICAL TO}"}
"""The sign in place of an accuracy if the corners are equal."""

COLUMNS: Mapping[str, str] = {
    **wording.COLUMNS,
    "rank": "1 + the number of networks of the same init, on the same data, that are significantly better",
    "network": "what its authors call it, or what it is made from; its entry is one click away",
    "padding": "own, as the network has it, or another one on the same weights",
    "init": "random, pretrained, given (as its authors brought it), or scratch (trained on the set)",
    "location score (95 %)": "with its interval over pictures: the mean over the seven borders of 2 x accuracy - 1",
    "location invariance": "100 x (1 - location score), which grows with it, as the Hub ranks it",
    "0, 16, 32, ...": "accuracy in % at a border of so many pixels, bold where location is read",
    "accuracy % (interval)": "right answers of a linear probe; the interval lies above 50 exactly where it reads",
    "receptive field": "pixels per side that one position of the last map sees; all, where nothing bounds it",
    "total stride": "by how many pixels the windows of two neighbouring positions of the last map are apart",
    "consistency %": "of its entry on shifted: the share of pairs of moved pictures that get the same answer",
    "top-1 %": "of its entry on shifted: the share of right answers, mean over shifts",
    "seeds": "how many networks of that kind were made and evaluated",
    "date": "when it was evaluated",
    "solved": "the share of seeds that tell the two pictures apart",
    "equal": "the share of seeds that give both pictures the same answer, up to rounding",
    "channels": "the share of features that differ",
    "test similar": "accuracy where pictures of training were, too",
    "test dissimilar": "accuracy where none of its class ever was",
    "agreement": "the share of pairs of both tests that get the same answer",
    "Hub's rank": "among the values that are claimed on the Hub",
    "ours": "the rank by predictions",
    "task": "the set that networks were evaluated on",
    "claimed": "the value on the Hub",
    "computed": "the value that the entry's predictions give",
    "data": "official, official names with unverified pixels, demo pictures, or others, told apart by digest",
    "data version": "of the sets: another one has other pixels",
    "protocol version": "of how networks are evaluated",
    "test sources": "pictures that the figures are about",
    "networks": "rows that are compared with one another",
}
"""The meaning of each column of the page."""

DATA = {OFFICIAL: "the official set", UNVERIFIED: "official names, pixels unverified", DEMO: "the demo pictures"}
OTHER_DATA = "other pictures"
SETS = {OFFICIAL: "sets", UNVERIFIED: "sets", DEMO: "demo-sets"}
"""The folders into which the commands on the page build the sets of a track."""


def row_name(row: RankedRow) -> str:
    """Returns a description of a row, such as "resnet18 (exact padding, random)"."""
    padding = "" if row.model["padding"] == OWN else f"{row.model['padding']} padding, "
    return f"{network_name(row.content)} ({padding}{row.init})"


def short_name(name: str) -> str:
    """Returns a name short enough for a figure."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def track_name(track: Track) -> str:
    """Returns a track's title."""
    name = DATA.get(track.name, OTHER_DATA)
    return f"{name} ({track.number})" if track.number else name


def track_note(track: Track) -> str:
    """Returns a note on a track's data, to the digest."""
    data = track.data
    digests = ", ".join(f"{split} {digest[:12]}" for split, digest in sorted(data["digests"].items()))
    limit = f", the first {data['limit']} of each split" if data["limit"] else ""
    return f"data version {data['data_version']}, {data['evaluated']} test sources{limit}, digests: {digests}"


def interval(figure: Mapping[str, float] | None, scale: float = 1, digits: int = 3) -> str:
    """Returns a figure with its interval; a dash if there is none."""
    if figure is None:
        return NOTHING
    value, low, high = (f"{scale * figure[name]:.{digits}f}".replace("-", MINUS) for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def agreement_sentence(found: FoundEntry, again: FoundEntry) -> str:
    """Returns a sentence on another run of an evaluation."""
    if found.content["predictions"]["sha256"] == again.content["predictions"]["sha256"]:
        return "the same answers"
    scores = [figures.get("location_score") for figures in again.figures.values()]
    texts = [interval(score) for score in scores if score]
    return f"other answers, location score {', '.join(texts)}" if texts else "other answers"


def small_number(number: float) -> str:
    """Returns a number, which may be tiny, as text."""
    return "0" if number == 0 else f"{number:.3f}" if number >= 0.01 else f"{number:.0e}"


def finding_sentence(track: Track) -> str:
    """Returns a sentence on the result of a track on `qi`, by the networks that were run at all seven borders."""
    whole = complete_rows(track.rows)
    if not whole:
        return f"On {track_name(track)}, no network has been run at all seven borders yet."
    reading = [row for row in whole if reach_of(row) >= 0]
    said = f"On {track_name(track)}, {len(reading)} of {len(whole)} networks tell the corners apart at 75 % or more"
    if not reading:
        return f"{said}."
    farthest = max(reading, key=lambda row: (reach_of(row), row.score or 0, row_name(row)))
    score = f"location score {farthest.score:.2f}, reach {wording.reach(farthest.figures)}"
    said += f", {row_name(farthest)} even across a border of {reach_of(farthest)} pixels ({score})"
    pairs = [
        (own, other)
        for own in reading
        for other in whole
        if own.model["padding"] == OWN and is_variant(own, other) and reach_of(other) < reach_of(own)
    ]
    if not pairs:
        return f"{said}."
    own, other = max(pairs, key=lambda pair: (reach_of(pair[0]) - reach_of(pair[1]), row_name(pair[0])))
    where = "nowhere" if reach_of(other) < 0 else f"only up to {reach_of(other)}"
    before = "it" if own is farthest else f"{row_name(own)} does up to {reach_of(own)}, and"
    return f"{said}; {before} {'does so ' if own is farthest else ''}{where} with {other.model['padding']} padding."


def complete_rows(rows: Iterable[RankedRow]) -> list[RankedRow]:
    """Returns the rows that were run at all seven borders."""
    return [row for row in rows if row.score is not None]


def reach_of(row: RankedRow) -> int:
    """Returns the widest border that is read at 75 %; -1 for none."""
    border = row.figures["reach_75"]
    return -1 if border is None else int(border)


def is_variant(row: RankedRow, other: RankedRow) -> bool:
    """Returns whether two rows differ only in their padding."""
    return (row.model["name"], row.model["weights"], row.init) == (
        other.model["name"],
        other.model["weights"],
        other.init,
    )


def commands(content: EntryContent) -> list[str]:
    """Returns commands that make an entry's data and the entry itself; [] if no command can."""
    data, model = content["data"], content["model"]
    # A module from a user's program has no command; a function at an address that makes it has one.
    if (model["weights"] == GIVEN and ":" not in model["name"]) or data["track"] not in SETS:
        return []
    sets = SETS[data["track"]]
    source = " --demo" if data["track"] == DEMO else " --imagenet-val PATH"
    build = f"qi-build{source if SPECS[data['set']].needs_images else ''} --set {data['set']} --output {sets}"
    if data["set"] == QI.name:
        build += " --border 0"
    try:
        parts = [request_of(content)]
    except OptionError:
        parts = [request_of(content_of_init(content, init)) for init in content["figures"]]
    return [build, *(command_line(model, sets, [*flags_of(request), "--entry", "again"]) for request in parts)]


def comparison(content: EntryContent) -> str:
    """Returns the command that runs an entry's evaluation again and compares; FOLDER has both downloads."""
    return command_line(content["model"], SETS[content["data"]["track"]], ["--check", "FOLDER"])


def content_of_init(content: EntryContent, init: str) -> EntryContent:
    """Returns an entry's content, reduced to one init."""
    protocol = content["protocol"]
    return {**content, "protocol": {**protocol, "inits": {init: protocol["inits"][init]}}}


def command_line(model: ModelContent, sets: str, flags: Sequence[str]) -> str:
    """Returns a command line of `qi-eval`."""
    weights = [] if model["weights"] in ("none", GIVEN) else ["--weights", model["weights"]]
    name, rest = [model["name"]], ["--output", sets, *weights, *flags]
    # After "--" nothing is taken for a flag, whatever the network's name is.
    return shlex.join(["qi-eval", *([*rest, "--", *name] if name[0].startswith("-") else [*name, *rest])])


def flags_of(request: EvaluationRequest) -> list[str]:
    """Returns the flags of an evaluation, without those that are the default."""
    usual = EvaluationRequest(borders=list(QI.borders), mean=list(IMAGENET_MEAN), std=list(IMAGENET_STD))
    flags: list[str] = []
    for name, value in vars(request).items():
        if value is None or getattr(usual, name) == value:
            continue
        flag = {"borders": "--border"}.get(name, f"--{name.replace('_', '-')}")
        if name in ("mean", "std"):
            flags += [flag, *map(str, value)]
            continue
        for each in value if isinstance(value, list) else [value]:
            flags += [flag, f"{each}"]
    return flags


def list_values(values: Iterable[object]) -> str:
    """Returns values in one line; a long list is shortened."""
    those: Sequence[str] = [f"{value}" for value in values]
    return ", ".join(those) if len(those) <= 12 else f"{', '.join(those[:10])}, \N{HORIZONTAL ELLIPSIS} ({len(those)})"
