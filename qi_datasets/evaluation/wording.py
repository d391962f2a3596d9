"""Words for figures, the same on a terminal, in a notebook and on a page. Needs no torch."""

from collections.abc import Mapping, Sequence
from typing import Final

from qi_datasets.errors import OptionError
from qi_datasets.evaluation.content import DeadContent, EntryContent, Figures
from qi_datasets.evaluation.results import ModeFigures, TaskFigures
from qi_datasets.specs import QI, SHIFTED

NOTHING = "\N{EN DASH}"
"""The sign for a figure that is missing."""


def percent(share: float | None, digits: int = 1) -> str:
    """Returns a share in percent, without the sign."""
    return NOTHING if share is None else f"{100 * share:.{digits}f}"


def percent_interval(at: Figures) -> str:
    """Returns the interval at a border in percent; a dash where the corners are equal."""
    return NOTHING if at["low"] is None else f"{percent(at['low'])} to {percent(at['high'])}"


def p_value(p: float | None) -> str:
    """Returns a p value; a dash where the corners are equal."""
    return NOTHING if p is None else "< 1e-99" if p < 1e-99 else f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def reach(figures: Figures | TaskFigures, name: str = "reach") -> str:
    """Returns the widest border at which location is read, with a sign if wider ones were not run.

    Args:
        figures: Figures of one init of an entry on `qi`.
        name: `reach` or `reach_75`.

    Returns:
        For example "128", "nowhere", "≥ 128"; a dash if not all borders were run and it was read at none.
    """
    border, censored = figures[name], figures[f"{name}_censored"]
    if border is None:
        return NOTHING if censored else "nowhere"
    return f"\N{GREATER-THAN OR EQUAL TO} {border}" if censored else f"{border}"


def borders_run(figures: Figures | TaskFigures) -> str:
    """Returns how many of the seven borders were run, such as "2 of 7 borders"."""
    return f"{sum(f'{border}' in figures['borders'] for border in QI.borders)} of {len(QI.borders)} borders"


FEW_CLASSES = 10
"""Number of classes below which a classifier's consistency says nothing about its features."""

COLUMNS: Mapping[str, str] = {
    "border": "black pixels on each side of the picture's canvas",
    "verdict": "reads; not detected; equal: the same features in both corners for every test picture; proved: for any",
    "accuracy %": "share of right answers of a linear probe; 50 is chance",
    "interval": "of the accuracy over pictures, at Holm's level for seven borders; above 50 exactly where it reads",
    "p": "how likely so large a mean over pictures is by chance, after Holm's correction",
    "difference": "largest difference of a feature between the corners, of the largest feature",
    "channels %": "share of the features that differ between the corners",
    "reach at 75 %": "the widest border whose interval begins at 75 % or above",
    "location score": "mean over the seven borders of 2 x accuracy - 1; lower is more translation invariant",
    "reach": "the widest border that is read at all, however weakly; at least that where wider ones were not run",
    "mode": "how pictures are moved: crop (real content enters), zero (black enters), circular",
    "consistency": "share of pairs of moved pictures that get the same answer",
    "top-1 over shifts": "share of right answers, mean over all shifts",
    "classes": "how many classes were answered at all; below 10 consistency says little",
    "largest change of a logit": "between a moved picture and the unmoved one",
}
"""The meaning of each column of a table."""


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str] = frozenset()) -> str:
    """Returns a plain text table; the columns named in `right` are aligned to the right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    aligned = [
        [
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(header, line, widths, strict=True)
        ]
        for line in lines
    ]
    aligned.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(line).rstrip() for line in aligned)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str] = frozenset()) -> str:
    """Returns a Markdown table."""
    rule = ["---:" if name in right else "---" for name in header]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in (header, rule, *rows))
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str] = frozenset()) -> str:
    """Returns a LaTeX table for the package booktabs."""
    special = {"%": "\\%", "_": "\\_", "&": "\\&", "#": "\\#", NOTHING: "--", "\N{GREATER-THAN OR EQUAL TO}": "$\\geq$"}
    lines = [" & ".join("".join(special.get(c, c) for c in cell) for cell in line) + r" \\" for line in (header, *rows)]
    spec = "".join("r" if name in right else "l" for name in header)
    return "\n".join(
        [
            f"\\begin{{tabular}}{{{spec}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


TABLES = {"text": text_table, "markdown": markdown_table, "latex": latex_table}
WORDS = frozenset(("verdict", "interval", "mode", "figure"))
"""Columns that are aligned to the left."""


def rows_of(task: str, figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Returns the header and the rows of the table of one init of an entry."""
    if task == QI.name:
        header = ["border", "verdict", "accuracy %", "interval", "p", "difference", "channels %"]
        return header, [
            [
                border,
                at["verdict"],
                percent(at["accuracy"]),
                percent_interval(at),
                p_value(at["corrected_p"]),
                f"{at['difference']:.1e}",
                percent(at["channels"], 0),
            ]
            for border, at in figures["borders"].items()
        ]
    if task == SHIFTED.name:
        header = ["mode", "consistency", "top-1 over shifts", "classes", "largest change of a logit"]
        return header, [
            [
                mode,
                number(moved["consistency"]),
                number(moved["diagonal"]),
                f"{moved['classes']:.0f}",
                f"{moved['largest_change']:.3g}",
            ]
            for mode, moved in figures.items()
        ]
    return ["figure", "value"], [[name.replace("_", " "), number(value)] for name, value in figures.items()]


def table_of(content: EntryContent, form: str = "text") -> str:
    """Returns the figures of an entry as tables, one for each init; form: "text", "markdown" or "latex"."""
    if form not in TABLES:
        raise OptionError(f"a table is text, markdown or latex, not {form!r}", code="bad-value")
    found = []
    for init, figures in content["figures"].items():
        header, rows = rows_of(content["task"], figures)
        title = f"{content['model']['name']}, {init}"
        lead = {"text": title, "markdown": f"**{title}**\n", "latex": f"% {title}"}[form]
        found.append(f"{lead}\n{TABLES[form](header, rows, frozenset(header) - WORDS)}")
    return "\n\n".join(found)


def number(value: object, digits: int = 3) -> str:
    """Returns a figure, with its interval if it has one; a dash if it is missing."""
    if isinstance(value, Mapping):
        return f"{value['value']:.{digits}f} ({value['low']:.{digits}f} to {value['high']:.{digits}f})"
    return NOTHING if value is None else f"{value:.3g}" if isinstance(value, float) else f"{value}"


def network_name(content: EntryContent, init: str) -> str:
    """Returns a description of a network, such as "resnet18 (random, 5 seeds, exact padding)"."""
    seeds = len(content["protocol"]["inits"][init]["seeds"])
    padding = content["model"]["padding"]
    parts = [init, *([f"{seeds} seeds"] if seeds > 1 else []), *([f"{padding} padding"] if padding != "own" else [])]
    return f"{content['model']['name']} ({', '.join(parts)})"


def sentence(content: EntryContent, init: str) -> str:
    """Returns one or two sentences on an entry's figures of one init."""
    dead = content.get(DEAD, {}).get(init)
    return said_of(content, init) + (f" {dead_branches(dead)}." if dead else "")


def said_of(content: EntryContent, init: str) -> str:
    """Returns a sentence on the figures of one init."""
    figures, who = content["figures"][init], network_name(content, init)
    if content["task"] == QI.name:
        return f"{who} {reading_sentence(figures)}"
    if content["task"] == SHIFTED.name:
        mode, moved = next(iter(figures.items()))
        share = percent(moved["consistency"]["value"])
        said = f"{who} gives the same answer to {share} % of pairs of moved pictures ({mode})"
        return said + (f"; but it answers with {moved['classes']:.0f} classes only" if is_poor(moved) else "") + "."
    values = (f"{name.replace('_', ' ')} {number(value)}" for name, value in figures.items())
    return f"{who} on {content['task']}: {', '.join(values)}."


DEAD: Final = "dead_branches"
"""The section of an entry with dead residual branches, if there are any."""


def dead_branches(dead: DeadContent) -> str:
    """Returns a sentence, without its full stop, on an entry's residual branches that add nothing."""
    layers: Sequence[str] = dead["layers"]
    where = ", ".join([*(name or "the network" for name in layers[:3]), *(["..."] if len(layers) > 3 else [])])
    return (
        f"{'All' if dead['count'] == dead['of'] else dead['count']} of its {dead['of']} residual branches add nothing "
        f"({where}): they are constant, or less than a thousandth of what they are added to, so that it computes less "
        "than its layers would"
    )


def is_poor(moved: Figures | ModeFigures) -> bool:
    """Returns whether a classifier names so few classes that its consistency says nothing about its features."""
    return bool(moved["classes"] < FEW_CLASSES)


def reading_sentence(figures: Figures) -> str:
    """Returns the rest of a sentence: up to which border a network distinguishes the corners, and what is beyond it."""
    farthest, firmly = figures["reach"], figures["reach_75"]
    if farthest is None:
        said = "does not tell the corners apart at any border that was run"
    elif firmly == farthest:
        said = f"tells the corners apart at 75 % or more up to a border of {farthest} pixels"
    elif firmly is None:
        said = f"tells the corners apart, below 75 %, up to a border of {farthest} pixels"
    else:
        said = f"tells the corners apart at 75 % or more up to a border of {firmly} pixels, and weakly up to {farthest}"
    borders = {int(border): at["verdict"] for border, at in figures["borders"].items()}
    beyond = [border for border in sorted(borders) if farthest is None or border > farthest]
    proved = limit_note(beyond, borders, ("proved",))
    equal = limit_note(beyond, borders, ("proved", "equal"))
    if proved is not None:
        said += f"; from {proved} on it can't, for any picture" if proved else "; it can't, for any picture"
    elif equal is not None:
        said += f"; from {equal} on both corners give it the same features, for every test picture"
    if figures["reach_censored"] and proved is None:
        said += f"; that is by {borders_run(figures)}"
    score = figures["location_score"]
    return f"{said}." + (f" Its location score is {number(score, 2)}." if score is not None else "")


def limit_note(beyond: Sequence[int], verdicts: Mapping[int, str], wanted: Sequence[str]) -> int | None:
    """Returns the border from which on all borders have a wanted verdict; None if the widest has not."""
    found = None
    for border in reversed(beyond):
        if verdicts[border] not in wanted:
            break
        found = border
    return found


def methods(content: EntryContent) -> str:
    """Returns a paragraph on how an entry was measured, to paste into an article."""
    data, protocol = content["data"], content["protocol"]
    digests = ", ".join(f"{split} {digest[:12]}" for split, digest in data["digests"].items())
    who = " and ".join(network_name(content, init) for init in content["figures"])
    said = (
        f"{who} was evaluated with qi-datasets {content['package_version']} (protocol {content['version']}) on "
        f"{data['set']}, data version {data['data_version']}, track {data['track']} (digests {digests}), on "
        f"{data['evaluated']} test sources"
    )
    if content["task"] != QI.name:
        return f"{said}; intervals are two-sided 95 % intervals over sources."
    borders = ", ".join(map(str, protocol["borders"]))
    return (
        f"{said} in both corners, at borders of {borders} pixels. Accuracies have score intervals over sources; "
        "location counts as read where the interval, at the level of Holm's method over seven borders (5 % in all), "
        "lies above chance. The location score is the mean over the seven borders of 2 x accuracy - 1."
    )
