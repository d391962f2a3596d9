"""Interrupted runs, and several runs that share their work: always the same entry."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qi_datasets import evaluate
from qi_datasets.errors import OptionError
from qi_datasets.evaluation.arguments import EvaluationRequest
from qi_datasets.evaluation.design import design_of
from qi_datasets.evaluation.entry import Entry
from qi_datasets.evaluation.evaluate import merge_parts, read_data
from qi_datasets.evaluation.work_folder import Part, Unit, Workplace
from tests.conftest import BuildOnce
from tests.evaluation import networks
from tests.evaluation.jobs import started, status

BORDERS = [0, 3, 16]


@pytest.fixture(scope="module")
def whole(sets: Path, build_once: BuildOnce) -> Path:
    """Returns the entry of an undisturbed run."""

    def fill(folder: Path) -> None:
        assert status(started(folder / "entry", sets)) == 0

    return build_once("whole_run", fill) / "entry"


def files_of(folder: Path) -> dict[str, object]:
    """Returns the files of an entry: bytes, without the seconds."""
    content = json.loads((folder / "entry.json").read_text())
    del content["seconds"]
    assert {path.name for path in folder.iterdir()} == {"entry.json", "predictions.parquet"}
    return {"entry": json.dumps(content), "predictions": (folder / "predictions.parquet").read_bytes()}


@pytest.mark.faults
@pytest.mark.parametrize("moments", [(0, 3, 1, 5), pytest.param((2, 4, 9, 7, 8, 6), marks=pytest.mark.slow)])
def test_a_run_that_is_killed_again_and_again_gives_the_same_entry(
    moments: tuple[int, ...], whole: Path, sets: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "entry"
    for moment in moments:
        assert status(started(folder, sets, moment)) == -signal.SIGKILL
        assert not (folder / "entry.json").exists()

    assert status(started(folder, sets)) == 0

    assert files_of(folder) == files_of(whole)


def test_a_damaged_part_counts_as_not_there(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "entry")
    place.open({"task": "qi"}, ())
    for name in ("whole", "cut", "empty", "without_notes"):
        place.do(Unit(name, lambda: Part(pa.table({"a": list(range(1000))}))))
    for name, size in {"cut": 300, "empty": 0}.items():
        place.path(name).write_bytes(place.path(name).read_bytes()[:size])
    pq.write_table(pa.table({"a": [1]}), place.path("without_notes"))

    again = Workplace(tmp_path / "entry")
    again.open({"task": "qi"}, ())

    assert [name for name in ("whole", "cut", "empty", "without_notes") if again.has(name)] == ["whole"]


def test_jobs_that_share_a_folder_give_the_same_entry(whole: Path, sets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "entry"
    jobs = [started(folder, sets) for _ in range(3)]

    assert [status(job) for job in jobs] == [0, 0, 0]

    assert files_of(folder) == files_of(whole)


def test_jobs_share_their_units(sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit that another process holds is left to it, and taken over when that process is dead."""
    monkeypatch.setattr("qi_datasets.evaluation.quadrant.CHUNK", 5)
    folder = tmp_path / "entry"
    design = small_design()
    data = read_data(design, sets, None, progress=False)
    place = Workplace(folder)
    work = begun(design, data, place)
    held, *others = work.open_units()
    done: list[str] = []
    with place._claimed(held) as mine:
        assert mine
        place.work(work.open_units, lambda unit: done.append(unit.name), wait=False)
    assert held.name not in done
    assert {unit.name for unit in others} <= set(done)
    place.work(work.open_units, lambda unit: done.append(unit.name), wait=False)
    assert held.name in done
    assert len(done) == len(set(done))


def small_design(borders: list[int] | None = None):
    return design_of(networks.reader, EvaluationRequest(borders=borders or BORDERS, seeds=1, device="cpu"))


def begun(design, data, place: Workplace):
    from qi_datasets.evaluation.quadrant import QuadrantWork
    from qi_datasets.evaluation.settings import MAY_DIFFER, settings_of

    place.open(settings_of(design, data.facts), MAY_DIFFER)
    return QuadrantWork(design, data, place)


def test_what_is_finished_can_be_put_together_early(sets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "entry"
    design = small_design()
    data = read_data(design, sets, None, progress=False)
    place = Workplace(folder)
    work = begun(design, data, place)
    with pytest.raises(OptionError, match=r"nothing in .* can be put together yet"):
        merge_parts(design, data, folder)
    while not place.has("random-0003-0000-answers"):
        place.do(next(unit for unit in work.open_units() if "-0003-" in unit.name))

    early = merge_parts(design, data, folder)

    assert list(early.figures["random"]["borders"]) == ["3"]
    assert Entry.read(folder).content == early.content
    later = evaluate(networks.reader, output=sets, borders=BORDERS, seeds=1, entry=folder)
    assert list(later.figures["random"]["borders"]) == ["0", "3", "16"]
    assert later.figures["random"]["borders"]["3"]["accuracy"] == early.figures["random"]["borders"]["3"]["accuracy"]
    assert merge_parts(design, data, folder).content == later.content


def test_unfinished_work_of_another_evaluation_is_left_alone(sets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "entry"
    design = small_design()
    begun(design, read_data(design, sets, None, progress=False), Workplace(folder))

    with pytest.raises(OptionError, match=r"holds another evaluation: its protocol.borders"):
        evaluate(networks.reader, output=sets, borders=[0], seeds=1, entry=folder)


@pytest.mark.slow
def test_ranks_of_torchrun_share_the_work(whole: Path, sets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "entry"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "tests.evaluation.jobs"]
    ran = subprocess.run([*command, folder, sets], check=False, env=os.environ | {"PYTHONPATH": str(Path.cwd())})
    assert ran.returncode == 0

    assert files_of(folder) == files_of(whole)
