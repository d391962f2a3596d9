"""Handles signals: each one that asks a command to end lets it clean up, as Ctrl-C does."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

GRACE = 2.0
"""Seconds for cleaning up, in which further signals count as the same one; later ones end the process at once."""


class StoppedError(KeyboardInterrupt):
    """A signal asked the command to end. Code that handles Ctrl-C handles it too."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Makes signals raise StoppedError in the block, except those that this process was started to ignore."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first = 0.0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if not first:
            first = now
            raise StoppedError(number)
        if now - first > GRACE:
            os._exit(128 + number)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, stop)
        yield
    except KeyboardInterrupt as error:
        raise error if isinstance(error, StoppedError) else StoppedError(signal.SIGINT) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
