"""Makes networks by name or from the user's own code, with their weights and the normalisation of their images."""

import copy
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from qi_datasets.errors import ModelError, NamedArgument, OptionError, QIDatasetsError, missing_extra, one_line
from qi_datasets.evaluation.arguments import check_channels, check_known
from qi_datasets.evaluation.checkpoints import State, load_weights, read_state
from qi_datasets.imagenet import IMAGENET_MEAN, IMAGENET_STD
from qi_datasets.networks.bagnet import bagnet33
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.networks.variants import without_head
from qi_datasets.registry import nearest

Fetched = TypeVar("Fetched")

NONE, DEFAULT, GIVEN = "none", "default", "given"
TIMM = "timm:"
OURS: Mapping[str, Callable[[], nn.Module]] = {"bagnet33": bagnet33}

AUXILIARY = {"googlenet": "aux1.", "inception_v3": "AuxLogits."}
"""Networks with auxiliary heads for training, and how the names of their weights start."""


@dataclass(frozen=True)
class Transform:
    """The mean and standard deviation that a network expects. interpolation: how its images are resized, if stated."""

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str | None = None


@dataclass(frozen=True)
class Model:
    """A way to make a network, or a network that exists already.

    Attributes:
        name: Its name in an entry.
        weights: None, default, given, or the name of the file of weights.
        make: Makes it for images of a side in pixels, with weights from torch's random state; or, if the
            second argument is true, with its own.
        state: Its own weights, if `make` doesn't have them.
        transform: The normalisation of its images.
        whole: Whether it is a classifier of a library, whose head and pooling are replaced; else its answers are the
            features.
        sized: Whether `make` makes another network for each side.
        anew: Whether each call of `make` makes a new network, so that several seeds are possible.
        fixed: Whether a function makes it with the same weights, whatever the seed.
    """

    name: str
    weights: str
    make: Callable[[int, bool], nn.Module]
    state: State | None = None
    transform: Transform = field(default_factory=Transform)
    whole: bool = True
    anew: bool = True
    fixed: bool = False
    sized: bool = False

    def network(self, side: int, seed: int, *, own: bool, headless: bool = False) -> nn.Module:
        """Returns the network for images of a side in pixels.

        Args:
            side: Rows and columns of the images.
            seed: Seed of random weights.
            own: Whether it gets its own weights, else random ones of that seed.
            headless: Whether its head will be removed, so that its weights need none.

        Raises:
            ModelError: If it can't be made, or its weights don't fit.
        """
        with random_seed(seed):
            network = float32_module(build_network(lambda: self.make(side, own), self.name), self.name)
        if own and self.state is not None:
            free = partial(head_of, network) if headless and self.whole else tuple
            load_weights(network, resize_embeddings(network, self.state), self.weights, free)
        return network


def resolve_model(model: "str | nn.Module | Callable[[], nn.Module]", weights: str = NONE) -> Model:
    """Returns a model from a name, from the location of a factory, from a factory, or from a module.

    Args:
        model: A name of torchvision's classifiers or "bagnet33"; "timm:NAME"; "package.module:factory" or
            "path/to/file.py:factory"; a function without arguments that makes a module; or a module.
        weights: "none", "default" (its library's default weights), or the path of a file with a state
            dict, as torch or safetensors writes it.

    Raises:
        ModelError: If it can't be made or loaded.
        OptionError: If the name is unknown, or weights have no effect.
    """
    if isinstance(model, torch.export.ExportedProgram):
        raise OptionError(
            "an exported program takes images of one size; give the module that it was exported from", code="bad-model"
        )
    if not isinstance(model, str) and not callable(model):
        raise OptionError(
            f"model must be a module, a function that makes one, or a name, not {model!r:.100}", code="bad-model"
        )
    if isinstance(model, nn.Module):
        model = unwrap_module(model)
        if weights != NONE:
            raise OptionError(
                "the module has its weights; ",
                NamedArgument("weights", f"{weights!r}"),
                " would have no effect, leave it out",
                code="no-effect",
            )
        given: nn.Module = model
        return Model(type(given).__name__, GIVEN, lambda side, own: copy_module(given), whole=False, anew=False)
    if callable(model):
        name = getattr(model, "__name__", type(model).__name__)
        return load_from_file(Model(name, NONE, lambda side, own: model(), whole=False), weights)
    if model.startswith(TIMM):
        return timm_model(model.removeprefix(TIMM), weights)
    if ":" in model:
        factory = factory_at(model)
        # The name of a file is the same in whatever folder it is.
        where, _, factory_name = model.rpartition(":")
        name = f"{Path(where).name}:{factory_name}" if where.endswith(".py") else model
        return load_from_file(Model(name, NONE, lambda side, own: factory(), whole=False), weights)
    if model in OURS:
        return load_from_file(Model(model, NONE, lambda side, own: OURS[model]()), weights)
    return torchvision_model(model, weights)


def unwrap_module(network: nn.Module) -> nn.Module:
    """Returns the module that torch.compile, DataParallel or DistributedDataParallel wraps, or the module itself."""
    inner: Any = network
    while isinstance(inner, nn.DataParallel | nn.parallel.DistributedDataParallel) or hasattr(inner, "_orig_mod"):
        inner = inner._orig_mod if hasattr(inner, "_orig_mod") else inner.module
    return inner  # type: ignore[no-any-return]


def copy_module(network: nn.Module) -> nn.Module:
    """Returns a copy of a module, and leaves the module unchanged."""
    for layer in network.modules():
        for name, value in vars(layer).items():
            # Pruning and older weight norms keep their last result as an attribute, which can't be copied.
            if isinstance(value, Tensor) and value.grad_fn is not None:
                vars(layer)[name] = value.detach()
    with torch.no_grad():  # else the copied weights of a scripted module are not leaf tensors
        return copy.deepcopy(network)


def float32_module(network: nn.Module, name: str) -> nn.Module:
    """Returns a module in float32. Raises ModelError if its weights can't be converted."""
    if any(is_lazy(tensor) for tensor in chain(network.parameters(), network.buffers())):
        raise ModelError(f"{name} has lazy layers, which get their weights at the first image; give it one before")
    if any(not isinstance(value, Tensor) or value.is_quantized for value in network.state_dict().values()):
        raise ModelError(f"{name} has weights that are not ordinary tensors; give the network before it was quantised")
    numbers = {tensor.dtype for tensor in chain(network.parameters(), network.buffers()) if tensor.is_floating_point()}
    return network.float() if numbers - {torch.float32} else network


def detect_own_weights(model: Model, side: int) -> Model:
    """Returns the model with init `given` if its factory makes the same weights for every seed of torch.

    Args:
        model: A model from a function or a file.
        side: Rows and columns of images.
    """
    if not model.anew or model.whole or model.weights != NONE:
        return model
    first, second = (weights_sha256(model.network(side, seed, own=False)) for seed in (0, 1))
    return replace(model, weights=GIVEN, anew=False, fixed=True) if first == second else model


def with_normalisation(model: Model, mean: Sequence[float] | None, std: Sequence[float] | None) -> Model:
    """Returns the model with another mean in [0, 1] or deviation in (0, 1]; None keeps its own.

    Raises:
        OptionError: If an argument is wrong.
    """
    for name, values in (("mean", check_channels("mean", mean)), ("std", check_channels("std", std))):
        if values is not None:
            changed: dict[str, Any] = {name: values}
            model = replace(model, transform=replace(model.transform, **changed))
    return model


def is_of_library(name: str) -> bool:
    """Returns whether a network's name is one of torchvision, timm or this package."""
    return name.startswith(TIMM) or name in model_names()


def model_names() -> list[str]:
    """Returns the names that need no further argument: ours and those of torchvision's classifiers."""
    return [*OURS, *torchvision.models.list_models(module=torchvision.models)]


def torchvision_model(name: str, weights: str) -> Model:
    """Returns one of torchvision's classifiers."""
    known = model_names()
    check_known(name, known)
    builder = torchvision.models.get_model_builder(name)
    state, transform = None, Transform()
    if weights == DEFAULT:
        found = torchvision.models.get_model_weights(name).DEFAULT
        state = download_weights(lambda: found.get_state_dict(progress=False, check_hash=True), name)
        preset = found.transforms()
        transform = Transform(tuple(preset.mean), tuple(preset.std), preset.interpolation.value)
    elif weights != NONE:
        state = read_state(weights)
    options: dict[str, Any] = {"weights": None}
    if name in AUXILIARY:
        heads = state is not None and any(key.startswith(AUXILIARY[name]) for key in state)
        options |= {"aux_logits": heads, "init_weights": state is None}

    def make(side: int, own: bool) -> nn.Module:
        # torchvision's transformers, on whole images or windows, are made for one size.
        size: dict[str, Any] = {"image_size": side} if name.startswith("vit_") else {}
        size |= {"input_size": (side, side)} if name.startswith("maxvit") else {}
        return builder(**options, **size)  # type: ignore[no-any-return]

    return Model(name, describe_weights(weights), make, state, transform, sized=name.startswith(("vit_", "maxvit")))


def timm_model(name: str, weights: str) -> Model:
    """Returns one of timm's networks, with its own normalisation."""
    if find_spec("timm") is None:
        raise missing_extra(f"{TIMM}{name} needs timm, which is missing", "timm")
    timm = importlib.import_module("timm")
    if not timm.is_model(name.partition(".")[0]):
        raise OptionError(
            f"timm has no model {name!r}{nearest(name, dict.fromkeys(timm.list_models()))}", code="unknown-mode"
        )
    first = build_network(lambda: timm.create_model(name, pretrained=False), name)
    config = importlib.import_module("timm.data").resolve_model_data_config(first)
    transform = Transform(tuple(config["mean"]), tuple(config["std"]), config["interpolation"])
    # Many are made for one size of images (by a table of positions, say), but their settings don't say so.
    taken = {name for kind in type(first).__mro__[:-1] for name in inspect.signature(kind).parameters}
    named = next((argument for argument in ("img_size", "input_size") if argument in taken), None)

    def make(side: int, own: bool) -> nn.Module:
        size = {named: side} if named else {}
        return timm.create_model(name, pretrained=own and weights == DEFAULT, **size)  # type: ignore[no-any-return]

    if weights == DEFAULT:
        download_weights(lambda: timm.create_model(name, pretrained=True), name)
    state = read_state(weights) if weights not in (NONE, DEFAULT) else None
    return Model(f"{TIMM}{name}", describe_weights(weights), make, state, transform, sized=named is not None)


def factory_at(place: str) -> Callable[[], nn.Module]:
    """Returns the function that `package.module:factory` or `path/to/file.py:factory` names.

    A file can import other files of its folder, as when Python runs it.

    Raises:
        OptionError: As `resolve_model`.
        ModelError: As `resolve_model`.
    """
    where, _, name = place.rpartition(":")
    beside = [f"{Path(where).absolute().parent}"] if where.endswith(".py") else []
    try:
        with importable_from(beside):
            module = module_in(Path(where)) if beside else importlib.import_module(where)
            factory = getattr(module, name)
    except QIDatasetsError:
        raise
    except Exception as error:
        raise ModelError(f"{place} can't be imported: {type(error).__name__}: {one_line(error)}") from error
    if not callable(factory) or isinstance(factory, nn.Module):
        raise OptionError(
            f"{place} is a {type(factory).__name__}; name a function without arguments that makes one", code="bad-model"
        )

    def make() -> nn.Module:
        with importable_from(beside):
            made: nn.Module = factory()  # `build_network` checks the result.
        return made

    return make


def module_in(path: Path) -> ModuleType:
    """Imports a Python file and returns the module. Raises OptionError for another file."""
    if not path.is_file():
        raise OptionError(f"{path} is no file; give path/to/file.py:factory", code="bad-model")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise OptionError(f"{path} is no Python file", code="bad-model")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


@contextmanager
def importable_from(folders: Sequence[str]) -> Iterator[None]:
    """Lets modules in these folders be imported by name while the block runs."""
    sys.path[:0] = folders
    try:
        yield
    finally:
        for folder in folders:
            sys.path.remove(folder)


def build_network(make: Callable[[], object], name: str) -> nn.Module:
    """Calls a factory. Raises ModelError if it raises, or returns no module."""
    try:
        network = make()
    except QIDatasetsError:
        raise
    except Exception as error:
        raise ModelError(f"{name} can't be made: {type(error).__name__}: {one_line(error)[:200]}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"{name} makes a {type(network).__name__}, not a torch.nn.Module")
    return unwrap_module(network)


def describe_weights(weights: str) -> str:
    """Returns an entry's name of the weights: of a file its name without the folder."""
    return weights if weights in (NONE, DEFAULT) else Path(weights).name


def load_from_file(model: Model, weights: str) -> Model:
    """Returns a model without default weights, with the weights of a file if one is given."""
    if weights == NONE:
        return model
    if weights == DEFAULT:
        raise OptionError(f"{model.name} has no default weights; give the file where they are", code="bad-model")
    return Model(model.name, describe_weights(weights), model.make, read_state(weights), model.transform, model.whole)


def download_weights(fetch: Callable[[], Fetched], name: str) -> Fetched:
    """Downloads weights by a library. Raises ModelError if it can't."""
    try:
        return fetch()
    except Exception as error:
        raise ModelError(
            f"the default weights of {name} can't be downloaded: {one_line(error)[:200]}; give a file",
            code="bad-weights",
        ) from error


def resize_embeddings(network: nn.Module, state: State) -> State:
    """Returns weights with the positional embeddings of torchvision's ViT interpolated to the network's images."""
    if not isinstance(network, torchvision.models.VisionTransformer):
        return state
    interpolate = torchvision.models.vision_transformer.interpolate_embeddings
    return interpolate(network.image_size, network.patch_size, dict(state))  # type: ignore[no-any-return]


def head_of(network: nn.Module) -> list[str]:
    """Returns the names of weights that a classifier loses with its head; [] if no head is found."""
    try:
        kept = without_head(network).state_dict()
    except OptionError:
        return []
    return [name for name in network.state_dict() if name not in kept]


def weights_sha256(network: nn.Module) -> str:
    """Returns the SHA-256 (hex) of a network's parameters and buffers, sorted by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name}:{values.dtype}:{tuple(values.shape)}\n".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
