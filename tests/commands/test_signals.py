"""Signals end a command in one line with their status, after it has cleaned up."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

COMMAND = """
import sys, time
from pathlib import Path
import click
from qi_datasets.commands import signals
from qi_datasets.commands.console import one_line_errors
signals.GRACE = {grace}
@click.command()
@one_line_errors
def main():
    try:
        Path(sys.argv[0] or ".").exists()
        print("ready", flush=True)
        time.sleep(60)
    finally:
        if {slow}:
            print("cleaning", flush=True)
            time.sleep(60)
        print("cleaned", flush=True)
main([])
"""


def start(slow: bool = False, ignore: bool = False, grace: float = 60) -> "subprocess.Popen[str]":
    prefix = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" if ignore else ""
    command = [sys.executable, "-c", prefix + COMMAND.format(slow=slow, grace=grace)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_lets_a_command_clean_up_and_ends_it_in_one_line(name: str) -> None:
    process = start()

    process.send_signal(signal.Signals[name])
    out, err = process.communicate(timeout=60)

    assert process.returncode == 128 + signal.Signals[name]
    assert out == "cleaned\n"
    assert err == f"error: stopped by {name}; nothing unfinished is left\n"


def test_further_signals_do_not_disturb_the_cleaning_but_do_end_one_that_hangs() -> None:
    patient, strict = start(slow=True), start(slow=True, grace=0.05)
    for process in (patient, strict):
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "cleaning\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)

    assert strict.wait(60) == 130
    assert patient.poll() is None
    for process in (patient, strict):
        process.kill()
        process.communicate()


def test_a_signal_that_the_caller_ignores_stays_ignored() -> None:
    process = start(ignore=True)

    process.send_signal(signal.SIGHUP)
    time.sleep(0.1)
    process.terminate()

    # Had the first one counted, its number would be the status.
    assert process.wait(60) == 143
    process.communicate()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("arguments", [("qi-build", "--set", "rook"), ("qi-verify", "--only", "integrity")])
def test_an_output_that_takes_nothing_is_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    name, *options = arguments
    script = Path(sys.executable).with_name(name)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, script, *options], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert done.returncode == 2
    assert done.stderr == "error: cannot write the output: No space left on device\n"
