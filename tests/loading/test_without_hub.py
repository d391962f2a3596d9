"""A local set loads even if the private parts of `huggingface_hub` are missing."""

import builtins
from pathlib import Path
from typing import Any

from tests.forks import call_forked

PRIVATE = {"_http", "httpx", "build_hf_headers"}


def load_without(output: Path) -> None:
    import datasets  # noqa: F401  (which needs them itself)

    stock = builtins.__import__

    def without(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        if name == "huggingface_hub.utils" and (gone := PRIVATE & {*(fromlist or ())}):
            raise ImportError(f"cannot import {gone} from {name}")
        return stock(name, globals, locals, fromlist, level)

    builtins.__import__ = without
    from qi_datasets import load_dataset, verify

    print(load_dataset("rook", output=output)["train"].num_rows, verify(output, only="integrity").passed)


def test_a_local_set_needs_no_private_part_of_the_client(tmp_path: Path) -> None:
    ended = call_forked(load_without, tmp_path)

    assert (ended.exit_code, ended.stdout) == (0, "2 True\n"), ended.stderr
