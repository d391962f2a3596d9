"""Runs work on this machine's processes or on a Dask cluster; what comes out has the order of what went in."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import joblib

from qi_datasets.errors import OptionError, QIDatasetsError, WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")


def attempted(work: Callable[[Item], Result], item: Item) -> Result | QIDatasetsError:
    """`work` of an item, or the error of ours that it ends in."""
    try:
        return work(item)
    except QIDatasetsError as error:
        return error


@dataclass(frozen=True)
class Engine:
    """Where work is done. workers: processes of this machine, default one per core. dask: address of a scheduler."""

    workers: int | None = None
    dask: str | None = None

    def in_order(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """`work` of each item, a few items ahead, so that memory doesn't grow with their number.

        Raises what `work` raises, WorkerError when a process was killed, OptionError when there is no cluster.
        """
        with self._backend() as jobs:
            run = joblib.Parallel(n_jobs=jobs, batch_size=1, pre_dispatch="4*n_jobs", return_as="generator")
            failure: QIDatasetsError | None = None

            def until_failure() -> Iterator[Item]:
                for item in items:
                    if failure is not None:
                        return
                    yield item

            try:
                for result in run(joblib.delayed(attempted)(work, item) for item in until_failure()):
                    if failure is not None:
                        continue
                    if isinstance(result, QIDatasetsError):
                        failure = result
                    else:
                        yield result
            except BrokenExecutor as error:
                raise WorkerError("a worker process was killed (out of memory?); try again with --workers 1") from error

            # What was handed out is awaited: joblib's way of calling work off can end in a traceback of its own.
            if failure is not None:
                raise failure

    @contextmanager
    def _backend(self) -> Iterator[int]:
        if self.dask is None:
            yield self.workers or joblib.cpu_count()
            return
        try:
            from distributed import Client, KilledWorker
        except ImportError as error:
            raise OptionError("a Dask cluster needs the extra dask: pip install 'qi-datasets[dask]'") from error
        try:
            client = Client(self.dask, timeout=10)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise OptionError(
                f"cannot reach a Dask scheduler at {self.dask!r}; give its address, e.g. tcp://host:8786"
            ) from error
        try:
            with client, joblib.parallel_config(backend="dask", client=client):
                yield -1
        except KilledWorker as error:
            raise WorkerError(f"Dask workers died again and again over the same images ({error})") from error
        except TimeoutError as error:
            raise WorkerError(f"the Dask cluster at {self.dask!r} has no workers; start some and try again") from error
