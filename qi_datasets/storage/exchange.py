"""Exchanges two folders in one step, on systems that can."""

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # Linux, renameat2(2)
_UNABLE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


@lru_cache(maxsize=1)
def _renameat2() -> Callable[..., int] | None:
    """Returns the C library's `renameat2`; None in a library without it."""
    if sys.platform != "linux":
        return None
    function: Any = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    found: Callable[..., int] | None = function
    return found


def exchange_names(one: Path, other: Path) -> bool:
    """Exchanges the names of two folders of one file system atomically; returns False where the system can't.

    Raises OSError if it can but refuses, for example without permission; nothing is changed then.
    """
    rename = _renameat2()
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNABLE:
        return False
    raise OSError(code, os.strerror(code), str(other))
