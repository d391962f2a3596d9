"""The real client in a process of its own: it reads its environment once, on import, so a test's process can't be it.

`Client` starts `python -m tests.publishing.client`, which imports what is slow to import and then runs each call in a
fork of itself: a fresh process per call, at the price of a fork.
"""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

LOUD = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
COMMANDS = {"qi-publish": "publish", "qi-build": "build", "qi-verify": "verify", "qi-leaderboard": "leaderboard"}


@dataclass(frozen=True)
class Ended:
    """How a call ended, and its output."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


class Client:
    """A process that runs commands and Python code as a user with that environment would."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        leaking = ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_DATASETS_CACHE", "QI_DATASETS_REPO")
        kept = {name: value for name, value in os.environ.items() if name not in leaking}
        home = {"HF_HOME": str(folder / "hf"), "QI_DATASETS_HOME": str(folder / "home")}
        self.environment = kept | LOUD | home | environment
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.communicate()

    def _server(self, call: dict[str, Any]) -> subprocess.Popen[str]:
        """Starts the process that runs such calls, if there is none yet."""
        # Importing torch takes seconds, and a fork of a process that has it three times as long as of another.
        imported = "torch" if any(word in str(call) for word in ("streaming", "--rerun")) else ""
        if imported not in self.processes:
            self.processes[imported] = subprocess.Popen(
                [sys.executable, "-m", "tests.publishing.client", imported],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self.environment,
                text=True,
                cwd=Path(__file__).parents[2],
            )
        return self.processes[imported]

    def forget(self) -> None:
        """Removes what earlier calls have left on disk; they leave nothing in memory."""
        for name in ("hf", "home"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def command(self, name: str, *arguments: object, started: Callable[[int], Any] | None = None, **env: str) -> Ended:
        """Runs an installed command. started: called with the process's id. env: of this call alone."""
        return self._call({"command": name, "arguments": [str(argument) for argument in arguments]}, started, env)

    def python(self, code: str, **env: str) -> Ended:
        """Runs Python code."""
        return self._call({"code": code}, None, env)

    def _call(self, call: dict[str, Any], started: Callable[[int], Any] | None, env: dict[str, str]) -> Ended:
        process = self._server(call)
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            call |= {"folder": folder, "env": env}
            process.stdin.write(json.dumps(call) + "\n")
            process.stdin.flush()
            child = int(process.stdout.readline())
            if started is not None:
                started(child)
            code = int(process.stdout.readline())
            return Ended(code, *(Path(folder, name).read_text() for name in ("stdout", "stderr")))


def serve() -> None:
    """Runs the calls that arrive on standard input, one after another."""
    import datasets  # noqa: F401
    import huggingface_hub.hf_api  # noqa: F401
    from huggingface_hub.utils import build_hf_headers

    if "torch" in sys.argv:
        with suppress(ModuleNotFoundError):
            import torch.utils.data  # noqa: F401  (streaming imports it, where it is installed)
            import torchvision  # noqa: F401  (qi-leaderboard --rerun needs it)
    build_hf_headers()  # asks the server, once a day, which programs name themselves
    libraries = ("publishing.publish", "verification.integrity.integrity", "loading.load", "loading.computed")
    for module in (*libraries, *(f"commands.{command}" for command in COMMANDS.values())):
        import_module(f"qi_datasets.{module}")
    from qi_datasets.specs import SPECS
    from qi_datasets.storage import card

    for name in SPECS:
        card.template(f"{name}.md.jinja", card.BASE)  # compiles it
    # Whoever asks again after a while, ours or the Hub's library, does so soon.
    pause = time.sleep
    time.sleep = lambda seconds: pause(seconds / 20)
    for line in sys.stdin:
        call = json.loads(line)
        child = os.fork()
        if child == 0:
            run(call)
        print(child, flush=True)
        status = os.waitpid(child, 0)[1]
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(call: dict[str, Any]) -> None:
    """Ends this process with the exit status of one call."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, (name, flags) in enumerate(
        [(os.devnull, os.O_RDONLY), ("stdout", os.O_CREAT | os.O_WRONLY), ("stderr", os.O_CREAT | os.O_WRONLY)]
    ):
        os.dup2(os.open(os.path.join(call["folder"], name), flags), number)
    os.environ |= call["env"]
    code: object = 0
    try:
        if "code" in call:
            script = Path(call["folder"], "script.py")
            script.write_text(call["code"])
            runpy.run_path(str(script), run_name="__main__")
        else:
            sys.argv = [call["command"], *call["arguments"]]
            resolve_name(f"qi_datasets.commands.{COMMANDS[call['command']]}:main")()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    serve()
