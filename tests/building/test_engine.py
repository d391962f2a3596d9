"""Work on processes and on a real Dask cluster: a scheduler and two worker processes on loopback."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from qi_datasets.building.build import build_set
from qi_datasets.building.engine import Engine
from qi_datasets.building.plan import plan_set
from qi_datasets.errors import OptionError, SourceError, WorkerError
from qi_datasets.sources import DemoSource
from qi_datasets.specs import QI

PER_SPLIT = 60
START_SECONDS = 120


def slow_square(number: int) -> int:
    """A square that takes the longer the smaller the number, so that results finish out of order."""
    time.sleep(0.002 * (20 - number))
    return number * number


def kill_own_process(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@dataclass
class Cluster:
    address: str
    workers: list[subprocess.Popen[bytes]]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    where = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_{}", "--scheduler-file", str(where), "--no-dashboard"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}

    def start(kind: str, *options: str) -> subprocess.Popen[bytes]:
        words = [word.format(kind) for word in command]
        log = (tmp_path / f"{kind}-{time.monotonic_ns()}.log").open("wb")
        return subprocess.Popen([*words, *options], stdout=log, stderr=log, env=environment, start_new_session=True)

    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0")
    options = ("--nworkers", "1", "--nthreads", "1", "--host", "127.0.0.1", "--local-directory", str(tmp_path))
    workers = [start("worker", *options), start("worker", *options)]
    try:
        from distributed import Client

        with Client(scheduler_file=str(where), timeout=START_SECONDS) as client:
            client.wait_for_workers(2, timeout=START_SECONDS)
            address = client.scheduler.address
        yield Cluster(address, workers)
    finally:
        for process in [*workers, scheduler]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return digests(tmp_path_factory.mktemp("local"), Engine(workers=1))


def digests(output: Path, engine: Engine) -> dict[str, str]:
    """Digests by config of a small demo QI built there by that engine."""
    splits = {"qi": dict.fromkeys(QI.splits, PER_SPLIT)}
    plan = plan_set(QI, DemoSource.of(3 * PER_SPLIT), splits=splits, borders=[16])
    manifest = build_set(plan, output, engine=engine).manifest
    return {name: config.digest for name, config in manifest.configs.items()}


@pytest.mark.parametrize("workers", [1, 2])
def test_results_have_the_order_of_the_items(workers: int) -> None:
    assert list(Engine(workers).in_order(slow_square, range(20))) == [number**2 for number in range(20)]


def refuse_seven(number: int) -> int:
    """The number, but 7 is refused."""
    if number == 7:
        raise SourceError("7 is damaged")
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_ours_comes_alone_and_stops_the_work(workers: int) -> None:
    taken: list[int] = []
    done: list[int] = []

    with pytest.raises(SourceError, match="7 is damaged"):
        done.extend(Engine(workers).in_order(refuse_seven, (taken.append(n) or n for n in range(1000))))

    assert done == list(range(7))
    assert len(taken) < 500


def test_a_damaged_image_among_many_leaves_no_traceback(tmp_path: Path) -> None:
    script = (
        "from tests.building.test_engine import refuse_seven; from qi_datasets.building.engine import Engine\n"
        "from qi_datasets import *\n"
        "try: list(Engine(2).in_order(refuse_seven, range(1000)))\n"
        "except QIDatasetsError as error: print(error)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert (done.stdout, done.stderr) == ("7 is damaged\n", "")


def test_a_killed_process_is_one_of_our_errors() -> None:
    with pytest.raises(WorkerError, match="--workers 1"):
        list(Engine(2).in_order(kill_own_process, range(4)))


def test_no_scheduler_is_one_of_our_errors() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(OptionError, match="cannot reach a Dask scheduler"):
        list(Engine(dask="tcp://127.0.0.1:9").in_order(slow_square, range(2)))


def test_dask_gives_the_same_digests(cluster: Cluster, expected: dict[str, str], tmp_path: Path) -> None:
    assert digests(tmp_path / "sets", Engine(dask=cluster.address)) == expected


def test_dask_gives_the_same_digests_after_a_worker_was_killed(
    cluster: Cluster, expected: dict[str, str], tmp_path: Path
) -> None:
    from distributed import Client

    script = (
        "from pathlib import Path; from tests.building.test_engine import digests;"
        "from qi_datasets.building.engine import Engine;"
        f"print(sorted(digests(Path({str(tmp_path / 'sets')!r}), Engine(dask={cluster.address!r})).items()))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    build = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment)
    with Client(cluster.address) as client:
        wait_until(lambda: any(client.processing().values()))
        os.killpg(cluster.workers[0].pid, signal.SIGKILL)
        wait_until(lambda: len(client.scheduler_info()["workers"]) == 1)
    output, _ = build.communicate(timeout=START_SECONDS)
    assert build.returncode == 0
    assert output.decode().strip() == str(sorted(expected.items()))


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)
