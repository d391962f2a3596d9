"""`verify`: the verified sets, the messages if something is missing, and the calls that users make."""

import json
import subprocess
import sys

import fsspec
import pytest

import qi_datasets
from qi_datasets.errors import NotBuiltError, OptionError, UnknownSetError
from qi_datasets.storage.manifest_file import text_of
from qi_datasets.verification import verify as module
from qi_datasets.verification.report.report import Report, Status
from qi_datasets.verification.verify import verify
from tests.refusals import refused


def sets_of(report):
    return list(dict.fromkeys(check.set for check in report.checks))


def test_all_official_sets_of_a_folder_are_verified_and_others_named(good):
    report = verify(good, only="integrity")
    assert sets_of(report) == ["rook", "corner", "red_green", "qi", "shifted"]
    assert report.where == str(good)
    assert report.check("shifted", "disjoint").status is Status.PASS
    assert "qi-canvas_112" in report.notes[0]


def test_a_set_of_another_size_is_verified_when_asked_for(good):
    report = verify(good, "qi-canvas_112", only="integrity")
    assert [check.name for check in report.checks if check.status is Status.FAIL] == ["displacement"]


def test_the_folder_of_one_set_will_do(good):
    assert sets_of(verify(good / "corner", only="integrity")) == ["corner"]


def test_a_set_behind_a_url(good):
    store = fsspec.filesystem("memory")
    store.put(str(good / "rook"), "/sets/rook", recursive=True)
    try:
        report = verify("memory://sets", only="integrity")
        assert (sets_of(report), report.exit_status) == (["rook"], 0)
    finally:
        store.rm("/sets", recursive=True)


def test_on_an_empty_machine_toy_sets_are_made_and_vanish(monkeypatch, tmp_path):
    monkeypatch.setenv("QI_DATASETS_HOME", str(tmp_path / "nothing"))
    report = verify(only="integrity")
    assert sets_of(report) == ["rook", "corner", "red_green"]
    assert report.exit_status == 0
    assert "nothing is built in" in report.notes[0]
    assert not (tmp_path / "nothing").exists()


def test_the_default_folder_is_the_one_that_qi_build_writes(monkeypatch, good):
    monkeypatch.setenv("QI_DATASETS_HOME", str(good))
    assert verify(sets=["qi", "rook"], only="integrity").where == str(good)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"out": "nosuch://sets"}, OptionError, "'nosuch://sets' is no place for sets"),
        ({"out": "empty"}, NotBuiltError, "there are no sets in .*empty; build some with qi-build"),
        (
            {"sets": "rock"},
            UnknownSetError,
            r"no set is called 'rock' in .*\(did you mean 'rook'\?\); there are corner",
        ),
        ({"out": "good/other", "sets": "rook"}, NotBuiltError, "rook is not built in .*; there are qi"),
        ({"only": "integral"}, OptionError, "only must be integrity or separability, not 'integral'.*'integrity'"),
        ({"seeds": 0}, OptionError, "seeds must be an integer from 1, not 0"),
        ({"seeds": True}, OptionError, "seeds must be an integer from 1, not True"),
        ({"device": "abacus"}, OptionError, "torch can't use the device 'abacus'"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(good, tmp_path, arguments, error, words):
    (tmp_path / "empty").mkdir()
    out = arguments.get("out", "good")
    place = {"empty": tmp_path / out, "nosuch://sets": out}.get(out, good.joinpath(*out.split("/")[1:]))
    with pytest.raises(error, match=words) as caught:
        verify(**arguments | {"out": place})
    assert "\n" not in str(caught.value)


def test_sets_made_from_images_are_not_made_on_the_spot(monkeypatch, tmp_path):
    monkeypatch.setenv("QI_DATASETS_HOME", str(tmp_path))
    with refused(NotBuiltError, "not-built", match="there are no sets in"):
        verify(sets="qi")


def test_without_torch_integrity_runs_and_the_rest_is_not_checked(monkeypatch, good):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    report = verify(good, ["rook", "qi"])
    assert report.exit_status == 3
    for name in ("rook", "qi"):
        check = report.check(name, "separability")
        assert check.status is Status.NOT_CHECKED
        assert "pip install '.[torch]'" in check.cause
    assert len(report.having(Status.PASS)) > 20
    assert verify(good, ["rook"], only="integrity").exit_status == 0


def test_a_failure_counts_more_than_what_was_not_checked(monkeypatch, good):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert verify(good, "qi-canvas_112").exit_status == 1


def test_integrity_imports_no_torch(good):
    code = f"""
import sys
sys.modules["torch"] = None  # an import of it raises
from qi_datasets import verify
report = verify({str(good)!r}, ["rook", "red_green", "qi"], only="integrity")
print(report.exit_status)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "0", run.stderr


def test_verify_is_a_call_of_the_package_that_costs_nothing_to_import():
    assert qi_datasets.verify is verify
    code = "import sys, qi_datasets; print(any(name.startswith('qi_datasets.verification') for name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "False", run.stderr


def test_nothing_checked_is_never_a_pass(good, monkeypatch):
    with refused(OptionError, "nothing-asked", match="names no set"):
        verify(good, [])
    report = verify(good, "shifted", only="separability")
    assert [check.status for check in report.checks] == [Status.NOT_CHECKED]
    assert report.exit_status == 3
    assert Report("nowhere", ()).exit_status == 3


def test_a_set_is_not_verified_in_the_place_of_another(good):
    with refused(OptionError, "contradiction", match=r"qi is one set, but sets=rook is asked for"):
        verify(good / "qi", "rook")
    assert sets_of(verify(good / "qi", "qi", only="integrity")) == ["qi"]


@pytest.mark.parametrize("lost", ["configs", "sources"])
def test_networks_without_images_or_sources_are_not_checked(lost, copy):
    folder = copy("qi")
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest[lost].pop("border_0" if lost == "configs" else "test")
    path.write_text(text_of(manifest))

    report = verify(folder, only="separability")
    assert report.check("qi", "separability").status is Status.NOT_CHECKED
    assert report.exit_status == 3
