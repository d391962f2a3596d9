"""The page, parsed: its texts, that no entry can add markup, and that it requests nothing."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from qi_datasets.evaluation.entry import COMPUTED, Entry
from qi_datasets.imagenet import IMAGENET_MEAN, IMAGENET_STD
from qi_datasets.leaderboard.board import Board, choose_networks
from qi_datasets.leaderboard.charts import styles_of
from qi_datasets.leaderboard.collection import collect
from qi_datasets.leaderboard.page import LINKS, render
from qi_datasets.leaderboard.words import COLUMNS, commands, comparison, complete_rows, finding_sentence
from qi_datasets.specs import QI
from tests.evaluation import entries
from tests.leaderboard.made import SCRIPT, network, on_grid, shifted, written

ALL = QI.borders
VOID = ("meta", "link", "input", "br")
OPTIONAL = ("dt", "dd", "tr", "td", "th", "thead", "tbody", "option", "li", "p")


class Parsed(HTMLParser):
    """Tags with their attributes and the text in them, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: dict[str, list[str]] = {"script": [], "style": []}
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.scripts:
            self.scripts[self.open[-1]].append(data)
        elif data.strip():
            self.texts.append(" ".join(data.split()))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(folder: Path) -> str:
    board = Board.of(collect([folder]))
    return render(
        board, {found.key: (f"{found.name}/entry.json", f"{found.name}/p.parquet") for found in board.entries}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(
        tmp_path_factory.mktemp("entries"),
        far=network(1, read=ALL[:6], name="resnet18", receptive_field=435),
        blind=network(2, read=(), name="resnet18", padding="exact", receptive_field=435),
        near=network(3, read=(0, 16), name="bagnet33", receptive_field=33),
        hostile=network(4, read=(0,), name=f"{SCRIPT}{{{{ 7 * 7 }}}}", weights='"><img src=x onerror=alert(1)>'),
        made_up=entries.entry(),
        moved=shifted(5),
    )


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return page_of(folder)


@pytest.fixture(scope="module")
def parsed(page: str) -> Parsed:
    return Parsed(page)


def test_the_finding_comes_first(parsed: Parsed) -> None:
    lead = parsed.texts[parsed.texts.index("Which networks read location, and from how far?", 1) + 1]

    assert lead == (
        "On other pictures, 4 of 5 networks tell the corners apart at 75 % or more, resnet18 (random) even across a "
        "border of 256 pixels (location score 0.86, reach 256); it does so nowhere with exact padding."
    )


def test_a_row_says_what_its_entry_says(page: str) -> None:
    row = next(row for row in re.findall(r"<tr id=.*?</tr>", page, re.DOTALL) if "bagnet33" in row)
    cells = [
        " ".join(re.sub(r"<[^>]+>", "", cell).split()) for cell in re.findall(r"<t[dh].*?</t[dh]>", row, re.DOTALL)
    ]

    assert cells[0] == "2"
    assert cells[1].startswith("bagnet33")
    assert cells[2] == "own"
    assert cells[3] == cells[6] == "16"
    assert cells[4].startswith("0.286 (")
    assert cells[5] == "71.4"
    assert cells[7:14] == ["100", "100", "= 50", "= 50", "= 50", "= 50", "= 50"]
    assert cells[14:16] == ["33", "8"]
    assert cells[16:] == ["1", "2025-01-31"]


def test_a_network_has_the_name_that_people_call_it(tmp_path: Path) -> None:
    entry = network(1, name="path.py:make", init="pretrained").described(
        name="Ours", code="https://example.org/x", authors="Ada"
    )
    text = page_of(written(tmp_path, ours=entry))
    parsed = Parsed(text)
    assert "Ours" in parsed.texts
    assert "path.py:make" in parsed.texts, "in the fold"
    assert {"https://example.org/x"} <= {str(one.get("href")) for one in parsed.named("a")}
    assert "Pretrained networks: no rank, since there is none to compare with" in parsed.texts


def test_nothing_of_an_entry_is_markup(page: str, parsed: Parsed) -> None:
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{ 7 * 7 }}" in page
    assert len(parsed.named("script")) == 1
    assert not parsed.named("img")
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]


def test_the_page_asks_for_nothing(page: str, parsed: Parsed) -> None:
    assert all(str(attributes["href"]).startswith("data:") for attributes in parsed.named("link"))
    assert not [attributes for _, attributes in parsed.tags if "src" in attributes]
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", page)
    links = [str(attributes["href"]) for attributes in parsed.named("a")]
    assert {link for link in links if link.startswith("http")} == {url for _, url in LINKS}


def test_the_policy_allows_this_style_and_this_script_alone(parsed: Parsed) -> None:
    (policy,) = [meta["content"] for meta in parsed.named("meta") if "http-equiv" in meta]
    parts = dict(part.strip().split(" ", 1) for part in str(policy).split(";"))

    assert parts["default-src"] == "'none'"
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        digest = hashlib.sha256("".join(parsed.scripts[tag]).encode()).digest()
        assert parts[directive] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert not [attributes for _, attributes in parsed.tags if "style" in attributes]


def test_every_link_within_the_page_leads_somewhere(parsed: Parsed) -> None:
    names = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]

    assert len(names) == len(set(names))
    assert {str(a["href"])[1:] for a in parsed.named("a") if str(a["href"]).startswith("#")} <= set(names)


def test_tables_have_captions_and_scopes(page: str, parsed: Parsed) -> None:
    tables = re.findall(r"<table.*?</table>", page, re.DOTALL)

    assert tables
    assert all("<caption>" in table for table in tables)
    assert all(attributes.get("scope") in ("col", "row") for attributes in parsed.named("th"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in parsed.named("svg"))


def test_figures_are_whole(page: str) -> None:
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        numbers = re.findall(r'points="([^"]*)"', svg)
        assert "nan" not in svg
        assert all(re.fullmatch(r"[-\d.,e ]+", points) for points in numbers)
    assert page.count('class="proved"') >= 2  # in the key, and of the made-up network's border 512
    # The paper's curves of resnet18 and bagnet33, on both sizes of screen, and the key's.
    assert page.count("line paper") == 2 * 2 + 1


def test_the_map_of_where_stands_beside_the_curve(tmp_path: Path) -> None:
    on_grid(network(1), right=20).write(written(tmp_path, net=network(1), other=network(2)) / "net")
    page = page_of(tmp_path)

    assert page.count('<figure class="where">') == 1
    svg = page.partition('<figure class="where">')[2].partition("</figure>")[0]
    shares = re.findall(r">(\d+)</text>", svg)
    assert shares == ["100", *["67"] * 8], "cell 0 is said of the ten sources that it does not tell"
    assert "random, in 3 x 3 cells at border 0: " in page
    assert "of 3.17, 70.4 (" in page
    assert page.count("<small>(map)</small>") == 1


def test_what_is_known_on_shifted_has_curves(page: str) -> None:
    assert "Accuracy along the diagonal" in page
    assert "100.0 (" in page
    assert "50.0 (" in page


def test_without_labels_there_is_no_curve(tmp_path: Path) -> None:
    page = page_of(written(tmp_path, a=shifted(1, labelled=False)))

    assert "Accuracy along the diagonal" not in page
    assert "No network has been evaluated on Quadrant ImageNet yet." in page


def test_a_network_has_its_figures_on_both_sets_in_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qi_datasets.evaluation.entry.check_data", lambda data: None)
    monkeypatch.setattr("qi_datasets.evaluation.invariants.track_sources", lambda name, track: None)
    demo = {"track": "demo"}
    written(tmp_path, a=network(1, data=demo), b=network(2, data=demo), c=shifted(1), d=shifted(2, padding="exact"))
    for name in ("c", "d"):
        entries.rewrite(tmp_path / name, lambda content: content["data"].update(demo), seal=True)

    board = Board.of(collect([tmp_path]))

    (track,) = board.quadrant
    crops = {row.found.name: board.crop(track, row) for row in track.rows}
    assert crops["b"] is None  # another padding is another network
    assert crops["a"] is not None
    assert crops["a"]["diagonal"]["value"] == pytest.approx(0.5)


def test_the_same_entries_are_the_same_page(folder: Path, page: str) -> None:
    assert page_of(folder) == page


def test_what_was_refused_is_listed(folder: Path, tmp_path: Path) -> None:
    written(tmp_path, good=network(1), **{"<i>bad": network(2)})
    (tmp_path / "<i>bad" / "entry.json").write_text('{"version": "<b>"}')

    page = page_of(tmp_path)

    assert "1 entry was refused" in page
    assert "<bdi>&lt;i&gt;bad</bdi>" in page
    assert "version is &#39;&lt;b&gt;&#39;" in page


def test_few_networks_are_chosen_for_the_figure(tmp_path: Path) -> None:
    made = {f"n{k}": network(k, read=ALL[: k % 8], missed=k // 8) for k in range(1, 12)}
    written(tmp_path, paper=network(20, name="resnet18", read=ALL[:4]), **made)
    (track,) = Board.of(collect([tmp_path])).quadrant

    rows = choose_networks(track.rows)

    scores = [row.score for row in rows]
    every = [row.score for row in track.rows if row.score is not None]
    assert len(rows) == 6
    assert "resnet18" in [row.model["name"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    drawable = complete_rows(track.rows)
    styles = styles_of(drawable, rows)
    assert sorted(styles) == list(range(len(drawable)))
    assert {styles[drawable.index(row)] for row in rows} == set(range(6)), "no two curves look alike at first"
    assert {max(every), min(every)} <= set(scores)


FINDINGS = {
    "nobody reads": ({"a": ()}, "0 of 1 networks tell the corners apart at 75 % or more."),
    "one reads": (
        {"a": (0,)},
        "1 of 1 networks tell the corners apart at 75 % or more, a (random) even across a border of 0 pixels "
        "(location score 0.14, reach 0).",
    ),
}


@pytest.mark.parametrize(("made", "words"), FINDINGS.values(), ids=FINDINGS)
def test_the_finding_follows_from_the_figures(made: dict[str, tuple[int, ...]], words: str, tmp_path: Path) -> None:
    written(tmp_path, **{name: network(k, name=name, read=read) for k, (name, read) in enumerate(made.items())})
    (track,) = Board.of(collect([tmp_path])).quadrant

    assert finding_sentence(track) == f"On other pictures, {words}"


COMMANDS = {
    "usual": ({}, "qi-eval made_up --output demo-sets --init random --seeds 2 --pool max --entry again"),
    "another padding": (
        {"padding": "exact", "weights": "my weights.pth"},
        "qi-eval made_up --output demo-sets --weights 'my weights.pth' --init random --seeds 2 --padding exact "
        "--pool max --entry again",
    ),
    "hostile": (
        {"name": "x; rm -rf ~"},
        "qi-eval 'x; rm -rf ~' --output demo-sets --init random --seeds 2 --pool max --entry again",
    ),
    "a flag": (
        {"name": "--help"},
        "qi-eval --output demo-sets --init random --seeds 2 --pool max --entry again -- --help",
    ),
}


@pytest.mark.parametrize(("model", "line"), COMMANDS.values(), ids=COMMANDS)
def test_the_command_makes_the_entry_again(model: dict[str, str], line: str) -> None:
    content = {**entries.entry().content}
    content["model"] = content["model"] | model
    content["data"] = content["data"] | {"track": "demo"}
    content["transform"] = content["transform"] | {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}

    assert commands(content) == ["qi-build --demo --set qi --output demo-sets --border 0", line]


def test_a_mean_and_deviation_of_its_own_are_in_the_command() -> None:
    content = {**entries.entry().content}
    content["data"] = content["data"] | {"track": "demo"}

    assert "--mean 0.5 0.5 0.5 --std 0.2 0.2 0.2 --entry" in commands(content)[1]


def test_a_command_compares_with_the_downloads() -> None:
    content = {**entries.entry().content}
    content["data"] = content["data"] | {"track": "official"}
    content["model"] = content["model"] | {"weights": "default"}

    assert comparison(content) == "qi-eval made_up --output sets --weights default --check FOLDER"
    assert commands(content)[0] == "qi-build --imagenet-val PATH --set qi --output sets --border 0"


def test_a_partial_run_is_in_the_table_alone(tmp_path: Path) -> None:
    near = network(2, name="net", read=(0, 16), borders=(0, 16), padding="exact")
    written(tmp_path, a=network(1, name="net", read=ALL[:4]), b=near)
    (track,) = Board.of(collect([tmp_path])).quadrant

    assert finding_sentence(track).endswith(
        "net (random) even across a border of 64 pixels (location score 0.57, reach 64)."
    )
    assert [row.score is None for row in choose_networks(track.rows)] == [False]
    assert "\N{GREATER-THAN OR EQUAL TO} 16</td>" in page_of(tmp_path)
    written(tmp_path / "alone", b=near)
    (track,) = Board.of(collect([tmp_path / "alone"])).quadrant
    assert finding_sentence(track) == "On other pictures, no network has been run at all seven borders yet."
    alone = page_of(tmp_path / "alone")
    assert "no network has been run at all seven borders yet" in alone
    assert 'data-n="location score"' in page_of(tmp_path)
    assert 'data-n="location score"' not in alone, "columns in which nothing stands are left out"
    assert 'data-n="location invariance"' not in alone


def test_no_command_makes_a_module_or_other_pictures_again() -> None:
    content = {**entries.entry().content}

    assert commands(content) == []
    content["data"] = content["data"] | {"track": "demo"}
    content["model"] = content["model"] | {"weights": "given"}
    assert commands(content) == []


def test_dead_branches_are_told_on_the_page(tmp_path: Path) -> None:
    """Beside the network's name, and in its entry; the figure of receptive fields leaves it out."""
    for number, dead in ((1, {}), (2, {}), (3, {"random": {"count": 8, "of": 8, "layers": ["layer1.0"]}})):
        entry = network(number, receptive_field=43)
        content = {**entry.content, **({"dead_branches": dead} if dead else {})}
        Entry.of({k: v for k, v in content.items() if k not in COMPUTED}, entry.predictions, {"total": 1.0}).write(
            tmp_path / f"{number}"
        )
    page = page_of(tmp_path)

    assert Parsed(page).texts.count("(8 of 8 branches dead)") == 1
    assert "All of its 8 residual branches add nothing (layer1.0)" in page
    figure = page[page.index('id="fields"') :]
    assert "network_1" in figure[: figure.index("</figure>")]
    assert "network_3" not in figure[: figure.index("</figure>")]


def test_every_column_of_the_page_is_explained(tmp_path: Path) -> None:
    network(1).write(tmp_path / "qi_1")
    network(2).write(tmp_path / "qi_2")
    shifted(3).write(tmp_path / "shifted")
    page = page_of(tmp_path)

    heads = re.findall(r'<th scope="col"[^>]*>(?:<button[^>]*>)?([^<]+)', page)
    plain = {" ".join(head.replace("\N{SOFT HYPHEN}", "").replace("&nbsp;", " ").split()) for head in heads}
    numbers = {head for head in plain if head.isdecimal()}
    assert numbers
    assert plain - numbers <= set(COLUMNS)
    assert all(f"<dt>{name}<dd>" in page.replace("&#39;", "'") for name in COLUMNS)
