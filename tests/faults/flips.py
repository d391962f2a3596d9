"""Single changes of a stored set's files that nobody hides: each is found."""

import random
import shutil
from pathlib import Path

from qi_datasets.verification.verify import verify
from tests.faults.processes import reference


def flips(count: int, seed: int, folder: Path) -> str:
    """Flips a bit, appends, adds, renames or drops a file. Raises AssertionError for a change that integrity misses."""
    rng = random.Random(seed)
    reference(folder / "peace")
    by: dict[str, int] = {}
    for number in range(count):
        output = folder / f"flip-{number}"
        shutil.copytree(folder / "peace", output)
        files = sorted(path for path in (output / "qi").rglob("*") if path.is_file())
        path, kind = rng.choice(files), ("flip", "flip", "append", "add", "rename", "drop")[number % 6]
        if kind == "flip":
            data = bytearray(path.read_bytes())
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            path.write_bytes(data)
        elif kind == "append":
            path.write_bytes(path.read_bytes() + rng.randbytes(rng.randrange(1, 9)))
        elif kind == "add":
            (path.parent / f"more{path.suffix}").write_bytes(path.read_bytes())
        elif kind == "rename":
            path.rename(path.with_name(f"other{path.suffix}"))
        else:
            path.unlink()
        gone = path.name == "manifest.json" and kind in ("rename", "drop")
        report = None if gone else verify(output / "qi", only="integrity")
        caught = gone or [check.name for check in report.checks if check.status == "fail"]
        assert caught, f"{kind} of {path.relative_to(output)} is missed"
        for name in ["no manifest"] if gone else caught[:1]:
            by[name] = by.get(name, 0) + 1
        shutil.rmtree(output)
    return f"{count} flips, appended bytes, extra, renamed and dropped files: all found, first by {by}"
