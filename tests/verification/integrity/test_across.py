"""Sets that share an order of images share no image."""

import json
from dataclasses import replace

import pytest

from qi_datasets import registry
from qi_datasets.specs import QI
from qi_datasets.storage.manifest_file import text_of
from qi_datasets.verification.integrity.across import check_across
from qi_datasets.verification.report.report import Status
from qi_datasets.verification.stored_folder import StoredFolder


@pytest.mark.parametrize(("source", "status"), [("qi", Status.FAIL), ("other/qi", Status.PASS)])
def test_sets_that_share_an_order_of_images_share_no_source(good, tmp_path, monkeypatch, source, status):
    later = replace(QI, name="later", first_rank_after=QI.name)
    monkeypatch.setattr(registry, "SPECS", dict(registry.SPECS) | {"later": later})
    (tmp_path / "later").mkdir()
    manifest = json.loads((good / source / "manifest.json").read_text()) | {"name": "later"}
    (tmp_path / "later" / "manifest.json").write_text(text_of(manifest))
    (check,) = check_across([StoredFolder.open(folder) for folder in (good / "qi", tmp_path / "later")]).checks
    assert (check.set, check.name, check.status) == ("later", "disjoint", status)
    assert ("is in later (train) and in qi" in check.cause) == (status is Status.FAIL)
