"""`qi-eval`: what it prints, what it writes, and every bad input in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from qi_datasets.commands.evaluate import main
from qi_datasets.evaluation.entry import Entry
from tests.evaluation import entries
from tests.forks import call_forked

torch = pytest.importorskip("torch")

NET = "tests.evaluation.networks:reader"


def run_command(arguments: list[str]) -> None:
    main(arguments)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def evaluated(sets: Path, *arguments: object) -> Result:
    return run(NET, "--output", sets, "--border", 0, "--border", 16, "--seeds", 1, *arguments)


def test_a_run_shows_its_figures_and_writes_its_entry(sets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "entry"
    shown = evaluated(sets, "--entry", folder)

    assert shown.exit_code == 0, shown.output
    entry = Entry.read(folder)
    at = entry.figures["random"]["borders"]["0"]
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    low, high = (f"{100 * at[end]:.1f}" for end in ("low", "high"))
    assert f"0 {at['verdict']} {100 * at['accuracy']:.1f} {low} to {high}" in "\n".join(lines)
    assert any(line.startswith("16 proved 50.0") for line in lines)
    assert "location score unknown (2 of 7 borders), reach" in shown.stdout
    assert "track other, 12 sources" in shown.stdout
    assert "● random; = the corners are equal" in shown.stdout
    assert "tells the corners apart" in shown.stdout or "does not tell the corners apart" in shown.stdout
    assert shown.stdout.endswith(f"entry: {folder}\n")
    assert max(map(len, shown.stdout.splitlines()[:-3])) <= 80


def test_quiet_shows_nothing(sets: Path) -> None:
    shown = evaluated(sets, "--quiet")
    assert (shown.exit_code, shown.output) == (0, "")


def test_the_list_names_models_and_tasks() -> None:
    shown = run("--list")
    assert shown.exit_code == 0
    assert "  bagnet33\n" in shown.stdout
    assert "  qi: up to which border" in shown.stdout


def test_a_dry_run_estimates_each_border_and_init(sets: Path, tmp_path: Path) -> None:
    shown = evaluated(sets, "--entry", tmp_path / "entry", "--dry-run", "--init", "random", "--init", "scratch")

    assert shown.exit_code == 0, shown.output
    header, _, *rows, last = shown.stdout.splitlines()
    assert header.split() == ["init", "seeds", "border", "time"]
    assert [row.split()[:3] for row in rows] == [
        [init, "1", border] for init in ("random", "scratch") for border in ("0", "16")
    ]
    assert all(row.split()[4] in ("s", "min") for row in (*rows, f"- - {last}"))
    assert last.split()[0] == "all"
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_shifted_estimates_each_mode(sets: Path) -> None:
    shown = run("tests.evaluation.networks:classifier", "--task", "shifted", "--output", sets, "--dry-run")

    assert shown.exit_code == 0, shown.output
    header, _, *rows, last = shown.stdout.splitlines()
    assert header.split() == ["init", "seeds", "mode", "time"]
    assert [row.split()[:3] for row in rows] == [["random", "5", mode] for mode in ("crop", "zero", "circular")]
    assert last.split()[0] == "all"


def test_an_entry_is_checked_by_running_it_again(sets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "entry"
    evaluated(sets, "--entry", folder, "--limit", 5)

    same = run(NET, "--output", sets, "--check", folder)
    assert (same.exit_code, same.stdout) == (0, f"{folder}: the same, 20 answers\n")
    other = run("tests.evaluation.networks:two_logits", "--output", sets, "--check", folder)
    assert other.exit_code == 1
    assert other.stdout.startswith("differs: model differs: name, weights_sha256")
    refused = run("--output", sets, "--check", folder)
    assert refused.exit_code == 2
    assert "is of a network that no library has: give its MODEL too" in refused.stderr


def test_an_entry_of_a_library_names_its_model_itself(sets: Path, tmp_path: Path) -> None:
    """squeezenet1_0 is a network of torchvision."""
    folder = tmp_path / "entry"
    made = run("squeezenet1_0", "--output", sets, "--border", 0, "--seeds", 1, "--limit", 2, "--entry", folder)
    assert made.exit_code == 0, made.output

    assert run("--output", sets, "--check", folder).stdout == f"{folder}: the same, 4 answers\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((NET, "--check", "nowhere"), "nowhere/entry.json is missing"),
        ((NET, "--check", "nowhere", "--border", 0), "--border has no effect with --check"),
        ((NET, "--check", "nowhere", "--merge"), "--merge has no effect with --check"),
        ((NET, "--list"), "MODEL has no effect with --list"),
        (("--refresh", "nowhere", "--seeds", 3), "--seeds has no effect with --refresh"),
    ],
)
def test_what_has_no_effect_is_refused(arguments: tuple[object, ...], message: str) -> None:
    shown = run(*arguments)

    assert shown.exit_code == 2
    assert message in shown.stderr


def test_a_plot_is_drawn_with_the_curve_of_the_paper(sets: Path, tmp_path: Path) -> None:
    assert evaluated(sets, "--plot", tmp_path / "curve.svg").exit_code == 0
    assert "<svg" in (tmp_path / "curve.svg").read_text()
    refused = evaluated(sets, "--plot", tmp_path / "curve.doc")
    assert refused.exit_code == 2
    assert "give a name that ends in .png, .svg or .pdf" in refused.stderr


def test_entries_are_refreshed(tmp_path: Path) -> None:
    entries.entry().write(tmp_path / "net")
    entries.rewrite(tmp_path / "net", lambda content: content.update(package_version="0.0.9"), seal=True)

    shown = run("--refresh", tmp_path)
    assert (shown.exit_code, shown.stdout) == (0, f"{tmp_path}: 0 of 1 entries rewritten\n")
    nothing = run("--refresh", tmp_path / "none")
    assert (nothing.exit_code, "there are no entries in" in nothing.stderr) == (2, True)
    assert run(NET, "--refresh", tmp_path).exit_code == 2


def test_results_for_the_hub(sets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "entry"
    shown = run(NET, "--output", sets, "--seeds", 1, "--limit", 4, "--entry", folder, "--dataset-id", "org/qi")

    assert shown.exit_code == 0, shown.output
    (result,) = yaml.safe_load((folder / ".eval_results" / "qi.yaml").read_text())
    score = Entry.read(folder).figures["random"]["location_score"]["value"]
    assert result["dataset"] == {"id": "org/qi", "task_id": "qi_random"}
    assert result["value"] == pytest.approx(100 * (1 - max(0, score)), abs=1e-4)
    refused = evaluated(sets, "--entry", tmp_path / "some", "--dataset-id", "org/qi")
    assert "no figure for the Hub" in refused.stderr


def test_work_that_is_finished_is_put_together(sets: Path, tmp_path: Path) -> None:
    refused = evaluated(sets, "--entry", tmp_path / "entry", "--merge")
    assert refused.exit_code == 2
    assert "can be put together yet" in refused.stderr
    evaluated(sets, "--entry", tmp_path / "entry")
    assert evaluated(sets, "--entry", tmp_path / "entry", "--merge").exit_code == 0


def test_other_tasks_show_theirs(sets: Path) -> None:
    shown = run(
        "tests.evaluation.networks:classifier", "--task", "shifted", "--output", sets, "--limit", 1, "--seeds", 1
    )
    assert shown.exit_code == 0, shown.output
    assert [line.split()[0] for line in shown.stdout.splitlines()[3:6]] == ["crop", "zero", "circular"]
    assert "warning: fewer than 10 classes are answered" in shown.stdout
    assert "no top-1: the images' classes are not known" in shown.stdout
    shown = run(NET, "--task", "corner", "--output", sets, "--seeds", 1)
    assert "solved" in shown.stdout


BAD: dict[str, tuple[tuple[object, ...], str]] = {
    "a misspelt model": (("resnet81",), "no model is called 'resnet81' (did you mean 'resnet18'?)"),
    "a factory that is not there": (("tests.evaluation.networks:nothing",), "can't be imported: AttributeError"),
    "a factory that raises": (
        ("tests.evaluation.networks:raises",),
        "can't be made: RuntimeError: there is no network",
    ),
    "a factory without a module": (("tests.evaluation.networks:no_module",), "makes a str, not a torch.nn.Module"),
    "a map as answer": (("tests.evaluation.networks:with_map",), "must answer one vector for each image"),
    "one channel": (("tests.evaluation.networks:grey",), "takes images of 1 channels; the sets have 3"),
    "too small a border": (("tests.evaluation.networks:large_kernel",), "fails on an image of 120 x 120"),
    "features that are no numbers": (("tests.evaluation.networks:not_finite",), "not finite numbers at border 0"),
    "a dead network": (("tests.evaluation.networks:dead",), "the network is dead"),
    "an unknown task": (
        (NET, "--task", "qu"),
        "--task must be one of qi, shifted, red_green, rook, corner, not 'qu' (did you mean 'qi'?)",
    ),
    "an unknown init": ((NET, "--init", "frozen"), "--init must be one of"),
    "an init without weights": ((NET, "--init", "pretrained"), "needs weights: give --weights default"),
    "no weights": ((NET, "--weights", "nowhere.pt"), "'nowhere.pt' is no file"),
    "an unknown padding": ((NET, "--padding", "same"), "--padding must be one of own, full"),
    "too wide a border": ((NET, "--border", 5000), "border must be an integer from 0 to 4096, not 5000"),
    "a deviation of 0": ((NET, "--std", 0.2, 0, 0.2), "--std must be above 0 for each channel, not (0.2, 0.0, 0.2)"),
    "no seeds": ((NET, "--seeds", 0), "--seeds must be a number of networks from 1, not 0"),
    "no sources": ((NET, "--limit", 0), "--limit must be a number of sources from 1, not 0"),
    "no dry run": (
        (NET, "--task", "corner", "--dry-run"),
        "times are estimated on qi and shifted; corner takes minutes at most",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line(arguments: tuple[object, ...], message: str, sets: Path) -> None:
    further = ("--border", 0) if "--border" not in arguments and "--task" not in arguments else ()
    shown = run(*arguments, "--output", sets, *further)

    assert shown.exit_code == 2, shown.output
    assert shown.stderr.startswith("error: ")
    assert len(shown.stderr.splitlines()) == 1
    assert message in shown.stderr


def test_a_set_that_is_not_there(tmp_path: Path) -> None:
    shown = run(NET, "--output", tmp_path)
    assert shown.exit_code == 2
    assert f"qi is not built in {tmp_path}" in shown.stderr


def test_an_entry_of_another_run(sets: Path, tmp_path: Path) -> None:
    entries.entry().write(tmp_path)
    shown = evaluated(sets, "--entry", tmp_path)

    assert shown.exit_code == 2
    assert "holds another evaluation" in shown.stderr
    assert json.loads((tmp_path / "entry.json").read_text())["model"]["name"] == "made_up"


@pytest.mark.faults
@pytest.mark.parametrize("begun", [True, False])
def test_a_run_that_is_stopped_says_that_it_goes_on(begun: bool, sets: Path, tmp_path: Path) -> None:
    """The network asks its own process to end."""
    folder = tmp_path / "entry"
    options = ["--output", sets, "--border", "0", "--dense", *(["--entry", folder] if begun else [])]
    stopping = "tests.evaluation.networks:stopping"
    shown = call_forked(run_command, [stopping, *map(str, options)])

    assert shown.exit_code == 143
    left = "the same command goes on where it was" if begun else "nothing unfinished is left"
    last = shown.stderr.splitlines()[-1]
    assert last.startswith("error: stopped by SIGTERM; ")
    assert last.endswith(left)
    assert (" parts were done" in last) is begun
    assert (folder / ".work").is_dir() is begun


USAGE = {
    "no model": ((), "Give a MODEL"),
    "merging nothing": ((NET, "--merge"), "--merge needs --entry"),
    "results nowhere": ((NET, "--dataset-id", "a/b"), "--dataset-id needs --entry"),
    "an unknown option": ((NET, "--bordr", 3), "--bordr"),
    "a border that is no number": ((NET, "--border", "x"), "--border"),
}


@pytest.mark.parametrize(("arguments", "message"), USAGE.values(), ids=USAGE)
def test_bad_usage_keeps_clicks_form(arguments: tuple[object, ...], message: str) -> None:
    shown = run(*arguments)
    assert shown.exit_code == 2
    assert shown.stderr.startswith("Usage: ")
    assert message in shown.stderr.splitlines()[-1]


def test_help_needs_no_torch(real_command) -> None:  # type: ignore[no-untyped-def]
    code = "import sys; import qi_datasets.commands.evaluate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert real_command("qi-eval", "--help").returncode == 0


def test_words_about_the_network_go_into_its_entry(sets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "entry"
    assert evaluated(sets, "--entry", folder, "--name", "Ours", "--code", "https://example.org/ours").exit_code == 0
    assert Entry.read(folder).content["about"] == {"name": "Ours", "code": "https://example.org/ours"}
    assert evaluated(sets, "--entry", folder, "--name", "Theirs").exit_code == 0
    assert Entry.read(folder).content["about"] == {"name": "Theirs", "code": "https://example.org/ours"}
    refused = evaluated(sets, "--entry", tmp_path / "other", "--paper", "http://example.org")
    assert "error: --paper must be a link that begins with https://" in refused.stderr
    assert not (tmp_path / "other").exists()
