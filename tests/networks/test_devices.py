import sys

import pytest
import torch

from qi_datasets.errors import OptionError
from qi_datasets.networks.devices import checked_device, threads_for
from tests.forks import call_forked
from tests.refusals import refused


@pytest.mark.parametrize(("full", "threads"), [(False, 1), (True, 2)])
def test_a_short_run_takes_one_thread_and_gives_the_others_back(full, threads):
    torch.set_num_threads(2)
    with threads_for(full=full):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_devices_that_torch_lacks_are_refused():
    assert checked_device("cpu") == "cpu"
    with refused(OptionError, "unknown-device"):
        checked_device("quantum")


def test_evaluating_imports_no_integrity_checks():
    assert call_forked(print_imported).stdout == "[]\n"


def print_imported():
    import qi_datasets.evaluation.evaluate  # noqa: F401

    print([name for name in sys.modules if "verification.integrity" in name], flush=True)
