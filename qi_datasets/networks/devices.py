"""Chooses torch's device and number of threads."""

from collections.abc import Iterator
from contextlib import contextmanager

from qi_datasets.errors import OptionError, one_line


@contextmanager
def threads_for(*, full: bool) -> Iterator[None]:
    """Sets the number of threads in the block: one for a short run, torch's own number for a long one (`full`).

    The networks of short runs are so small that two threads gain a fifth, and lose minutes waiting for each other
    wherever other programs run.
    """
    import torch

    before = torch.get_num_threads()
    if not full:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def checked_device(name: str | None) -> str:
    """Returns the device for torch, by default a GPU if there is one. Raises OptionError if it can't be used."""
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise OptionError(
            f"torch can't use the device {name!r}: {one_line(error)[:200]}", code="unknown-device"
        ) from error
    return name
