"""Runs work in threads, in processes or on a Dask cluster, and yields the results in the order of the items."""

import gc
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from threading import BoundedSemaphore, Event, RLock, Thread
from typing import Any, TypeVar, overload

from qi_datasets.errors import OptionError, WorkerError
from qi_datasets.set_spec import IntegerOption

Item = TypeVar("Item")
Result = TypeVar("Result")
Final = TypeVar("Final")

AHEAD = 4
"""Batches per worker that are handed out before their results are asked for."""

_MOST_WORKERS = 1024

ONE_AT_A_TIME = RLock()
"""Held for work that keeps the interpreter busy. Threads that wait for this don't wait for the interpreter, which would
wake them whenever it is let go for a moment: thousands of times a second, and in vain."""

SERVER = "forkserver"
"""The way to start processes, on systems that have it."""

CLUSTER_SECONDS = 10
"""Seconds that a scheduler, and then a first worker, may take to answer."""


@dataclass(frozen=True)
class Engine:
    """The threads, processes or cluster that do the work.

    Attributes:
        workers: Number of threads or processes, default one per core that this process may use.
        dask: Address of the scheduler of a cluster that does the work instead.
        processes: Work in processes, which the interpreter's lock does not keep waiting for each other. They import
            the program's main module, so that it must guard what it runs by `if __name__ == "__main__"`.
    """

    workers: int | None = None
    dask: str | None = None
    processes: bool = False

    def __post_init__(self) -> None:
        if self.workers is not None:
            IntegerOption("workers", default=1, low=1, high=_MOST_WORKERS).check(self.workers)

    @overload
    def in_order(
        self, work: Callable[[Item], Result], items: Iterable[Item], batch: int = 1
    ) -> AbstractContextManager[Iterator[Result]]: ...

    @overload
    def in_order(
        self, work: Callable[[Item], Result], items: Iterable[Item], batch: int, then: Callable[[Result], Final]
    ) -> AbstractContextManager[Iterator[Final]]: ...

    @contextmanager
    def in_order(
        self,
        work: Callable[[Item], Result],
        items: Iterable[Item],
        batch: int = 1,
        then: Callable[[Result], Final] | None = None,
    ) -> Iterator[Iterator[Any]]:
        """Yields an iterator over `work` of each item, some items ahead, so that memory doesn't grow with their number.

        The first items are worked on before their results are asked for: the caller may do something else meanwhile.
        However the `with` block ends, by an error or by Ctrl-C too, what has not begun is dropped, and what runs ends
        after its present item; no thread outlives the block.

        Raises what `work` and `then` raise, OptionError when there is no cluster, WorkerError when a cluster or a
        process fails.

        Args:
            work: Called in other threads, in processes or on other machines: then it, items and results are pickled.
            items: Taken as they are needed, by the caller's thread.
            batch: How many items are handed over at a time.
            then: A function of each result, which is called on this machine before the result is yielded. It is for
                work that keeps the interpreter busy, so one thread at a time does it, while others go on with `work`.
        """
        pending: deque[Future[Any]] = deque()
        if self.dask is not None:
            with _cluster(self.dask, pending) as (submit, workers):
                results = _results(submit, partial(_each, work), _batches(items, batch), pending, AHEAD * workers)
                yield results if then is None else map(then, results)
            return
        workers = self.workers or usable_cores()
        if self.processes and workers > 1 and then is None:
            with _processes(workers, work) as executor:
                try:
                    yield _results(
                        executor.submit, _work_of_this_process, _batches(items, batch), pending, AHEAD * workers
                    )
                finally:
                    _cancel(pending)
            return
        # The one worker has a second thread at its side: it continues while its results are finished.
        threads = workers if then is None else max(2, workers)
        with ThreadPoolExecutor(threads, thread_name_prefix="qi-datasets") as executor:
            stopped = Event()
            both = partial(_run_in_turns, work, then, BoundedSemaphore(workers), stopped)
            try:
                yield _results(executor.submit, both, _batches(items, batch), pending, AHEAD * threads)
            finally:
                stopped.set()
                _cancel(pending)


def _cancel(pending: Iterable[Future[list[Result]]] | Iterable[Future[list[Final]]]) -> None:
    for future in pending:
        future.cancel()


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _each(work: Callable[[Item], Result], items: Iterable[Item], stopped: Event | None = None) -> list[Result]:
    """Returns `work` of each item, up to the first after which nobody waits for results."""
    results = []
    for item in items:
        if stopped is not None and stopped.is_set():
            break
        results.append(work(item))
    return results


def _run_in_turns(
    work: Callable[[Item], Result],
    then: Callable[[Result], Final] | None,
    at_work: BoundedSemaphore,
    stopped: Event,
    items: Iterable[Item],
) -> list[Result] | list[Final]:
    """Returns `work` of each item, then `then` of each result: in runs of one function its code stays in CPU caches.

    Args:
        work: The first part.
        then: The second part, None for none.
        at_work: Held by a thread while it does `work`, so that no more than the workers do.
        stopped: Set once nobody waits for results.
        items: The items.
    """
    with at_work:
        results = _each(work, items, stopped)
    if then is None:
        return results
    with ONE_AT_A_TIME:
        return _each(then, results, stopped)


def _results(
    submit: Callable[[Callable[[list[Item]], list[Result]], list[Item]], Future[list[Result]]],
    work: Callable[[list[Item]], list[Result]],
    batches: Iterator[list[Item]],
    pending: deque[Future[list[Result]]],
    ahead: int,
) -> Iterator[Result]:
    """Returns an iterator over the results in the order of the items; the first of them are worked on at once.

    Args:
        submit: Starts the work on a batch, somewhere else.
        work: The function of a batch.
        batches: Batches of items, taken as they are needed.
        pending: Futures that were handed out, in order.
        ahead: The largest number of pending futures.
    """

    def rest() -> Iterator[Result]:
        while pending:
            results = pending[0].result()
            pending.popleft()
            pending.extend(submit(work, batch) for batch in islice(batches, 1))
            yield from results

    pending.extend(submit(work, batch) for batch in islice(batches, ahead))
    return rest()


def has_server() -> bool:
    """Returns whether this system forks processes from a server."""
    return SERVER in multiprocessing.get_all_start_methods()


def start_server(module: str) -> None:
    """Starts the server of `Engine(processes=True)`, which imports a module of its work once for all processes.

    It does so while this process goes on. Without effect where it runs already, or where nothing is to gain.
    """
    if not has_server() or usable_cores() < 2:
        return
    from multiprocessing import forkserver, resource_tracker

    forkserver.set_forkserver_preload(["__main__", module])
    # Ctrl-C is for this process: the server inherits that it is blocked. The tracker, which the server would start
    # first, lets it through again once it runs.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _processes(workers: int, work: Callable[[Item], Result]) -> Iterator[Executor]:
    """Yields processes that do `work`, while the block runs; one that dies is an error of ours."""
    start_server(getattr(work, "func", work).__module__)
    # A fork of this process would hold its threads' locks for ever.
    context = multiprocessing.get_context(SERVER if has_server() else "spawn")
    with ProcessPoolExecutor(workers, context, _begin, (partial(_each, work),)) as executor:
        try:
            yield executor
        except BrokenProcessPool as error:
            raise WorkerError(
                "a process that did part of the work was killed: is there enough memory? A script must guard what it "
                'runs by if __name__ == "__main__"'
            ) from error


_work: Callable[[list[Any]], list[Any]] | None = None
"""The function that a process runs which `_processes` started."""


def _begin(work: Callable[[list[Item]], list[Result]]) -> None:
    """Makes this process ready: Ctrl-C is for the one that started it, and it ends when that one does."""
    global _work  # noqa: PLW0603
    _work = work
    gc.freeze()  # Python's search for garbage would go through, and copy, all that the server imported.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work_of_this_process(items: list[Any]) -> list[Any]:
    if _work is None:
        raise RuntimeError("the process has no work")
    return _work(items)


def usable_cores() -> int:
    """Returns how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows know no affinity
        return os.cpu_count() or 1


@contextmanager
def _cluster(address: str, pending: Iterable[Any]) -> Iterator[tuple[Callable[..., Any], int]]:
    """Yields the function that gives work to a Dask cluster, and its number of threads; raises errors of ours.

    Args:
        address: The address of its scheduler.
        pending: Futures that are dropped at the end.
    """
    try:
        from distributed import Client, KilledWorker
        from distributed.comm.core import CommClosedError
    except ImportError as error:
        raise OptionError(
            "a Dask cluster needs the extra dask: in a checkout of qi-datasets run python -m pip install '.[dask]'",
            code="missing-extra",
        ) from error
    try:
        client = Client(address, timeout=CLUSTER_SECONDS)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise OptionError(
            f"cannot reach a Dask scheduler at {address!r}; give its address, e.g. tcp://host:8786", code="no-cluster"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CLUSTER_SECONDS)
        except TimeoutError as error:
            raise WorkerError(f"the Dask cluster at {address!r} has no workers; start some and try again") from error
        try:
            threads = sum(client.nthreads().values())  # type: ignore[no-untyped-call]
            # Dask's own executor is not used: its futures never end if the scheduler dies while a result is on its way.
            yield partial(client.submit, pure=False), threads
        except KilledWorker as error:
            raise WorkerError(f"Dask workers died again and again over the same images ({error})") from error
        except (CancelledError, CommClosedError) as error:
            raise WorkerError(f"the Dask cluster at {address!r} was lost; is its scheduler still running?") from error
        finally:
            if client.status == "running":
                client.cancel([*pending])  # type: ignore[no-untyped-call]
