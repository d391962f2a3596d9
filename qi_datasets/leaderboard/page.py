"""Renders the board as one self-contained HTML page, with downloads beside it."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import Literal, TypeVar

from qi_datasets.cards import template
from qi_datasets.evaluation import wording
from qi_datasets.evaluation.description import network_name
from qi_datasets.evaluation.entry import VERSION
from qi_datasets.evaluation.hub_results import invariance
from qi_datasets.evaluation.initialisations import INITS
from qi_datasets.leaderboard import words
from qi_datasets.leaderboard.board import Board, choose_networks
from qi_datasets.leaderboard.charts import (
    LETTERS,
    accuracy_chart,
    entry_chart,
    letter,
    reach_chart,
    shift_chart,
    sparkline,
    styles_of,
)
from qi_datasets.leaderboard.collection import FoundEntry
from qi_datasets.leaderboard.drawing import NARROW, WHOLE, WIDE, Chart, Frame, mark_path
from qi_datasets.leaderboard.hub_ranking import ComparedClaim
from qi_datasets.leaderboard.ranking import RankedRow, Track
from qi_datasets.specs import CROP, SPEC_VERSION
from qi_datasets.storage.hub import HubPlace

Drawn = TypeVar("Drawn")

TEMPLATE = "leaderboard.html.jinja"
STYLES = ("look.css", "leaderboard.css")
SCRIPTS = ("tablesort/tablesort.min.js", "leaderboard.js")
LICENCES = ("tablesort/LICENCE",)

LONGEST_SLUG = 60
MOST_CURVES = 60
"""Number of networks whose curves can be chosen."""

KINDS = {
    "random": "Networks with random weights, never trained",
    "pretrained": "Pretrained networks",
    "given": "Networks as their authors brought them",
    "scratch": "Networks trained on the set itself",
}
"""Init -> the title of its table."""

LINKS = (("The paper", "https://arxiv.org/abs/2003.07064"),)
"""The links of the header: text and address."""

Downloads = Mapping[str, Sequence[str]]
"""Key of an entry -> the location of its files, relative to the page."""


def render(board: Board, downloads: Downloads, compared: Sequence[ComparedClaim] = (), hub: str | None = None) -> str:
    """Returns the page as text; the same board gives the same text. compared: the comparison with the Hub's ranking."""
    style, script = "\n".join(map(resource, STYLES)), "\n".join([licences(), *map(resource, SCRIPTS)])
    rows = [row for track in board.tracks for row in track.rows]
    first = choose_networks(board.quadrant[0].rows) if board.quadrant else []
    drawable = words.complete_rows(board.quadrant[0].rows)[:MOST_CURVES] if board.quadrant else []
    drawable = sorted({*drawable, *first}, key=lambda row: (-(row.score or 0), words.row_name(row)))
    text: str = template(TEMPLATE).render(
        board=board,
        words=words,
        wording=wording,
        policy=policy(style, script),
        style=style,
        script=script,
        slugs={found.key: slug(found) for found in board.entries},
        downloads=downloads,
        shape=mark_path,
        inits=[init for init in INITS if any(row.init == init for row in rows)],
        paddings=sorted({row.model["padding"] for row in rows}),
        chosen=first,
        drawable=drawable,
        styles=styles_of(drawable, first),
        accuracy=tuple(accuracy_chart(frame, drawable, "Accuracy against border", first) for frame in (WIDE, NARROW))
        if first
        else None,
        by_init=rows_by_init,
        has=has_field,
        INITS=KINDS,
        letter=letter,
        sparkline=sparkline,
        invariance=invariance,
        network_name=network_name,
        compared=compared,
        links=(*LINKS, *([("Data card and specification", HubPlace(hub).page)] if hub else [])),
        version=version("qi-datasets"),
        protocol=VERSION,
        data_version=SPEC_VERSION,
        fields=[
            (track, draw_for_both_widths(reach_chart, whole, "Reach at 75 % against receptive field", WHOLE))
            for track in board.quadrant
            if len(whole := [row for row in words.complete_rows(track.rows) if row.dead is None]) > 1
        ],
        moved=[along_diagonal(track) for track in board.moved],
        borders_of=borders_of,
        entry_chart=chart_of,
    )
    return text


def resource(name: str) -> str:
    """Returns a file of the page as text."""
    return files("qi_datasets.cards").joinpath(name).read_text(encoding="utf-8")


def licences() -> str:
    """Returns the licences of third-party scripts, as a comment."""
    return "\n".join(f"/*!\n{resource(name).strip()}\n*/" for name in LICENCES)


def policy(style: str, script: str) -> str:
    """Returns a content security policy: only this style and this script, and nothing from elsewhere."""
    hashes = [f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in (style, script)]
    return (
        f"default-src 'none'; style-src {hashes[0]}; script-src {hashes[1]}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def slug(found: FoundEntry) -> str:
    """Returns an entry's name for links and folders: only letters, digits, dots and dashes."""
    model = found.content["model"]
    named = "-".join([model["name"], *([model["padding"]] if model["padding"] != words.OWN else []), *found.figures])
    plain = re.sub(r"[^a-z0-9]+", "-", named.lower()).strip("-")[:LONGEST_SLUG].strip("-")
    return f"{plain or 'entry'}-{found.task}-{found.key[:8]}"


def draw_for_both_widths(
    draw: Callable[[Frame, Drawn, str], Chart], rows: Drawn, title: str, wide: Frame = WIDE
) -> tuple[Chart, Chart]:
    """Returns a figure for wide and for narrow screens."""
    return draw(wide, rows, title), draw(NARROW, rows, title)


def borders_of(rows: Iterable[RankedRow]) -> list[int]:
    """Returns all borders of some rows."""
    return sorted({int(border) for row in rows for border in row.figures["borders"]})


def rows_by_init(track: Track) -> list[tuple[str, list[RankedRow]]]:
    """Returns the rows of a track by init: a table each, since ranks hold within one."""
    groups = [(init, [row for row in track.rows if row.init == init]) for init in INITS]
    return [(init, rows) for init, rows in groups if rows]


def has_field(rows: Iterable[RankedRow], name: Literal["receptive_field", "total_stride"]) -> bool:
    """Returns whether one of some rows has this field about its network."""
    return any(row.model[name] is not None for row in rows)


def chart_of(found: FoundEntry) -> Chart:
    """Returns the figure of an entry on `qi`."""
    curves = {init: figures["borders"] for init, figures in found.figures.items()}
    return entry_chart(curves, f"Accuracy against border of {words.short_name(network_name(found.content))}")


def along_diagonal(track: Track) -> tuple[tuple[Chart, Chart], Sequence[str]] | None:
    """Returns the curves of top-1 against shift on `shifted`, with their names; None if no labels were known."""
    known: list[RankedRow] = [row for row in track.rows if row.figures.get(CROP, {}).get("top1")]
    known = sorted(known, key=lambda row: -row.figures[CROP]["diagonal"]["value"])[: len(LETTERS) - 2]
    if not known:
        return None
    series = [(words.row_name(row), row.figures[CROP]["top1"]) for row in known]
    return draw_for_both_widths(shift_chart, series, "Top-1 against shift"), [name for name, _ in series]
