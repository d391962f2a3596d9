"""Checks that the wheel in `dist/` holds every file of the package, and nothing beside it."""

import sys
import zipfile
from pathlib import Path

(wheel,) = Path("dist").glob("*.whl")
names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
if top := {name.split("/")[0] for name in names} - {"qi_datasets"}:
    sys.exit(f"the wheel has top-level names beside qi_datasets: {sorted(top)}")
files = [path for path in Path("qi_datasets").rglob("*") if path.is_file() and path.suffix != ".pyc"]
# Of the folders below cards/, most of which hold what is published beside the package, it needs this one.
mapped = [path for pattern in ("builders/*", "cards/*", "cards/tablesort/*") for path in Path().glob(pattern)]
wanted = {path.as_posix() for path in files} | {f"qi_datasets/{path.as_posix()}" for path in mapped if path.is_file()}
if missing := wanted - names:
    sys.exit(f"the wheel lacks {sorted(missing)}")
print(f"{len(names)} files, one top-level name")
