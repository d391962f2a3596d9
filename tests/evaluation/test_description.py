"""Texts about a network: which are accepted, that they may change later, and that no figure changes with them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from qi_datasets.commands.evaluate import main
from qi_datasets.errors import EntryError, OptionError
from qi_datasets.evaluation.description import LONGEST, is_https, make_about, network_name
from qi_datasets.evaluation.entry import ENTRY, VERSION, Entry
from qi_datasets.evaluation.predictions import PREDICTIONS
from tests.evaluation import entries

WORDS = {
    "name": "Made-up net (ours)",
    "paper": "https://arxiv.org/abs/2003.07064",
    "code": "https://example.org/code?path=a%20b#readme",
    "authors": "Ada Lovelace, Björn Müller",
    "model_id": "lab/made-up.v1",
    "notes": "Trained for 90 epochs; 76.1 % top-1.",
}

FAULTS = {
    "no https": ("paper", "http://example.org", "begins with https://"),
    "a script": ("code", "javascript:alert(1)", "begins with https://"),
    "a name and a password": ("code", "https://a:b@example.org", "begins with https://"),
    "another port": ("code", "https://example.org:8443/", "begins with https://"),
    "no host": ("paper", "https:///abs/1", "begins with https://"),
    "a quote": ("paper", 'https://example.org/"onclick', "begins with https://"),
    "letters that look like others": ("paper", "https://пример.org", "begins with https://"),
    "a space": ("paper", "https://example.org/a b", "begins with https://"),
    "too long": ("name", "n" * 1_000_000, "at most 80 characters long, not 1000000"),
    "two lines": ("notes", "one\ntwo", "without control characters"),
    "an escape": ("authors", "\x1b[31mred", "without control characters"),
    "right to left": ("name", "net\u202e4202", "marks of the direction"),
    "an isolate": ("name", "net\u2067", "marks of the direction"),
    "nothing wide": ("name", "a\u200bb", "without control characters"),
    "empty": ("name", " ", "without spaces around it"),
    "no repository": ("model_id", "resnet18", "ORG/MODEL"),
    "a path": ("model_id", "../../etc/passwd", "ORG/MODEL"),
}


@pytest.mark.parametrize(("field", "text", "words"), FAULTS.values(), ids=FAULTS)
def test_words_that_are_refused(field: str, text: str, words: str, folder: Path) -> None:
    with pytest.raises(OptionError, match=words) as raised:
        make_about(**{field: text})
    assert str(raised.value).startswith(f"{field} must be ")
    assert len(str(raised.value)) < 200

    entries.rewrite(folder, lambda content: content.update(about={field: text}), seal=True)
    with pytest.raises(EntryError, match=rf"^about\.{field}") as refused:
        Entry.read(folder)
    assert len(str(refused.value)) < 300


def test_links_are_https_links_to_a_host() -> None:
    assert all(map(is_https, ("https://a.org", "https://a-b.example.org/x_y/(z)?q=1&r=%41#s")))
    assert not any(map(is_https, ("https://localhost", "//a.org", "HTTPS://[::1]/", "https://a.org\\@b.org", "")))


def test_words_change_and_nothing_else(folder: Path) -> None:
    before = Entry.read(folder)
    described = before.described(**WORDS)
    described.write(folder)
    after = Entry.read(folder)

    assert after.content["about"] == WORDS
    assert network_name(before.content) == "made_up"
    assert network_name(after.content) == WORDS["name"]
    changed = {name for name in after.content if after.content[name] != before.content.get(name)}
    assert changed == {"about", "seals"}
    seals = {name: seal for name, seal in after.content["seals"].items() if name != "about"}
    assert seals == before.content["seals"]
    assert after.described(notes="", name="Another").content["about"] == {
        **{name: text for name, text in WORDS.items() if name != "notes"},
        "name": "Another",
    }
    bare = after.described(**dict.fromkeys(LONGEST, ""))
    assert bare.content == before.content


def test_words_that_were_changed_by_hand_are_seen(folder: Path) -> None:
    Entry.read(folder).described(name="Ours").write(folder)
    entries.rewrite(folder, entries.put("about.name", "Theirs"))
    with pytest.raises(EntryError, match="the section about was changed after the entry was written"):
        Entry.read(folder)


@pytest.mark.parametrize("field", ["model.name", "data.layout", "run.device"])
def test_all_text_of_an_entry_is_plain(field: str, folder: Path) -> None:
    entries.rewrite(folder, entries.put(field, "a\u202eb"), seal=True)
    with pytest.raises(EntryError, match=f"^{field} has control characters"):
        Entry.read(folder)


def test_entries_of_version_1_are_read_and_described(folder: Path) -> None:
    entries.rewrite(folder, entries.put("version", "1.0"), seal=True)
    old = Entry.read(folder)
    old.described(name="Ours").write(folder)
    assert json.loads((folder / ENTRY).read_text())["version"] == VERSION
    assert Entry.read(folder).figures == old.figures


def test_the_command_describes_without_running(folder: Path) -> None:
    predictions = (folder / PREDICTIONS).read_bytes()

    shown = CliRunner().invoke(main, ["--describe", str(folder), "--name", "Ours", "--model-id", "lab/ours"])
    assert (shown.exit_code, shown.stdout) == (
        0,
        f"name: Ours\nmodel_id: lab/ours\n{folder}: described; its figures are as they were\n",
    )
    assert Entry.read(folder).content["about"] == {"name": "Ours", "model_id": "lab/ours"}
    assert (folder / PREDICTIONS).read_bytes() == predictions

    for arguments, words in (
        ([], "nothing is described; give one of name"),
        (["--name", "a\tb"], "error: --name must be one line of text"),
        (["--name", "Ours", "--border", "16"], "--border has no effect with --describe, which runs nothing."),
    ):
        refused = CliRunner().invoke(main, ["--describe", str(folder), *arguments])
        assert refused.exit_code == 2
        assert words in refused.stderr
