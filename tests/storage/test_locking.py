"""One build at a time works on a set; the others wait and say for what."""

import os
import pty
import select
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from qi_datasets.storage.staging import lock_folder, replace_whole

WITHOUT_FLOCK = """
import errno, fcntl, sys
from pathlib import Path
def missing(*_):
    raise OSError(errno.ENOSYS, "Function not implemented")
fcntl.flock = missing
from qi_datasets.storage import staging
from qi_datasets.storage.staging import lock_folder, replace_whole
for content in ("old", "new"):
    with lock_folder(Path(sys.argv[1])), replace_whole(Path(sys.argv[1])) as staging:
        (staging / "file").write_text(content)
"""


def test_a_file_system_without_flock_will_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_FLOCK, tmp_path / "set"], check=True, capture_output=True, text=True, timeout=60
    )

    assert (tmp_path / "set" / "file").read_text() == "new"
    assert done.stderr == ""


WAITING = """
import sys
from pathlib import Path
from qi_datasets.storage import staging
from qi_datasets.storage.staging import lock_folder
staging._PATIENCE = 0.05
print("ready", flush=True)
with lock_folder(Path(sys.argv[1]), progress=sys.argv[2] == "shown"):
    pass
"""


@pytest.mark.parametrize("shown", ["shown", "quiet"])
def test_a_build_says_what_it_waits_for(shown: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    screen, terminal = pty.openpty()
    with lock_folder(folder):
        waiting = subprocess.Popen(
            [sys.executable, "-c", WAITING, folder, shown], stderr=terminal, stdout=subprocess.PIPE
        )
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == b"ready\n"
        if shown == "shown":  # then a line is what ends the wait
            select.select([screen], [], [], 60)
        else:
            time.sleep(0.2)
        assert waiting.poll() is None
    assert waiting.wait(10) == 0
    os.close(terminal)
    said = b""
    with suppress(OSError):  # how Linux ends a terminal that nobody writes to
        said = os.read(screen, 10_000)
    os.close(screen)

    lines = said.decode().splitlines()
    assert len(lines) == (1 if shown == "shown" else 0)
    assert all(f"building {folder}" in line for line in lines)


def test_one_builds_while_the_others_wait(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    inside: list[int] = []
    together: list[int] = []

    def build(number: int) -> bool:
        with lock_folder(folder):
            inside.append(number)
            together.append(len(inside))
            made = not folder.exists()
            if made:
                with replace_whole(folder) as half:
                    (half / "file").write_text(str(number))
            inside.remove(number)
        return made

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(build, range(24)))

    assert sum(made) == 1
    assert set(together) == {1}
