"""Reads the checks of a report."""

from qi_datasets.verification.report.report import Status


def failing(report):
    return {check.name: check.cause for check in report.checks if check.status is Status.FAIL}
