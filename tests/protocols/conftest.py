"""Without torch these tests are left out."""

from importlib.util import find_spec

if find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    import torch

    # The tests' images are small: more threads cost more than they gain.
    torch.set_num_threads(1)
