"""Disks that are full, out of inodes, read-only or gone, and files that may not grow."""

import os
import random
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.processes import BUILD, Running, digests, reference, run, strays


class NoMountError(Exception):
    """Mounting is not allowed here."""


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Mounts a small file system in memory. Raises NoMountError if that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoMountError(done.stderr.strip() or "mount failed")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def refused(status: int, said: list[str]) -> None:
    """Raises AssertionError unless a command ended in one line."""
    assert status == 2, (status, said)
    errors = [line for line in said if not line.startswith(("source: ", "warning: "))]
    assert len(errors) == 1, said
    assert errors[0].startswith("error: "), said


def with_old_set(output: Path, peace: Path) -> None:
    shutil.copytree(peace / "qi", output / "qi")


def disks(count: int, seed: int, folder: Path) -> str:
    """Builds over an old set on broken disks: one line each, and the old set stays whole."""
    rng = random.Random(seed)
    peace = folder / "peace"
    wanted = reference(peace)
    size = sum(path.stat().st_size for path in (peace / "qi").rglob("*") if path.is_file())
    again = (*BUILD, "--border", "32", "--border", "64", "--force", "--quiet", "--output")
    told: dict[str, int] = {}
    for number in range(count):
        kind = ("space", "inodes", "file size", "read-only", "removed")[number % 5]
        output = folder / f"{kind.replace(' ', '-')}-{number}"
        if kind == "space":
            with mounted(output, f"size={size + rng.randrange(100_000, size)}") as disk:
                with_old_set(disk, peace)
                refused(*run("qi-build", *again, disk))
                assert (digests(disk), strays(disk)) == (wanted, [])
        elif kind == "inodes":
            with mounted(output, f"size=1g,nr_inodes={17 + rng.randrange(8)}") as disk:
                with_old_set(disk, peace)
                refused(*run("qi-build", *again, disk))
                assert (digests(disk), strays(disk)) == (wanted, [])
        elif kind == "file size":
            with_old_set(output, peace)
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (rng.randrange(3000, 60_000), before[1]))
            try:
                ended = run("qi-build", *again, output)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            refused(*ended)
            assert (digests(output), strays(output)) == (wanted, [])
        elif kind == "read-only":
            with mounted(output, "size=1g") as disk:
                with_old_set(disk, peace)
                subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
                refused(*run("qi-build", *again, disk))
                assert digests(disk) == wanted
        else:
            removed(output, rng.uniform(1.0, 3.0), again)
        told[kind] = told.get(kind, 0) + 1
    return f"{count} builds on broken disks {told}: one line each, the old set whole"


def removed(output: Path, seconds: float, again: tuple[str, ...]) -> None:
    """Checks that a build whose output folder is removed ends in one line, if it had not ended."""
    running = Running("qi-build", (*again, output))
    try:
        timer = threading.Timer(seconds, shutil.rmtree, (output,), {"ignore_errors": True})
        timer.start()
        status = running.ended(60)
        timer.join()
        if status:
            refused(status, running.said())
    finally:
        running.close()


def rounds(count: int, seed: int, folder: Path) -> str:
    """Runs six builds at once, three with a damaged image; OUT absent and present: every good one succeeds."""
    from tests import pictures

    rng = random.Random(seed)
    album = pictures.album(15)
    good = pictures.flat(album, folder / "good")
    bad = pictures.flat({name: data[: len(data) // 2] for name, data in album.items()}, folder / "bad")
    for number in range(count):
        output = folder / f"round-{number}" / "deep" / "out"
        if number % 2:
            output.mkdir(parents=True)
        places = [good, bad] * 3
        rng.shuffle(places)
        builds = []
        for at, place in enumerate(places):
            time.sleep(rng.uniform(0, 0.3))
            options = ("--set", "qi", "--per-split", 4, "--border", 0, "--quiet", "--force", "--workers", 1)
            builds.append((at, place, Running("qi-build", ("--imagenet-val", place, *options, "--output", output))))
        for _, place, running in builds:
            try:
                status = running.ended(120)
                if place == good:
                    assert status == 0, running.said()
                else:
                    refused(status, running.said())
            finally:
                running.close()
        assert not strays(output), strays(output)
        assert run("qi-verify", output, "--only", "integrity", "--quiet")[0] == 0
    return f"{count} rounds of six builds, three of them failing: all {3 * count} good ones succeeded"


SWAPPER = """
import sys, time
from pathlib import Path
from qi_datasets.building.build import build_set
from qi_datasets.building.plan import plan_set
from qi_datasets.specs import RED_GREEN_SET
from qi_datasets.storage.staging import lock_folder, replace_whole
import shutil
folder, spare, count = Path(sys.argv[1]), [Path(sys.argv[2]), Path(sys.argv[3])], int(sys.argv[4])
for number in range(count):
    with lock_folder(folder), replace_whole(folder) as staging:
        shutil.copytree(spare[number % 2], staging, dirs_exist_ok=True)
    time.sleep(0.1)
"""

READER = """
import datasets, os, shutil, sys, tempfile
datasets.disable_progress_bars()
from qi_datasets import load_dataset
output, done, known = sys.argv[1], sys.argv[2], set(sys.argv[3:])
loads = 0
while not os.path.exists(done):
    streaming = loads % 3 == 0
    cache = tempfile.mkdtemp()
    try:
        loaded = load_dataset("qi", output=output, streaming=streaming, cache_dir=cache)
        if not streaming:
            seen = {loaded[split][0]["source"] for split in loaded}
            wanted = [set(group.split(",")) for group in known]
            assert any(seen == group for group in wanted), seen
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    loads += 1
    open(f"{done}-{os.getpid()}", "w").close()
print(loads)
"""


def swaps(count: int, seed: int, folder: Path) -> str:
    """Replaces a set by another again and again while it is loaded: each load is one of the two, none fails."""
    import json

    from tests import pictures

    spares, groups = [], []
    for part in range(2):
        album = {pictures.name_of(n): pictures.encoded(pictures.picture(n)) for n in range(1 + 9 * part, 10 + 9 * part)}
        place = pictures.flat(album, folder / f"pictures-{part}")
        options = ("--set", "qi", "--per-split", 3, "--border", 0, "--quiet")
        status, said = run("qi-build", "--imagenet-val", place, *options, "--output", folder / f"spare-{part}")
        assert status == 0, said
        spares.append(folder / f"spare-{part}" / "qi")
        sources = json.loads((spares[-1] / "manifest.json").read_text())["sources"]
        groups.append(",".join(records[0]["name"] for records in sources.values()))
    shutil.copytree(spares[0], folder / "out" / "qi")
    done = folder / "done"
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, folder / "out", done, *groups],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    try:
        while not all(Path(f"{done}-{reader.pid}").exists() for reader in readers):
            assert all(reader.poll() is None for reader in readers), readers[0].communicate()[1][-2000:]
            time.sleep(0.1)
        subprocess.run([sys.executable, "-c", SWAPPER, folder / "out" / "qi", *spares, str(count)], check=True)
    finally:
        done.touch()
    loads = 0
    for reader in readers:
        out, err = reader.communicate(timeout=120)
        assert reader.returncode == 0, err[-2000:]
        loads += int(out)
    return f"{count} swaps under {loads} loads: no false damage, none mixed"
