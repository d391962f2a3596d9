"""Each set that lies fails the check that is named after what is wrong with it."""

import shutil
from pathlib import Path

import pytest

from qi_datasets.verification.report.report import Status
from qi_datasets.verification.verify import verify
from tests.faults.liars import LIARS, Liar, tell

pytestmark = pytest.mark.faults


@pytest.mark.timeout(60)
@pytest.mark.parametrize("liar", LIARS, ids=lambda liar: liar.title)
def test_a_set_that_lies_is_caught(liar: Liar, copy) -> None:
    folder = copy(liar.set)
    tell(liar, folder)

    report = verify(folder if (folder / "manifest.json").is_file() else folder.parent, liar.set, only="integrity")

    failed = {check.name: check.cause for check in report.checks if check.status is Status.FAIL}
    assert liar.check in failed, failed
    assert report.exit_status == 1
    assert all(len(cause.splitlines()) == 1 for cause in failed.values())


def test_good_sets_raise_no_alarm(good: Path, tmp_path: Path) -> None:
    for folder in (good, good / "other"):
        report = verify(folder, only="integrity")
        assert [check.cause for check in report.checks if check.status is not Status.PASS] == []
    shutil.copytree(good / "qi", tmp_path / "anything")
    (tmp_path / "anything" / ".gitattributes").write_text("*.parquet filter=lfs")
    assert verify(tmp_path / "anything", only="integrity").exit_status == 0
