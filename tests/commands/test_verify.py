"""`qi-verify`: options in, tables out, exit status."""

import contextlib
import json
import os
import pty
import re
import shutil
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from qi_datasets.building.build import build_set
from qi_datasets.building.plan import plan_set
from qi_datasets.commands.verify import main, show_pins
from qi_datasets.specs import CORNER, ROOK
from qi_datasets.verification.verify import verify
from tests.forks import call_forked


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    for spec in (ROOK, CORNER):
        build_set(plan_set(spec), root)
    return root


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def spoil(root):
    path = root / "rook" / "README.md"
    path.write_text(path.read_text() + " ")


def test_a_good_folder_prints_tables_and_ends_with_0(sets):
    pytest.importorskip("torch")
    result = run(sets)
    assert result.exit_code == 0, result.output
    rook, corner, last = result.output.splitlines()
    assert re.fullmatch(r"rook: \d+ pass", rook)
    assert re.fullmatch(r"corner: \d+ pass", corner)
    assert last.startswith("Nothing failed. ")
    assert "checks in" in result.output.splitlines()[-1]


def test_pins_are_lines_of_the_spec_table(sets, tmp_path, capsys):
    result = run(sets, "--pins")
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("rook: no pins, since they are there\ncorner: no pins, since they are there\n")

    found = verify(sets, only="integrity", progress=False)
    told = found.sets[0].provenance | {"pixels": "unverified", "track": "unverified", "caveat": "rook: unverified"}
    unverified = replace(found, sets=(replace(found.sets[0], provenance=told),))
    show_pins(unverified)
    digest = ROOK.digests["train"]
    lines = f'rook: for rook in qi_datasets/specs.py\n    digests={{\n        "train": "{digest}",\n    }},\n'
    assert capsys.readouterr().out == lines
    assert unverified.verdict == "Nothing failed; rook: unverified"

    spoilt = shutil.copytree(sets, tmp_path / "spoilt")
    spoil(spoilt)
    assert "rook: no pins, since a check failed" in run(spoilt, "--pins").stdout
    assert run(sets, "--pins", "--seeds", 2).exit_code == 2


def test_verbose_prints_every_check_table_and_digest(sets):
    pytest.importorskip("torch")
    result = run(sets, "--verbose")
    assert "same reads" in result.output
    assert "corner: maximum of the feature map" in result.output
    assert f"default train {ROOK.digests['train']}" in result.output
    assert run(sets, "--verbose", "--quiet").exit_code == 2


@pytest.mark.parametrize("columns", [40, 80])
def test_no_line_is_wider_than_the_terminal(sets, columns):
    pytest.importorskip("torch")
    ended = call_forked(verify_in_a_terminal, sets, columns)
    assert ended.exit_code == 0
    shown = ended.stdout
    lines = [line for line in shown.splitlines() if "\r" not in line and "it/s" not in line]
    digests = [line for line in lines if "default train" in line]
    assert lines
    assert max(len(line) for line in lines if line not in digests) <= columns


def verify_in_a_terminal(sets, columns):
    os.environ["COLUMNS"] = str(columns)
    child, terminal = pty.fork()
    if child == 0:
        with contextlib.suppress(SystemExit):
            main([str(sets), "--verbose"])
        sys.stdout.flush()
        os._exit(0)
    with contextlib.suppress(OSError):  # so ends what is read from a terminal on Linux
        while shown := os.read(terminal, 65536):
            os.write(1, shown)
    os.waitpid(child, 0)


def test_a_failed_check_ends_with_1_and_says_why(tmp_path):
    build_set(plan_set(ROOK), tmp_path)
    spoil(tmp_path)
    result = run(tmp_path, "--only", "integrity")
    assert result.exit_code == 1
    assert "fail: rook, files: README.md has" in result.output


def test_quiet_prints_failures_alone(tmp_path):
    build_set(plan_set(ROOK), tmp_path)
    assert run(tmp_path, "--only", "integrity", "--quiet").output == ""
    spoil(tmp_path)
    result = run(tmp_path, "--only", "integrity", "--quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("fail: rook, files: README.md")
    _, remedy = result.stderr.splitlines()
    assert "qi-build --set NAME --force" in remedy


def test_json_and_report_are_written(sets, tmp_path):
    result = run(sets, "--set", "corner", "--json", tmp_path / "r.json", "--report", tmp_path / "page")
    assert result.exit_code in (0, 3)
    assert {check["set"] for check in json.loads((tmp_path / "r.json").read_text())["checks"]} == {"corner"}
    assert "<title>" in (tmp_path / "page" / "index.html").read_text()
    assert f"report: {tmp_path / 'page' / 'index.html'}" in result.output


def test_without_torch_it_ends_with_3(sets, monkeypatch):
    monkeypatch.setattr("qi_datasets.verification.verify.find_spec", lambda name: None)
    result = run(sets)
    assert result.exit_code == 3
    assert "not checked: rook, separability: torch is not installed" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "error: there are no sets in"),
        (["{sets}", "--set", "rock"], "did you mean 'rook'?"),
        (["{sets}", "--only", "half"], "only must be integrity or separability"),
        (["{sets}", "--seeds", "0"], "--seeds"),
        (["{sets}", "--set", "corner", "--only", "integrity", "--json", "{sets}"], "error: cannot write"),
    ],
)
def test_wrong_input_ends_with_2_and_one_line(sets, arguments, words):
    result = run(*(argument.format(sets=sets) for argument in arguments))
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_help_tells_the_exit_statuses():
    result = run("--help")
    assert result.exit_code == 0
    assert "could not be checked" in result.output
