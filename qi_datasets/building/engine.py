"""Runs work on this machine's threads or on a Dask cluster; what comes out has the order of what went in."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from qi_datasets.errors import OptionError, WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4
"""Items per worker that are handed out before their results are asked for."""

TURN_SECONDS = 0.0005
"""How long a thread that comes from Pillow waits at most before it is given the interpreter; Python's own value, ten
times as much, is longer than decoding takes."""

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

    @contextmanager
    def in_order(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Iterator[Result]]:
        """An iterator over `work` of each item, a few items ahead, so that memory doesn't grow with their number.

        However the `with` block ends, what was handed out and not begun is dropped, and what runs is awaited: no thread
        outlives it.
        Raises what `work` raises, OptionError when there is no cluster, WorkerError when a cluster fails.
        """
        with self._executor() as (executor, workers):
            pending: deque[Future[Result]] = deque()
            try:
                yield _results(executor, work, iter(items), pending, AHEAD * workers)
            finally:
                for future in pending:
                    future.cancel()
                wait(pending)

    @contextmanager
    def _executor(self) -> Iterator[tuple[Executor, int]]:
        """Where to submit work, and how many workers there are."""
        if self.dask is not None:
            with _cluster(self.dask) as found:
                yield found
        else:
            workers = self.workers or usable_cores()
            with _short_turns(), ThreadPoolExecutor(workers, thread_name_prefix="qi-datasets") as threads:
                yield threads, workers


def _results(
    executor: Executor,
    work: Callable[[Item], Result],
    items: Iterator[Item],
    pending: deque[Future[Result]],
    ahead: int,
) -> Iterator[Result]:
    """The results in the order of the items; at most `ahead` futures are in `pending`."""
    pending.extend(executor.submit(work, item) for item in islice(items, ahead))
    while pending:
        result = pending[0].result()
        pending.popleft()
        pending.extend(executor.submit(work, item) for item in islice(items, 1))
        yield result


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
            client.wait_for_workers(1, timeout=CLUSTER_SECONDS)  # type: ignore[no-untyped-call]
        except TimeoutError as error:
            raise WorkerError(f"the Dask cluster at {address!r} has no workers; start some and try again") from error
        try:
            yield client.get_executor(), sum(client.nthreads().values())
        except KilledWorker as error:
            raise WorkerError(f"Dask workers died again and again over the same images ({error})") from error
        except CancelledError as error:
            raise WorkerError(f"the Dask cluster at {address!r} was lost; is its scheduler still running?") from error
