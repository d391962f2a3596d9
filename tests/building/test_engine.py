"""Work on threads and on a real Dask cluster: a scheduler and two worker processes on loopback."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from pkgutil import resolve_name

import pytest

from qi_datasets.building.build import build_set
from qi_datasets.building.engine import AHEAD, Engine, usable_cores
from qi_datasets.building.plan import plan_set
from qi_datasets.errors import OptionError, SourceError, WorkerError
from qi_datasets.sources import DemoSource
from qi_datasets.specs import QI
from tests.refusals import refused

PER_SPLIT = 15
START_SECONDS = 120
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}


def slow_square(number: int) -> int:
    """Returns a square, after a time that is longer for smaller numbers, so that results finish out of order."""
    time.sleep(0.002 * (20 - number))
    return number * number


def waited(number: int) -> int:
    time.sleep(0.2)
    return number


def kill_own_process(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def results(engine: Engine, work: Callable[[int], int], items: Iterable[int], batch: int = 1) -> list[int]:
    with engine.in_order(work, items, batch) as found:
        return list(found)


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("qi-datasets")]


@dataclass
class Cluster:
    address: str
    scheduler: ForkServerProcess
    workers: list[ForkServerProcess]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yields a cluster that tests share and don't change."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Yields a cluster of which parts are killed."""
    with running_cluster(tmp_path) as found:
        yield found


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    # Here, as the processes that other tests start would prepare forks that they don't need.
    from tests.forks import FORKS

    where = folder / "scheduler.json"

    def start(kind: str, *options: str) -> ForkServerProcess:
        words = ("--scheduler-file", str(where), "--no-dashboard", "--host", "127.0.0.1", *options)
        process = FORKS.Process(target=run_dask, args=(kind, words, folder / f"{kind}-{time.monotonic_ns()}.log"))
        process.start()
        return process

    scheduler = start("scheduler", "--port", "0")
    options = ("--no-nanny", "--nworkers", "1", "--nthreads", "1", "--local-directory", str(folder))
    workers = [start("worker", *options), start("worker", *options)]
    try:
        from distributed import Client

        with Client(scheduler_file=str(where), timeout=START_SECONDS) as client:
            client.wait_for_workers(2, timeout=START_SECONDS)
            address = client.scheduler.address
        yield Cluster(address, scheduler, workers)
    finally:
        for process in [*workers, scheduler]:
            process.kill()
            process.join()


def run_dask(kind: str, words: tuple[str, ...], log: Path) -> None:
    """Runs a program of Dask, in a process that has imported it; work that has killed two workers is given up."""
    import dask

    for number in (1, 2):
        os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
    dask.config.set({"distributed.scheduler.allowed-failures": 1})
    resolve_name(f"distributed.cli.dask_{kind}:main")(words)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return digests(tmp_path_factory.mktemp("local"), Engine(workers=1))


def digests(output: Path, engine: Engine) -> dict[str, str]:
    """Returns digests by config of a small demo QI built there by that engine."""
    splits = {"qi": dict.fromkeys(QI.splits, PER_SPLIT)}
    plan = plan_set(QI, DemoSource.of(3 * PER_SPLIT), splits=splits, borders=[16])
    manifest = build_set(plan, output, engine=engine).manifest
    return {name: config.digest for name, config in manifest.configs.items()}


@pytest.mark.crossed
@pytest.mark.parametrize("batch", [1, 3, 50])
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_results_have_the_order_of_the_items(workers: int, batch: int) -> None:
    assert results(Engine(workers), slow_square, range(20), batch) == [number**2 for number in range(20)]
    assert results(Engine(workers), slow_square, [], batch) == []


@pytest.mark.parametrize(("workers", "batch"), [(1, 1), (2, 3), (3, 2)])
def test_a_bounded_number_of_items_is_taken_ahead(workers: int, batch: int) -> None:
    taken: list[int] = []
    with Engine(workers).in_order(abs, (taken.append(n) or n for n in range(1000)), batch) as found:
        assert next(found) == 0
        assert len(taken) == batch * (AHEAD * workers + 1), "so many wait, and one is done"
        for number in found:
            assert len(taken) <= number + batch * (AHEAD * workers + 2)
    assert len(taken) == 1000


def test_so_many_threads_work_at_once() -> None:
    all_there = threading.Barrier(3, timeout=START_SECONDS)

    def meet(number: int) -> int:
        return all_there.wait()

    assert sorted(results(Engine(3), meet, range(3))) == [0, 1, 2]


def refuse_seven(number: int) -> int:
    """Returns the number, but refuses 7."""
    if number == 7:
        raise SourceError("7 is damaged")
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_ours_comes_alone_and_stops_the_work(workers: int) -> None:
    taken: list[int] = []
    done: list[int] = []

    with (
        pytest.raises(SourceError, match="7 is damaged") as raised,
        Engine(workers).in_order(refuse_seven, (taken.append(n) or n for n in range(1000))) as found,
    ):
        done.extend(found)

    assert done == list(range(7))
    assert len(taken) < 50
    assert raised.value.__context__ is None
    assert not our_threads()


@pytest.mark.parametrize("batch", [1, 50])
def test_whoever_stops_asking_stops_the_work(batch: int) -> None:
    begun: list[int] = []

    def noted(number: int) -> int:
        begun.append(number)
        time.sleep(0.005)
        return number

    def first_of_many() -> int:
        with Engine(2).in_order(noted, range(400), batch) as found:
            return next(found)

    assert first_of_many() == 0

    assert len(begun) < 150
    assert not our_threads()


def test_an_interrupted_run_ends_soon_and_without_a_traceback_of_its_threads() -> None:
    script = (
        "import time; from qi_datasets.building.engine import Engine\n"
        "def work(number): print(number, flush=True); time.sleep(0.2)\n"
        "try:\n"
        "  with Engine(2).in_order(work, range(1000), 100) as found: list(found)\n"
        "except KeyboardInterrupt: print('interrupted')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=START_SECONDS)
    assert len(output.splitlines()) < 100, "of a thousand items"
    assert (output.splitlines()[-1], errors, process.returncode) == ("interrupted", "", 0)


def test_a_damaged_image_among_many_leaves_no_traceback(tmp_path: Path) -> None:
    script = (
        "from tests.building.test_engine import refuse_seven, results; from qi_datasets.building.engine import Engine\n"
        "from qi_datasets.errors import QIDatasetsError\n"
        "try: results(Engine(2), refuse_seven, range(1000))\n"
        "except QIDatasetsError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert (done.stdout, done.stderr) == ("7 is damaged\n", "")


def test_processes_give_results_in_order_and_errors_of_ours() -> None:
    engine = Engine(2, processes=True)

    with engine.in_order(square_and_process, range(20), 3) as found:
        squares, processes = zip(*found, strict=True)
    assert squares == tuple(number**2 for number in range(20))
    assert os.getpid() not in processes
    with pytest.raises(SourceError, match="7 is damaged"):
        results(engine, refuse_seven, range(1000))
    with pytest.raises(WorkerError, match="a process that did part of the work was killed"):
        results(engine, kill_own_process, range(2))


def square_and_process(number: int) -> tuple[int, int]:
    return slow_square(number), os.getpid()


def start_in_own_group(script: str, **environment: str) -> subprocess.Popen[str]:
    """Starts a script in a process group of its own, as a terminal does for each command."""
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT | environment,
        start_new_session=True,
    )


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_the_one_that_started_them(number: signal.Signals, tmp_path: Path) -> None:
    script = (
        "from tests.building.test_engine import note_own_process; from qi_datasets.building.engine import Engine\n"
        "from functools import partial\n"
        "try:\n"
        f"  work = partial(note_own_process, {str(tmp_path)!r})\n"
        "  with Engine(2, processes=True).in_order(work, range(1000)) as found: list(found)\n"
        "except KeyboardInterrupt: print('interrupted')"
    )
    process = start_in_own_group(script)
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)

    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.kill()

    output, errors = process.communicate(timeout=START_SECONDS)
    if number == signal.SIGINT:
        assert (output, errors) == ("interrupted\n", "")
    wait_until(lambda: not any(map(is_alive, tmp_path.iterdir())))


def test_the_server_imports_for_its_processes() -> None:
    script = (
        "import sys; from tests.building.test_engine import results, has_colorsys\n"
        "from qi_datasets.building.engine import Engine, start_server\n"
        "start_server('colorsys')\n"
        "print(results(Engine(2, processes=True), has_colorsys, range(3)), 'colorsys' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert (done.stdout, done.stderr) == (f"{[usable_cores() > 1] * 3} False\n", "")


def has_colorsys(number: int) -> bool:
    return "colorsys" in sys.modules


@pytest.mark.faults
@pytest.mark.skipif(usable_cores() < 2, reason="there is no server on one core")
def test_ctrl_c_does_not_reach_the_server_while_it_imports(tmp_path: Path) -> None:
    module = "import os, pathlib, time\npathlib.Path(__file__).with_name(str(os.getpid())).touch()\ntime.sleep(1)"
    (tmp_path / "slow.py").write_text(module)
    script = (
        "import time; from qi_datasets.building.engine import start_server\n"
        "try: start_server('slow'); time.sleep(30)\n"
        "except KeyboardInterrupt: print('interrupted')"
    )
    process = start_in_own_group(script, PYTHONPATH=os.pathsep.join([str(tmp_path), ENVIRONMENT["PYTHONPATH"]]))
    wait_until(lambda: any(file.name.isdigit() for file in tmp_path.iterdir()))

    os.killpg(process.pid, signal.SIGINT)

    assert process.communicate(timeout=START_SECONDS) == ("interrupted\n", "")
    wait_until(lambda: not any(is_alive(file) for file in tmp_path.iterdir() if file.name.isdigit()))


def note_own_process(folder: str, number: int) -> int:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(0.05)
    return number


def is_alive(file: Path) -> bool:
    try:
        os.kill(int(file.name), 0)
    except ProcessLookupError:
        return False
    return True


def test_no_scheduler_is_one_of_our_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("qi_datasets.building.engine.CLUSTER_SECONDS", 1)
    with refused(OptionError, "no-cluster", match="cannot reach a Dask scheduler"):
        results(Engine(dask="tcp://127.0.0.1:9"), slow_square, range(2))


def test_a_cluster_without_workers_is_one_of_our_errors(own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Client

    monkeypatch.setattr("qi_datasets.building.engine.CLUSTER_SECONDS", 1)
    with Client(own_cluster.address) as client:
        for worker in own_cluster.workers:
            worker.kill()
        wait_until(lambda: not client.scheduler_info()["workers"])
    with pytest.raises(WorkerError, match="has no workers"):
        results(Engine(dask=own_cluster.address), slow_square, range(2))


@pytest.mark.faults
def test_work_that_kills_its_workers_is_one_of_our_errors(own_cluster: Cluster) -> None:
    with pytest.raises(WorkerError, match="died again and again"):
        results(Engine(dask=own_cluster.address), kill_own_process, range(1))


@pytest.mark.faults
def test_a_scheduler_that_dies_is_one_of_our_errors(own_cluster: Cluster) -> None:
    def kill_after_the_first() -> None:
        with Engine(dask=own_cluster.address).in_order(waited, range(50)) as found:
            next(found)
            own_cluster.scheduler.kill()
            list(found)

    with pytest.raises(WorkerError, match="was lost"):
        kill_after_the_first()


@pytest.mark.parametrize("batch", [1, 16])
def test_an_error_of_ours_crosses_the_cluster(cluster: Cluster, batch: int) -> None:
    with pytest.raises(SourceError, match="7 is damaged"):
        results(Engine(dask=cluster.address), refuse_seven, range(1000), batch)


def test_dask_gives_the_same_digests(cluster: Cluster, expected: dict[str, str], tmp_path: Path) -> None:
    assert digests(tmp_path / "sets", Engine(dask=cluster.address)) == expected


@pytest.mark.faults
def test_dask_gives_the_same_digests_after_a_worker_was_killed(
    own_cluster: Cluster, expected: dict[str, str], tmp_path: Path
) -> None:
    from distributed import Client

    with Client(own_cluster.address) as client, ThreadPoolExecutor(1) as beside:
        build = beside.submit(digests, tmp_path / "sets", Engine(dask=own_cluster.address))
        wait_until(lambda: build.done() or any(client.processing().values()))
        assert not build.done()
        own_cluster.workers[0].kill()
        wait_until(lambda: len(client.scheduler_info()["workers"]) == 1)
        assert build.result(START_SECONDS) == expected


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)
