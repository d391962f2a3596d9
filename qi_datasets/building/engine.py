"""Runs work on this machine's threads or on a Dask cluster; what comes out has the order of what went in."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from threading import Event
from typing import TypeVar

from qi_datasets.errors import OptionError, WorkerError
from qi_datasets.set_spec import IntegerOption

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4
"""Batches per worker that are handed out before their results are asked for."""

TURN_SECONDS = 0.0005
"""How long a thread that comes back from Pillow waits at most before it is given the interpreter. Python's own value,
ten times as much, is longer than decoding a photograph takes."""

MOST_WORKERS = 1024

CLUSTER_SECONDS = 10
"""How long a scheduler, and then a first worker, may take to answer."""


@dataclass(frozen=True)
class Engine:
    """Where work is done.

    workers: threads of this machine, default one per core that the process may use.
    dask: address of a scheduler, whose cluster does the work instead.
    """

    workers: int | None = None
    dask: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None:
            IntegerOption("workers", default=1, low=1, high=MOST_WORKERS).check(self.workers)

    @contextmanager
    def in_order(
        self, work: Callable[[Item], Result], items: Iterable[Item], batch: int = 1
    ) -> Iterator[Iterator[Result]]:
        """An iterator over `work` of each item, some items ahead, so that memory doesn't grow with their number.

        However the `with` block ends, by an error or by Ctrl-C too, what has not begun is dropped, and what runs ends
        with the item at hand; no thread outlives the block.

        work: called in other threads, or on other machines: then it, items and results are pickled.
        items: taken as they are needed, by the caller's thread.
        batch: how many items are handed over at a time.

        Raises what `work` raises, OptionError when there is no cluster, WorkerError when a cluster fails.
        """
        with self._executor() as (executor, workers, stopped):
            pending: deque[Future[list[Result]]] = deque()
            try:
                yield _results(
                    executor, partial(_each, work, stopped), _batches(items, batch), pending, AHEAD * workers
                )
            finally:
                if stopped is not None:
                    stopped.set()
                for future in pending:
                    future.cancel()

    @contextmanager
    def _executor(self) -> Iterator[tuple[Executor, int, Event | None]]:
        """Where to submit work, how many workers there are, and what tells them to stop."""
        if self.dask is not None:
            with _cluster(self.dask) as (executor, workers):
                yield executor, workers, None
        else:
            workers = self.workers or usable_cores()
            with _short_turns(), ThreadPoolExecutor(workers, thread_name_prefix="qi-datasets") as threads:
                yield threads, workers, Event()


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _each(work: Callable[[Item], Result], stopped: Event | None, items: list[Item]) -> list[Result]:
    """`work` of each item, until nobody waits for it."""
    results = []
    for item in items:
        if stopped is not None and stopped.is_set():
            break
        results.append(work(item))
    return results


def _results(
    executor: Executor,
    work: Callable[[list[Item]], list[Result]],
    batches: Iterator[list[Item]],
    pending: deque[Future[list[Result]]],
    ahead: int,
) -> Iterator[Result]:
    """The results in the order of the items; at most `ahead` futures are in `pending`."""
    pending.extend(executor.submit(work, batch) for batch in islice(batches, ahead))
    while pending:
        results = pending[0].result()
        pending.popleft()
        pending.extend(executor.submit(work, batch) for batch in islice(batches, 1))
        yield from results


@contextmanager
def _short_turns() -> Iterator[None]:
    """Lets Python's threads take turns at short intervals while the block runs."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, TURN_SECONDS))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def usable_cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity
        return os.cpu_count() or 1


@contextmanager
def _cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """A Dask cluster and its number of threads; its failures are errors of ours."""
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise OptionError("a Dask cluster needs the extra dask: pip install 'qi-datasets[dask]'") from error
    try:
        client = Client(address, timeout=CLUSTER_SECONDS)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise OptionError(
            f"cannot reach a Dask scheduler at {address!r}; give its address, e.g. tcp://host:8786"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CLUSTER_SECONDS)
        except TimeoutError as error:
            raise WorkerError(f"the Dask cluster at {address!r} has no workers; start some and try again") from error
        try:
            threads = sum(client.nthreads().values())  # type: ignore[no-untyped-call]
            yield client.get_executor(pure=False), threads  # type: ignore[no-untyped-call]
        except KilledWorker as error:
            raise WorkerError(f"Dask workers died again and again over the same images ({error})") from error
        except CancelledError as error:
            raise WorkerError(f"the Dask cluster at {address!r} was lost; is its scheduler still running?") from error
