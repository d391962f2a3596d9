"""Reads files of weights as the usual training scripts write them, without running any code of them.

It reads state dicts, alone or inside a checkpoint of torchvision's reference scripts, timm's train.py, Lightning and
similar scripts, with the prefixes that DataParallel, torch.compile, Lightning and averaging put before names.
"""

import argparse
import json
import pathlib
import shlex
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from qi_datasets.errors import ModelError, OptionError, name_some, one_line
from qi_datasets.sources.reading import open_regular

State = Mapping[str, Tensor]

PLACES = ("state_dict", "model", "model_state_dict", "module", "net", "network", "state_dict_ema", "model_ema", "ema")
"""Keys under which checkpoints have the state dict, the preferred one first: averaged weights come last."""

WRAPPERS = ("_orig_mod.", "module.")
"""Parts that torch.compile and DataParallel add to names, at their start or at a submodule's."""

COUNTERS = ("num_batches_tracked", "n_averaged")
"""Ends of the names of batch counters, which are missing in old files, and may be."""

SHOWN = 5
"""Number of names of weights that a message lists before it counts the rest."""

CONVERT = (
    'import torch; c = torch.load({file}, map_location="cpu", weights_only=False); '
    'c = c if hasattr(c, "state_dict") else c.get("state_dict", c.get("model", c)); '
    'torch.save(c.state_dict() if hasattr(c, "state_dict") else c, "weights.pth")'
)
"""Code that extracts the weights of a file, for a user who trusts the file."""

CONVERT_PART = (
    'import torch; c = torch.load({file}, map_location="cpu"); c = c.get("state_dict", c.get("model", c)); '
    'torch.save({{k.split({part}, 1)[1]: v for k, v in c.items() if {part} in k}}, "weights.pth")'
)
"""Code that extracts one of the networks of a checkpoint."""

CONVERT_PLACE = 'import torch; torch.save(torch.load({file}, map_location="cpu")[{part}], "weights.pth")'
"""Code that extracts one of the state dicts of a checkpoint."""

CONVERT_ARCHIVE = 'import torch; torch.save(torch.jit.load({file}, map_location="cpu").state_dict(), "weights.pth")'


def plain_types() -> list[Any]:
    """Returns harmless types that checkpoints hold beside weights: options and numbers."""
    numbers = [np.dtype, np.ndarray, np.float64, np.float32, np.int64, np.bool_]
    numbers += [type(np.dtype(name)) for name in ("float64", "float32", "float16", "int64", "int32", "uint8", "bool")]
    scalar: Any = np.float64(0).__reduce__()[0]
    array: Any = np.zeros(0).__reduce__()[0]
    old = [(scalar, "numpy.core.multiarray.scalar"), (array, "numpy.core.multiarray._reconstruct")]
    paths = [pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath]
    return [argparse.Namespace, scalar, array, *old, *numbers, *paths]


def read_state(path: str) -> State:
    """Reads the state dict in a file, without running any code of it.

    Raises:
        OptionError: If it is not a file.
        ModelError: If it has no state dict, or objects that can't be read safely; the message has the
            command that converts it.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise OptionError(f"weights are none, default or a file, and {path!r} is no file", code="bad-model")
    try:
        open_regular(str(file)).close()  # this names a pointer of git-lfs
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", code="bad-weights") from error
    content = read_safetensors(file) if file.suffix == ".safetensors" else read_pickled(file)
    state = find_state(content)
    if state is None and (others := [name for name in content if is_state(content[name])] if is_named(content) else []):
        raise ModelError(
            f"{path} holds state dicts under unknown names: {name_some(others)}; "
            f"{describe_conversion(CONVERT_PLACE, file, others[0])}",
            code="bad-weights",
        )
    if state is None:
        raise ModelError(
            f"{path} holds no state dict (names and tensors); save one with "
            "torch.save(net.state_dict(), 'weights.pth')",
            code="bad-weights",
        )
    return state


def read_safetensors(file: Path) -> object:
    """Reads a safetensors file. Raises ModelError for another file."""
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except Exception as error:
        raise ModelError(
            f"{file} can't be read as safetensors: {one_line(error)[:100]}; is it whole?", code="bad-weights"
        ) from error


def read_pickled(file: Path) -> object:
    """Reads a file of torch.save that holds weights, options and numbers. Raises ModelError for other content."""
    try:
        with torch.serialization.safe_globals(plain_types()):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        if is_archive(file):
            raise ModelError(
                f"{file} is a TorchScript archive; {describe_conversion(CONVERT_ARCHIVE, file)}", code="bad-weights"
            ) from error
        if found := foreign_types(file):
            raise ModelError(
                f"{file} holds more than weights ({', '.join(found[:3])}), which is not read for safety; "
                f"if you trust it, {describe_conversion(CONVERT, file)}",
                code="bad-weights",
            ) from error
        raise ModelError(
            f"{file} can't be read as a state dict; is it whole, and written by torch.save?", code="bad-weights"
        ) from error


def describe_conversion(code: str, file: Path, part: str = "") -> str:
    """Returns the end of a message: the command that extracts the weights. part: the first of several parts."""
    text = code.format(file=json.dumps(str(file)), part=json.dumps(part))
    return f"write {'one of them, such as ' + part if part else 'its weights'} alone: python -c {shlex.quote(text)}"


def is_archive(file: Path) -> bool:
    """Returns whether torch.jit.save wrote a file."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("constants.pkl") for name in archive.namelist())


def foreign_types(file: Path) -> list[str]:
    """Returns the names of the objects that reading a checkpoint would run; [] for a file that is no checkpoint."""
    try:
        with torch.serialization.safe_globals(plain_types()):
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    except Exception:  # not a checkpoint, or damaged
        return []


def find_state(content: object) -> State | None:
    """Returns the state dict that a checkpoint is or holds, with names without wrappers; None if there is none."""
    for place in ("", *PLACES):
        found = content if not place else content.get(place) if isinstance(content, dict) else None
        if is_state(found):
            return {strip_wrappers(f"{name}"): tensor for name, tensor in found.items()}
    return None


def is_state(value: object) -> TypeGuard[State]:
    """Returns whether a value is a dictionary of names and tensors, with at least one."""
    return is_named(value) and bool(value) and all(isinstance(tensor, Tensor) for tensor in value.values())


def is_named(value: object) -> TypeGuard[dict[str, object]]:
    """Returns whether a value is a dictionary whose keys are text."""
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def strip_wrappers(name: str) -> str:
    """Returns the name of a weight without the parts that wrappers add."""
    for wrapper in WRAPPERS:
        name = name.replace(f".{wrapper}", ".").removeprefix(wrapper)
    return name


def load_weights(network: nn.Module, state: State, weights: str, head: Callable[[], Collection[str]] = tuple) -> None:
    """Loads weights into a network.

    Args:
        network: The network.
        state: The weights by name; all may have one prefix, such as "model.", beside which others are left out.
        weights: The name of the weights in messages.
        head: Returns names of weights that may be missing or differ in shape, since the head is removed; called only if
            some are missing or differ.

    Raises:
        ModelError: If the other weights don't fit exactly; the message lists names.
    """
    wanted = network.state_dict()
    state = without_prefix(state, wanted, weights)
    missing = [name for name in wanted if name not in state and not name.endswith(COUNTERS)]
    further = [name for name in state if name not in wanted and not name.endswith(COUNTERS)]
    other = [name for name in wanted if name in state and wanted[name].shape != state[name].shape]
    if missing or further or other:
        free = set(head())
        missing, other = ([name for name in those if name not in free] for those in (missing, other))
        # Weights of no part of the network but its head belong to the head of another classifier.
        parts = {name.partition(".")[0] for name in wanted if name not in free}
        further = [name for name in further if not free or name.partition(".")[0] in parts]
    for what, those in (("lack", missing), ("have beside what it has", further), ("have in other shapes", other)):
        if those:
            raise ModelError(
                f"weights {weights} do not fit {type(network).__name__}: they {what} {name_some(those)}",
                code="bad-weights",
            )
    fitting = {name: tensor for name, tensor in state.items() if name in wanted and wanted[name].shape == tensor.shape}
    network.load_state_dict(fitting, strict=False)


def without_prefix(state: State, wanted: Mapping[str, Tensor], weights: str) -> State:
    """Returns a state dict without the prefix, if more of the network's names are found under it than without.

    Raises:
        ModelError: If two prefixes have equally many names, such as those of a network and of its averaged copy.
    """
    known = {name for name in wanted if not name.endswith(COUNTERS)}

    def there(prefix: str) -> int:
        return sum(f"{prefix}{name}" in state for name in known)

    ends = [(name, one) for one in list(known)[:SHOWN] for name in state if name.endswith(f".{one}")]
    prefixes = {name.removesuffix(one) for name, one in ends}
    best = max(sorted(prefixes), key=there, default="")
    if there(best) <= there(""):
        return state
    rivals = sorted(prefix for prefix in prefixes if there(prefix) == there(best))
    if len(rivals) > 1:
        raise ModelError(
            f"weights {weights} hold several such networks, under {name_some(rivals)}; "
            f"{describe_conversion(CONVERT_PART, Path(weights), rivals[-1])}",
            code="bad-weights",
        )
    return {name.removeprefix(best): tensor for name, tensor in state.items() if name.startswith(best)}
