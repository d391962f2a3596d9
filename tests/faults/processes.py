"""Commands as separate processes, what they leave behind, and kills and signals at any moment."""

import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

MARK = "QI_DATASETS_FAULTS"
SECONDS_TO_DIE = 2.0
BUILD = ("--demo", "--set", "qi", "--per-split", "30", "--border", "16", "--workers", "2")
VERIFY = ("--only", "integrity")
EARLY, SET_UP, LATE = 0.3, 0.8, 3.0
"""Seconds between which a command is hit: while it imports, draws, writes, swaps, or has just ended.

Before it is set up, Python itself answers a signal.
"""


@dataclass
class Running:
    """A command in a session and, if asked for, a terminal of its own; all its processes carry a mark."""

    name: str
    arguments: tuple[object, ...]
    terminal: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.mark = uuid.uuid4().hex
        self.output = tempfile.TemporaryFile()  # noqa: SIM115
        self.screen = slave = None
        if self.terminal:
            self.screen, slave = pty.openpty()
        script = Path(sys.executable).with_name(self.name)
        self.process = subprocess.Popen(
            [sys.executable, script, *map(str, self.arguments)],
            stdin=subprocess.DEVNULL if slave is None else slave,
            stdout=self.output if slave is None else slave,
            stderr=self.output if slave is None else slave,
            start_new_session=True,
            env=os.environ | {MARK: self.mark} | self.environment,
        )
        if slave is not None:
            os.close(slave)

    def workers(self) -> list[int]:
        """Returns the ids of the command's processes except the first."""
        return [number for number in marked(self.mark) if number != self.process.pid]

    def ended(self, seconds: float) -> int:
        """Returns the exit status. Raises AssertionError if a process is still alive after this many seconds."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{self.name} is alive after {seconds} s: {self.said()}") from error
        end = time.monotonic() + SECONDS_TO_DIE
        while (left := marked(self.mark)) and time.monotonic() < end:
            time.sleep(0.02)
        assert not left, f"processes {left} outlive {self.name}"
        return status

    def said(self) -> list[str]:
        """Returns the lines of its output, without those that a terminal overwrites."""
        if self.screen is None:
            self.output.seek(0)
            content = self.output.read()
        else:
            content = b""
            os.set_blocking(self.screen, False)
            with suppress(OSError):
                while piece := os.read(self.screen, 65536):
                    content += piece
        lines = content.decode(errors="replace").replace("\r\n", "\n").split("\n")
        return [shown for line in lines if (shown := line.rpartition("\r")[2].replace("^C", "").strip())]

    def close(self) -> None:
        """Ends all processes that are left."""
        for number in marked(self.mark):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self.output.close()
        if self.screen is not None:
            os.close(self.screen)


def marked(mark: str) -> list[int]:
    """Returns the living processes that carry a mark."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                if f"{MARK}={mark}".encode() in Path(entry.path, "environ").read_bytes():
                    found.append(int(entry.name))
    return found


def run(name: str, *arguments: object, **environment: str) -> tuple[int, list[str]]:
    """Returns exit status and output of an undisturbed command."""
    running = Running(name, arguments, environment=environment)
    try:
        return running.ended(120), running.said()
    finally:
        running.close()


def strays(folder: Path) -> list[str]:
    """Returns the files beside the sets, except locks, which stay."""
    return sorted(path.name for path in folder.glob(".*") if not path.name.endswith(".lock"))


def digests(folder: Path) -> dict[str, str]:
    """Returns the split digests of the set `qi` in an output folder."""
    manifest = json.loads((folder / "qi" / "manifest.json").read_text())
    return {
        f"{config}/{split}": part["digest"]
        for config, record in manifest["configs"].items()
        for split, part in record["splits"].items()
    }


def reference(folder: Path) -> dict[str, str]:
    """Returns the digests of an undisturbed build."""
    status, said = run("qi-build", *BUILD, "--output", folder, "--quiet")
    assert status == 0, said
    return digests(folder)


def kills(count: int, seed: int, folder: Path) -> str:
    """Kills builds with -9: the process, its group, or a worker; the next run is whole and leaves nothing."""
    rng = random.Random(seed)
    wanted = reference(folder / "peace")
    hit = 0
    for number in range(count):
        victim, old = ("process", "group", "worker")[number % 3], number % 2
        output = folder / f"killed-{number}"
        if old:
            shutil.copytree(folder / "peace" / "qi", output / "qi")
        running = Running("qi-build", (*BUILD, "--output", output, "--force"))
        try:
            time.sleep(rng.uniform(EARLY, LATE))
            alive = running.process.poll() is None
            workers = running.workers()
            with suppress(ProcessLookupError):
                if victim == "group":
                    os.killpg(running.process.pid, signal.SIGKILL)
                elif victim == "worker" and workers:
                    os.kill(workers[0], signal.SIGKILL)
                else:
                    running.process.kill()
            status = running.ended(60)
            hit += alive
            assert victim == "worker" or status in (0, -signal.SIGKILL), (status, running.said())
            assert not any("Traceback" in line for line in running.said()), running.said()
        finally:
            running.close()
        if old:
            assert digests(output) == wanted, "the set is lost between two whole ones"
        status, said = run("qi-build", *BUILD, "--output", output, "--quiet")
        assert status == 0, (status, said)
        assert digests(output) == wanted
        assert not strays(output), strays(output)
        shutil.rmtree(output)
    return f"{count} kills, {hit} of them before the end: nothing alive after {SECONDS_TO_DIE} s, every next run whole"


def signals(count: int, seed: int, folder: Path) -> str:
    """Sends each signal to builds and verifications in a terminal: one line, its exit status, nothing left."""
    rng = random.Random(seed)
    wanted = reference(folder / "peace")
    hit = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = signal.Signals[name]
        for turn in range(count):
            output = folder / f"{name}-{turn}"
            command, arguments = (
                ("qi-verify", (folder / "peace", *VERIFY))
                if turn % 4 == 3
                else ("qi-build", (*BUILD, "--output", output))
            )
            running = Running(command, arguments, terminal=turn % 2 == 0)
            try:
                time.sleep(rng.uniform(SET_UP, LATE))
                alive = running.process.poll() is None
                with suppress(ProcessLookupError):
                    # A terminal sends its signal to all of its processes.
                    (os.killpg if turn % 2 == 0 else os.kill)(running.process.pid, number)
                status, said = running.ended(SECONDS_TO_DIE + 3), running.said()
            finally:
                running.close()
            if alive and status != 0:
                hit[name] = hit.get(name, 0) + 1
                assert status in (128 + number, -number), (name, status, said)
                if status > 0:
                    assert said[-1:] == [f"error: stopped by {name}; nothing unfinished is left"], said
                    assert len([line for line in said if not line.startswith("source: ")]) == 1, said
            assert not strays(output), strays(output)
            shutil.rmtree(output, ignore_errors=True)
    assert digests(folder / "peace") == wanted
    return f"{count} signals of each kind, before the end: {hit}; one line each, nothing alive, nothing left"
