"""The script of the README, word for word."""

import re
import subprocess
import sys
from pathlib import Path

from qi_datasets.evaluation.entry import Entry

README = Path(__file__).parents[2] / "README.md"


def test_the_script_of_the_readme_gives_an_entry(sets: Path, tmp_path: Path) -> None:
    found = re.search(r"<!-- script: evaluate -->\n```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    script = found[1]
    assert len([line for line in script.splitlines() if line]) <= 15
    (tmp_path / "demo-sets").symlink_to(sets)

    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    figures = Entry.read(tmp_path / "my-net").figures["given"]
    assert ran.stdout == f"{figures['reach_75']} {figures['location_score']}\n"
