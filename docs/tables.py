"""Hooks of mkdocs: the site includes the table of results and the leaderboard of the project's own entries."""

import csv
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

from qi_datasets.leaderboard.site import build

CARDS = Path(__file__).parents[1] / "cards"
FIGURES = CARDS / "leaderboard" / "site" / "entries.csv"
BORDERS = (0, 16, 32, 64, 128, 256, 512)
BOARD = Path(tempfile.gettempdir()) / "qi-datasets-docs-leaderboard"


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Adds the leaderboard with its downloads, as `leaderboard/` of the site."""
    build([CARDS / "entries"], BOARD)
    for path in filter(Path.is_file, sorted(BOARD.rglob("*"))):
        name = f"leaderboard/{path.relative_to(BOARD).as_posix()}"
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_post_build(**_: Any) -> None:
    """Removes the files that the leaderboard was copied from."""
    shutil.rmtree(BOARD, ignore_errors=True)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Puts the table in place of its mark on the page of results."""
    return markdown.replace("{{ results }}", results()) if page.file.src_uri == "results.md" else markdown


def results() -> str:
    """Returns a table of the entries of `qi`, by init, padding and location score."""
    with FIGURES.open(encoding="utf-8", newline="") as file:
        entries = [row for row in csv.DictReader(file) if row["task"] == "qi" and row["init"]]
    entries.sort(key=lambda row: (row["init"], row["model.padding"], float(row["figures.location_score.value"] or 2)))
    head = ["network", "init", "padding", *(str(border) for border in BORDERS), "reach at 75 %", "location score"]
    lines = [head, ["---"] * 3 + ["---:"] * (len(head) - 3), *map(line, entries)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def line(entry: dict[str, str]) -> list[str]:
    """The cells of one entry."""
    score = entry["figures.location_score.value"]
    return [
        entry["model.name"].rpartition("/")[2],
        entry["init"],
        entry["model.padding"],
        *(cell(entry, border) for border in BORDERS),
        entry["figures.reach_75"] or "none",
        f"{float(score):.2f}" if score else "",
    ]


def cell(entry: dict[str, str], border: int) -> str:
    """The accuracy at one border."""
    verdict = entry[f"figures.borders.{border}.verdict"]
    if verdict in ("equal", "proved"):
        return "."
    accuracy = entry[f"figures.borders.{border}.accuracy"]
    text = f"{100 * float(accuracy):.1f}" if accuracy else ""
    return f"**{text}**" if verdict == "reads" else text
