"""Where everything of a test run is kept, and what many tests need: pictures, built sets, commands."""

import atexit
import gc
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from click.testing import CliRunner, Result
from filelock import FileLock

# Before anything imports `datasets`, which reads them once: no test may touch the user's caches, or the network.
CACHE = tempfile.mkdtemp(prefix="qi-datasets-tests-")
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
os.environ |= {"HF_HOME": CACHE, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
for leaking in ("HF_DATASETS_CACHE", "HF_ENDPOINT"):
    os.environ.pop(leaking, None)
# Every process that is started here would compile all that it imports, and pytest rewrite all tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Until the tests run, nothing of the many things that are imported and collected becomes garbage.
gc.disable()
if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores already, and what they start inherits it.
    os.environ["OMP_NUM_THREADS"] = "1"

from tests import expected, forks, pictures  # noqa: F401  (says what forked processes have imported)

# Where the run itself was started in the background, what it starts would ignore these for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A change is judged by examples that are the same in each run; `nox -s slow -- all` searches for new ones.
hypothesis.settings.register_profile("quick", deadline=None, max_examples=30, derandomize=True)
hypothesis.settings.register_profile("wide", deadline=None, max_examples=100, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None, max_examples=100)
hypothesis.settings.load_profile("quick")

# Imported by several conftest.py instead, each would have a Hub and a client of its own.
pytest_plugins = ["tests.publishing.fixtures"]

QiBuild = Callable[..., Result]
BuildOnce = Callable[[str, Callable[[Path], object]], Path]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", metavar="K/N", help="of the tests that are selected, part K of N, by their names")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    mark_repeated_values_slow(items)
    if config.getoption("--part"):
        part, parts = map(int, config.getoption("--part").split("/"))
        chosen = [item for item in items if zlib.crc32(item.nodeid.encode()) % parts == part - 1]
        config.hook.pytest_deselected(items=[*set(items) - set(chosen)])
        items[:] = chosen
    # One after another, so that they come to one worker: each that meets one starts a client of the Hub.
    items.sort(key=lambda item: "client" not in getattr(item, "fixturenames", ()))


def mark_repeated_values_slow(items: list[pytest.Item]) -> None:
    """Marks cases of `crossed` tests `slow`, so that the others still have each value of each argument."""
    tests: dict[object, list[pytest.Function]] = defaultdict(list)
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("crossed"):
            tests[item.function].append(item)
    for cases in tests.values():
        numbers: dict[str, dict[int, int]] = defaultdict(dict)
        for case in cases:
            for name, value in case.callspec.params.items():
                numbers[name].setdefault(id(value), len(numbers[name]))

        def is_diagonal(case: pytest.Function, numbers: dict[str, dict[int, int]] = numbers) -> bool:
            found = {name: numbers[name][id(value)] for name, value in case.callspec.params.items()}
            return all(number == max(found.values()) % len(numbers[name]) for name, number in found.items())

        seen: set[tuple[str, int]] = set()
        quick = [case for case in cases if not case.get_closest_marker("slow")]
        # The diagonal first, since values of a short list meet several of a long one there.
        for case in sorted(quick, key=is_diagonal, reverse=True):
            values = {(name, id(value)) for name, value in case.callspec.params.items()}
            if values <= seen:
                case.add_marker("slow")
            seen |= values


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty machine: the folder where sets go if no other is named."""
    folder = tmp_path / "home"
    monkeypatch.setenv("QI_DATASETS_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def build_once(tmp_path_factory: pytest.TempPathFactory) -> BuildOnce:
    """Fills a folder once in a run, in the worker that asks first: its name, and what fills it -> the folder."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def build(name: str, fill: Callable[[Path], object]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return build


@pytest.fixture(scope="session")
def album() -> dict[str, bytes]:
    """Enough images for 4 per split and some that stay unused."""
    return pictures.album(15)


@pytest.fixture(scope="session")
def flat_folder(album: dict[str, bytes], build_once: BuildOnce) -> str:
    """The album as a flat folder of ImageNet val; read only."""
    return str(build_once("flat", lambda folder: pictures.flat(album, folder)))


@pytest.fixture(scope="session")
def small_qi(flat_folder: str, build_once: BuildOnce) -> Path:
    """An output folder with `qi` of the album, 4 per split, borders 0 and 16; read only."""
    from qi_datasets.building.build import build_set
    from qi_datasets.building.engine import Engine
    from qi_datasets.building.plan import plan_set
    from qi_datasets.sources import open_source
    from qi_datasets.specs import QI

    splits = {"qi": dict.fromkeys(QI.splits, 4)}
    plan = plan_set(QI, open_source(flat_folder), splits=splits, official=False, borders=[16])
    return build_once("small_qi", lambda output: build_set(plan, output, engine=Engine(1)))


@pytest.fixture(scope="session")
def toy_sets(build_once: BuildOnce) -> Path:
    """An output folder with the sets that need no images, which take seconds to make; read only."""
    from qi_datasets.building.build import build_set
    from qi_datasets.building.plan import plan_set
    from qi_datasets.specs import SPECS

    def fill(output: Path) -> None:
        for spec in SPECS.values():
            if not spec.needs_images:
                build_set(plan_set(spec), output)

    return build_once("toys", fill)


@pytest.fixture
def qi_copy(small_qi: Path, tmp_path: Path) -> Path:
    """The output folder of `small_qi`, to be damaged or built again."""
    return Path(shutil.copytree(small_qi, tmp_path / "copy"))


@pytest.fixture(scope="session")
def official_folder(build_once: BuildOnce) -> Path:
    """A flat folder of the 3000 selected ids, which are one file under many names; read only."""
    return build_once("official", link_official)


def link_official(folder: Path) -> Path:
    """Fills a folder with the 3000 selected ids."""
    first, *others = map(pictures.name_of, expected.official_ids()[:3000])
    pictures.flat({first: pictures.encoded(pictures.picture(0))}, folder)
    for name in others:
        os.link(folder / f"{first}.JPEG", folder / f"{name}.JPEG")
    return folder


@pytest.fixture
def official_copy(tmp_path: Path) -> Path:
    """As `official_folder`, to take images from, or to replace them: unlink before writing, they are hard links."""
    return link_official(tmp_path / "val")


@pytest.fixture
def qi_build() -> QiBuild:
    """Runs `qi-build` inside this process, with one worker."""
    from qi_datasets.commands.build import main

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main, ["--workers", "1", *map(str, arguments)])

    return run


@pytest.fixture
def real_command() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs an installed command as a user does."""

    def run(name: str, *arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
        script = Path(sysconfig.get_path("scripts"), name)
        return subprocess.run(
            [sys.executable, script, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=os.environ | environment,
            check=False,
        )

    return run


@pytest.fixture
def untouched() -> Callable[[Path], dict[str, tuple[int, str]]]:
    """What a folder holds: path -> time of change and SHA-256, to be compared later."""

    def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
        return {
            path.relative_to(folder).as_posix(): (
                path.stat().st_mtime_ns,
                hashlib.sha256(path.read_bytes()).hexdigest(),
            )
            for path in folder.rglob("*")
            if path.is_file()
        }

    return snapshot


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Installs another package's builders: module text and entry points go into a folder on the path."""
    from qi_datasets.registry import third_party_builders

    def install(entry_points: str, module: str | None = None) -> Path:
        site = tmp_path / "site"
        source = Path(__file__).with_name("third_party") / "stripes.py"
        pictures.write(site / "stripes.py", source.read_bytes() if module is None else module.encode())
        pictures.write(
            site / "stripes-1.0.dist-info" / "METADATA", b"Metadata-Version: 2.1\nName: stripes\nVersion: 1.0\n"
        )
        lines = f"[qi_datasets.builders]\n{entry_points}\n"
        pictures.write(site / "stripes-1.0.dist-info" / "entry_points.txt", lines.encode())
        monkeypatch.syspath_prepend(str(site))
        third_party_builders.cache_clear()
        return site

    yield install
    sys.modules.pop("stripes", None)
    monkeypatch.undo()
    third_party_builders.cache_clear()
