"""`python -m tests.faults.code_mutants [--count N] [--part K/N]`: changes an expression, and sees whether a test fails.

Files, and the expression of each, are chosen by SHA-256 of their names, so that two versions of the tests meet the same
mutants. A mutant runs in a copy of the checkout, against the tests that mirror its file.
"""

import argparse
import ast
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "qi_datasets"
MAPPED = ("builders", "cards")
SECONDS = 240

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change. file: below the package. before, after: the expression."""

    file: Path
    line: int
    before: str
    after: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.before} -> {self.after}"


def changes(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yields the expressions of a module, with their replacements; none in annotations, except defaults."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
            operator = _COMPARED[type(node.ops[0])]()
            yield node, ast.Compare(node.left, [operator, *node.ops[1:]], node.comparators)
        elif isinstance(node, ast.BoolOp):
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield node, ast.BoolOp(other, node.values)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield node, node.operand
        elif isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED and not isinstance(node.left, ast.Constant):
            yield node, ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right)
        elif isinstance(node, ast.IfExp):
            yield node, ast.IfExp(node.test, node.orelse, node.body)


def draw(*names: object) -> int:
    """Returns a number that depends on names alone."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, names)).encode()).digest()[:8], "big")


def mutant_of(file: Path) -> Mutant | None:
    """Returns the mutant of a file; None if there is nothing to change."""
    text = file.read_text(encoding="utf-8")
    found = list(changes(ast.parse(text)))
    if not found:
        return None
    name = file.relative_to(PACKAGE)
    old, new = min(found, key=lambda change: draw("mutant", name, ast.unparse(change[0])))
    before, after = ast.unparse(old), ast.unparse(new)
    lines = text.splitlines(keepends=True)
    start = sum(len(line.encode()) for line in lines[: old.lineno - 1]) + old.col_offset
    end = sum(len(line.encode()) for line in lines[: (old.end_lineno or 0) - 1]) + (old.end_col_offset or 0)
    data = text.encode()
    return Mutant(name, old.lineno, before, after, (data[:start] + f"({after})".encode() + data[end:]).decode())


def mutants(count: int) -> list[Mutant]:
    """Returns the first mutants, each of another file."""
    files = sorted(PACKAGE.rglob("*.py"), key=lambda file: draw("file", file.relative_to(PACKAGE)))
    found = (mutant for file in files if (mutant := mutant_of(file)))
    return [mutant for mutant, _ in zip(found, range(count), strict=False)]


def tests_of(file: Path, tests: Path) -> list[Path]:
    """Returns the tests that mirror a file: those of its name, else those of its folder."""
    own = tests / file.parent / f"test_{file.name}"
    if file.parent == Path():
        return [own] if own.exists() else [tests / "test_every_set.py", tests / "test_specs.py"]
    folder = next(place for place in (tests / parent for parent in file.parents) if place.is_dir())
    return [own, folder] if own.exists() else [folder]


def is_caught(mutant: Mutant, copy: Path) -> bool:
    """Returns whether a test fails, or never ends, with the mutant in the copy, and passes without it."""
    file = copy / "qi_datasets" / mutant.file
    original = file.read_text(encoding="utf-8")
    for tests in tests_of(mutant.file, copy / "tests"):
        shutil.rmtree(copy / ".pytest_cache", ignore_errors=True)
        file.write_text(mutant.text, encoding="utf-8")
        try:
            passed = run_tests(copy, "-x", str(tests))
        finally:
            file.write_text(original, encoding="utf-8")
        # The failed tests, or all tests if they did not end.
        if not passed and run_tests(copy, "--last-failed", str(tests)):
            return True
    return False


def run_tests(copy: Path, *options: str) -> bool:
    """Returns whether the tests of the copy pass within this many CPU-seconds: the machine may be busy otherwise."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-n", "0", *options]
    limited = ["bash", "-c", f'ulimit -t {SECONDS}; exec "$@"', "_", *command]
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    return subprocess.run(limited, cwd=copy, env=environment, capture_output=True, check=False).returncode in (0, 5)


def copied(folder: Path) -> Path:
    """Returns a copy of the checkout, with the mapped folders inside the package, so that only the copy is imported."""
    copy = folder / "checkout"
    kept = shutil.ignore_patterns("__pycache__", ".*", "demo-sets", "site", "dist", "*.egg-info")
    shutil.copytree(ROOT, copy, ignore=kept)
    for name in MAPPED:
        shutil.copytree(ROOT / name, copy / "qi_datasets" / name, ignore=kept)
    return copy


def main() -> None:
    """Prints each mutant with its fate, and the number of caught ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--part", default="1/1", metavar="K/N", help="part K of N of them")
    parser.add_argument("--list", action="store_true", help="only name them")
    options = parser.parse_args()
    part, parts = map(int, options.part.split("/"))
    chosen = mutants(options.count)[part - 1 :: parts]
    caught = 0
    with tempfile.TemporaryDirectory(prefix="qi-mutants-") as folder:
        copy = copied(Path(folder)) if not options.list else Path(folder)
        for mutant in chosen:
            if options.list:
                print(mutant)
                continue
            start = time.monotonic()
            fate = is_caught(mutant, copy)
            caught += fate
            print(f"{'caught ' if fate else 'MISSED '} {mutant} ({time.monotonic() - start:.0f} s)", flush=True)
    if not options.list:
        print(f"{caught} of {len(chosen)} caught")


if __name__ == "__main__":
    main()
