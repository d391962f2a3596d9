"""Every damage to a set is found by the check that is made for it, and its cause says what and where."""

import shutil

import pytest

from qi_datasets.verification.report.report import Status
from qi_datasets.verification.verify import verify
from tests.verification.sabotage import SABOTAGES, do_nothing, hide

pytestmark = pytest.mark.faults


@pytest.fixture(params=SABOTAGES, ids=lambda sabotage: sabotage.title)
def spoilt(request, copy, good):
    """Returns a sabotage, and the folder of a set that it has damaged."""
    folder = copy(request.param.set)
    shutil.copy(good / "other" / "qi" / "manifest.json", folder.parent.parent / "other_manifest.json")
    request.param.spoil(folder)
    return request.param, folder


def test_hidden_sabotage_is_caught_by_its_own_check(spoilt):
    sabotage, folder = spoilt
    hide(folder, digests=sabotage.hides_digests)
    report = verify(folder, only="integrity")
    check = report.check(folder.name, sabotage.check)
    assert check.status is Status.FAIL
    assert sabotage.words in check.cause
    assert "\n" not in check.cause
    assert report.exit_status == 1
    assert report.check(folder.name, "files").status is Status.PASS


def test_sabotage_that_is_not_hidden_is_caught_by_hashes(spoilt):
    sabotage, folder = spoilt
    if sabotage.spoil is do_nothing:
        pytest.skip("an honest build of another kind: its hashes agree")
    report = verify(folder, only="integrity")
    assert report.check(folder.name, "files").status is Status.FAIL
    assert "the manifest says" in report.check(folder.name, "files").cause


def test_good_sets_pass_every_check(good):
    report = verify(good, only="integrity")
    assert [check.cause for check in report.checks if check.status is not Status.PASS] == []
    assert report.exit_status == 0
