"""Every check of this project by its name, in the environment that nox itself is in.

`nox` runs what a change must pass, `nox -s lint` one of them, and `nox -l` lists them all.
"""

import os
import re
import shlex
import shutil
import sys
import time
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "security", "types", "docs", "tests"]

ROOT = Path(__file__).parent
MAPPED = ("builders", "cards")
SLOW_PARTS = 7


@nox.session
def lint(session: nox.Session) -> None:
    """Style, imports, docstrings, and what ruff takes for a mistake."""
    session.run(sys.executable, "-m", "ruff", "check", ".")
    session.run(sys.executable, "-m", "ruff", "format", "--check", ".")


@nox.session
def security(session: nox.Session) -> None:
    """What bandit takes for unsafe."""
    session.run(sys.executable, "-m", "bandit", "-q", "-r", "qi_datasets", *MAPPED)


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly, of a copy that is laid out as installed: in a checkout mypy can't follow the mapped folders."""
    site = Path(session.create_tmp()) / "site"
    shutil.rmtree(site, ignore_errors=True)
    for folder in MAPPED:
        # The scripts of entries are no part of the package, and import what only they need.
        ignored = shutil.ignore_patterns("entries")
        shutil.copytree(ROOT / folder, site / "qi_datasets" / folder, ignore=ignored)
    shutil.copytree(ROOT / "qi_datasets", site / "qi_datasets", dirs_exist_ok=True)
    shutil.copy(ROOT / "tests" / "user_types.py", site)
    session.chdir(site)
    config = str(ROOT / "pyproject.toml")
    session.run(sys.executable, "-m", "mypy", "--config-file", config, "-p", "qi_datasets", "-m", "user_types")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, in which no link may be dead and all code runs; it lands in `site/`."""
    session.run(sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet")
    session.run(sys.executable, "-m", "pytest", "-q", "-m", "docs", "tests/docs")


@nox.session
def tests(session: nox.Session) -> None:
    """The command of the README, or pytest with the arguments after `--`."""
    _, *words = ["python", "-m", "pytest", *session.posargs] if session.posargs else readme_command("test")
    session.run(sys.executable, *words)


@nox.session
def coverage(session: nox.Session) -> None:
    """Which lines the tests run that are not slow: under Python 3.11 they take nearly twice as long for it."""
    _, *words = readme_command("test")
    session.run(sys.executable, *words, "-m", "not slow", "--cov", "--cov-report=term:skip-covered")


@nox.session
def slow(session: nox.Session) -> None:
    """One part of the slow tests and, in more cases, of the properties: another each day, or all after `-- all`."""
    part = (
        [] if session.posargs == ["all"] else ["--part", f"{int(time.time() // 86400) % SLOW_PARTS + 1}/{SLOW_PARTS}"]
    )
    wide = ("-m", "slow or (hypothesis and not faults)", "--hypothesis-profile", "wide" if part else "search")
    # 5: this part has none.
    session.run(sys.executable, "-m", "pytest", "-q", "-n", "auto", *wide, *part, success_codes=[0, 5])


@nox.session
def faults(session: nox.Session) -> None:
    """Kills, signals, hostile files and sets that lie, in a small version; `python -m tests.faults --long` has all."""
    session.run(sys.executable, "-m", "pytest", "-q", "-n", "auto", "-m", "faults and not slow")


@nox.session
def wheel(session: nox.Session) -> None:
    """The wheel, which holds every file of the package and one top-level name; it lands in `dist/`."""
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    session.run(sys.executable, "-m", "build", "--wheel", "--outdir", "dist", ".", silent=True)
    session.run(sys.executable, ".ci/wheel_contents.py")


@nox.session
def oldest(session: nox.Session) -> None:
    """The wheel in `dist/` with the oldest dependencies and without torch, in an environment that it makes for that."""
    session.run(".ci/oldest", str(Path(sys.executable).parent), external=True)


def readme_command(name: str) -> list[str]:
    """The words of the command that README.md shows under `<!-- command: NAME -->`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- command: {name} -->\n```sh\n(.*?)\n```", text, re.DOTALL)
    if found is None:
        raise LookupError(f"README.md has no command marked '{name}'")
    return shlex.split(found[1])


os.environ.setdefault("HF_HUB_OFFLINE", "1")
