"""Files of weights as the usual training scripts write them: read without running anything of them, and loaded.

Read are state dicts, alone or inside a checkpoint of torchvision's reference scripts, timm's train.py, Lightning and
scripts of their kind; with the prefixes that DataParallel, torch.compile, Lightning and averaging put before names.
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
"""Keys under which checkpoints have the state dict, by preference: averaged weights only where there are no others."""

WRAPPERS = ("_orig_mod.", "module.")
"""Parts of names that torch.compile and DataParallel add, at their start or at a submodule's."""

COUNTERS = ("num_batches_tracked", "n_averaged")
"""Ends of names that count batches: they are missing in old files, and count for nothing."""

SHOWN = 5
"""The number of names of weights that a message lists before it counts the rest."""

CONVERT = (
    'import torch; c = torch.load({file}, map_location="cpu", weights_only=False); '
    'c = c if hasattr(c, "state_dict") else c.get("state_dict", c.get("model", c)); '
    'torch.save(c.state_dict() if hasattr(c, "state_dict") else c, "weights.pth")'
)
"""Code that gets the weights out of a file, for a user who trusts it."""

CONVERT_PART = (
    'import torch; c = torch.load({file}, map_location="cpu"); c = c.get("state_dict", c.get("model", c)); '
    'torch.save({{k.split({part}, 1)[1]: v for k, v in c.items() if {part} in k}}, "weights.pth")'
)
"""Code that writes one of several networks that a checkpoint holds."""

CONVERT_PLACE = 'import torch; torch.save(torch.load({file}, map_location="cpu")[{part}], "weights.pth")'
"""Code that writes one of several state dicts that a checkpoint holds."""

CONVERT_ARCHIVE = 'import torch; torch.save(torch.jit.load({file}, map_location="cpu").state_dict(), "weights.pth")'


def plain_types() -> list[Any]:
    """Returns types that checkpoints hold beside weights and that do nothing when read: options and numbers."""
    numbers = [np.dtype, np.ndarray, np.float64, np.float32, np.int64, np.bool_]
    numbers += [type(np.dtype(name)) for name in ("float64", "float32", "float16", "int64", "int32", "uint8", "bool")]
    scalar: Any = np.float64(0).__reduce__()[0]
    array: Any = np.zeros(0).__reduce__()[0]
    old = [(scalar, "numpy.core.multiarray.scalar"), (array, "numpy.core.multiarray._reconstruct")]
    paths = [pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath]
    return [argparse.Namespace, scalar, array, *old, *numbers, *paths]


def read_state(path: str) -> State:
    """Returns the state dict in a file, read without running anything of it.

    Raises:
        OptionError: For what is no file.
        ModelError: For a file without a state dict, or with objects that can't be read safely; the message has the
            command that converts it.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise OptionError(f"weights are none, default or a file, and {path!r} is no file", code="bad-model")
    try:
        open_regular(str(file)).close()  # which names a pointer of git-lfs
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", code="bad-weights") from error
    content = read_safetensors(file) if file.suffix == ".safetensors" else read_pickled(file)
    state = find_state(content)
    if state is None and (others := [name for name in content if is_state(content[name])] if is_named(content) else []):
        raise ModelError(
            f"{path} holds state dicts under names that tell nothing: {name_some(others)}; "
            f"{converted_by(CONVERT_PLACE, file, others[0])}",
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
    """Returns what a file of safetensors holds; ModelError for another file."""
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except Exception as error:
        raise ModelError(
            f"{file} can't be read as safetensors: {one_line(error)[:100]}; is it whole?", code="bad-weights"
        ) from error


def read_pickled(file: Path) -> object:
    """Returns what torch.save wrote into a file, as far as it is weights, options and numbers; ModelError otherwise."""
    try:
        with torch.serialization.safe_globals(plain_types()):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        if is_archive(file):
            raise ModelError(
                f"{file} is a TorchScript archive; {converted_by(CONVERT_ARCHIVE, file)}", code="bad-weights"
            ) from error
        if found := foreign_types(file):
            raise ModelError(
                f"{file} holds more than weights ({', '.join(found[:3])}), which is not read for safety; "
                f"if you trust it, {converted_by(CONVERT, file)}",
                code="bad-weights",
            ) from error
        raise ModelError(
            f"{file} can't be read as a state dict; is it whole, and written by torch.save?", code="bad-weights"
        ) from error


def converted_by(code: str, file: Path, part: str = "") -> str:
    """Returns the end of a message: the command that writes the weights alone. part: of several, the first."""
    text = code.format(file=json.dumps(str(file)), part=json.dumps(part))
    return f"write {'one of them, such as ' + part if part else 'its weights'} alone: python -c {shlex.quote(text)}"


def is_archive(file: Path) -> bool:
    """Returns whether a file is what torch.jit.save writes."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("constants.pkl") for name in archive.namelist())


def foreign_types(file: Path) -> list[str]:
    """Returns the names of what a checkpoint would have run; [] for what is none."""
    try:
        with torch.serialization.safe_globals(plain_types()):
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    except Exception:  # no checkpoint, or a damaged one
        return []


def find_state(content: object) -> State | None:
    """Returns the state dict that a checkpoint is or holds, its names without the wrappers'; None if there is none."""
    for place in ("", *PLACES):
        found = content if not place else content.get(place) if isinstance(content, dict) else None
        if is_state(found):
            return {strip_wrappers(f"{name}"): tensor for name, tensor in found.items()}
    return None


def is_state(value: object) -> TypeGuard[State]:
    """Returns whether a value is names and tensors, at least one."""
    return is_named(value) and bool(value) and all(isinstance(tensor, Tensor) for tensor in value.values())


def is_named(value: object) -> TypeGuard[dict[str, object]]:
    """Returns whether a value is a dictionary whose keys are text."""
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def strip_wrappers(name: str) -> str:
    """Returns the name of a weight without what wrappers put into it."""
    for wrapper in WRAPPERS:
        name = name.replace(f".{wrapper}", ".").removeprefix(wrapper)
    return name


def load_weights(network: nn.Module, state: State, weights: str, head: Callable[[], Collection[str]] = tuple) -> None:
    """Loads weights into a network.

    Args:
        network: Gets them.
        state: The weights by name; all may have one prefix, such as "model.", beside which others are left out.
        weights: What they are called in messages.
        head: Returns names of weights that may be missing or of other shapes, since they are taken off; asked only if
            some are.

    Raises:
        ModelError: Unless the others fit exactly; it lists names.
    """
    wanted = network.state_dict()
    state = without_prefix(state, wanted, weights)
    missing = [name for name in wanted if name not in state and not name.endswith(COUNTERS)]
    further = [name for name in state if name not in wanted and not name.endswith(COUNTERS)]
    other = [name for name in wanted if name in state and wanted[name].shape != state[name].shape]
    if missing or further or other:
        free = set(head())
        missing, other = ([name for name in those if name not in free] for those in (missing, other))
        # What is of no part of the network but its head belongs to the head of another classifier.
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
    """Returns a state dict without the prefix under which more of the wanted names are there than without.

    Raises:
        ModelError: Where two prefixes have as many, such as those of a network and of its slow copy.
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
            f"{converted_by(CONVERT_PART, Path(weights), rivals[-1])}",
            code="bad-weights",
        )
    return {name.removeprefix(best): tensor for name, tensor in state.items() if name.startswith(best)}
