import json

import pytest

from qi_datasets.errors import OutputError
from qi_datasets.verification.integrity.findings import NAMED, Findings
from qi_datasets.verification.report.report import Cell, Check, Report, Status, Table, VerifiedSet
from tests.refusals import refused


def report(*statuses, cause="gone wrong"):
    checks = tuple(
        Check("qi", f"check {n}", status, "1 of 2", "it means", (0.25, 0.75), cause if status is Status.FAIL else "")
        for n, status in enumerate(statuses)
    )
    return Report("here", checks, (Table("title", ("a", "b"), (("1", "2"),)),))


@pytest.mark.parametrize(
    ("statuses", "exit_status"),
    [
        ([Status.PASS, Status.SHOWN, Status.LEFT_OUT, Status.WARN], 0),
        ([Status.PASS, Status.NOT_CHECKED], 3),
        ([Status.NOT_CHECKED, Status.FAIL, Status.PASS], 1),
        ([], 3),
        ([Status.SHOWN, Status.LEFT_OUT], 3),
    ],
)
def test_exit_status_is_that_of_the_worst_check(statuses, exit_status):
    assert report(*statuses).exit_status == exit_status
    assert report(*statuses).passed == (exit_status == 0)


def test_json_holds_every_check_and_table(tmp_path):
    made = report(Status.PASS, Status.FAIL, cause="gone\nwrong")
    made.write_json(tmp_path / "new" / "report.json")
    read = json.loads((tmp_path / "new" / "report.json").read_text())
    assert [(check["status"], check["cause"]) for check in read["checks"]] == [("pass", ""), ("fail", "gone wrong")]
    assert read["checks"][0]["interval"] == [0.25, 0.75]
    assert read["tables"][0]["rows"] == [["1", "2"]]
    assert read["exit_status"] == 1


def test_a_file_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with refused(OutputError, "cannot-write", match="cannot write"):
        report().write_json(tmp_path / "file" / "report.json")


def test_a_check_is_found_by_name():
    assert report(Status.WARN).check("qi", "check 0").status is Status.WARN
    with pytest.raises(KeyError):
        report().check("qi", "check 0")


def test_a_cause_names_a_few_findings_and_counts_the_rest():
    first, second = Findings(), Findings()
    for number in range(NAMED - 1):
        first.add("labels", f"row {number}")
    for number in range(5):
        second.add("labels", f"row {10 + number}")
    first.merge(second)
    assert first.cause("labels") == "row 0; row 1; row 10; and 4 more"
    assert first.cause("images") == ""


def test_numbers_are_numbers_in_json_and_text_for_readers():
    table = Table("t", ("padding", "share"), (("same", Cell("99 %", {"share": 0.99, "equal": False, "last": None})),))
    check = Check("qi", "reads", Status.PASS, "99 %", "it means", numbers={"accuracy": 0.99})
    made = Report("here", (check,), (table,), sets=(VerifiedSet("qi", {"digests": {"border_0": {"test": "ab"}}}),))
    read = json.loads(made.to_json())
    assert read["tables"][0]["rows"][0][1]["numbers"] == {"share": 0.99, "equal": False, "last": None}
    assert read["checks"][0]["numbers"] == {"accuracy": 0.99}
    assert read["sets"] == [{"digests": {"border_0": {"test": "ab"}}}]


def test_a_notebook_shows_the_verdict_and_escapes_what_it_was_given():
    made = report(Status.PASS, Status.FAIL, cause="<b>gone</b>")
    assert "Some checks failed: qi" in made._repr_html_()
    assert "&lt;b&gt;gone" in made._repr_html_()
    assert len(repr(made)) < 200
