"""Every architecture: the two smallest networks of each of timm's modules, and torchvision's, local and dense.

    python -m tests.benchmarks.zoo RESULTS.jsonl [--seconds 240] [NAME ...]
    python -m tests.benchmarks.zoo RESULTS.jsonl --summary

Each network, small ones first, is evaluated on random patches in both corners at border 64, in float32 and in float64.
A line of RESULTS.jsonl for each says what it was, whether it was computed in windows, what stopped that, how far its
answers are from the dense ones, how far the dense ones in float32 are from those in float64, and whether it has the
batch norms that it was made with. A run goes on where the last one stopped.
"""

import argparse
import json
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from qi_datasets.errors import QIDatasetsError
from qi_datasets.evaluation.models import resolve_model
from qi_datasets.evaluation.variants import Variant, describe_network, prepare_network
from qi_datasets.networks.features import ieee_float32
from qi_datasets.protocols.corners import CornerNetwork
from qi_datasets.specs import QUADRANT

BORDER, PATCHES, OF_EACH_MODULE = 64, 2, 2
CHANCE = 0
"""Seed of patches and weights."""


def names(sizes: Path) -> list[str]:
    """Returns the zoo's networks by their size. sizes: a file that keeps how many parameters each has, once counted."""
    import timm

    counts = json.loads(sizes.read_text()) if sizes.exists() else {}
    found = {}
    for module in timm.list_modules():
        models = timm.list_models(module=module)
        for name in models:
            if name not in counts:
                with torch.device("meta"):
                    counts[name] = sum(p.numel() for p in timm.create_model(name).parameters())
        found |= {f"timm:{one}": counts[one] for one in sorted(models, key=counts.get)[:OF_EACH_MODULE]}
    sizes.write_text(json.dumps(counts))
    for name in torchvision.models.list_models(module=torchvision.models):
        found[name] = torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]
    return sorted(found, key=found.get)


def batch_norms(network: nn.Module) -> set[str]:
    """Returns the names of batch norms that keep statistics."""
    return {n for n, layer in network.named_modules() if getattr(layer, "running_mean", None) is not None}


def measure(name: str) -> dict[str, Any]:
    """Returns what one network's evaluation gives; `refused` is the message where it has none."""
    began, found = time.perf_counter(), {"name": name}
    try:
        model = resolve_model(name)
        variant, facts = describe_network(model, Variant(), [QUADRANT.canvas + 2 * BORDER], head=False, widens=True)
        border = BORDER + facts.further_border
        side = QUADRANT.canvas + 2 * border
        made = model.network(side, CHANCE, own=False)
        network = prepare_network(model, variant, side, CHANCE, own=False).network
        first = next((layer for layer in made.modules() if isinstance(layer, nn.Conv2d)), None)
        found |= {
            "side": side,
            "pool": variant.pool,
            "parameters": facts.parameters,
            "field": None if facts.field is None else [facts.field.size, facts.field.stride, facts.field.bounded],
            "phase": facts.phase,
            "batch_norms": len(batch_norms(made)),
            "lost": sorted(batch_norms(made) - batch_norms(network))[:3],
            "convolutional": first is not None and first.kernel_size > first.stride,
            "because": "",
        }
        dense = []
        for dtype in (torch.float32, torch.float64):
            compared, answers = compare(network.to(dtype).to(memory_format=torch.channels_last), border, dtype)
            found |= compared
            dense.append(answers)
        found["rounding"] = float((dense[0] - dense[1]).abs().max() / dense[1].abs().max())
    except QIDatasetsError as error:
        found["refused"] = str(error)
    except Exception as error:  # What is to be found: an error of another kind than ours.
        found["failed"] = f"{type(error).__name__}: {error}"
    return found | {"took": round(time.perf_counter() - began, 1)}


def compare(network: nn.Module, border: int, dtype: torch.dtype) -> tuple[dict[str, Any], Tensor]:
    """Returns how far a network's answers in windows are from the dense ones, relative to the largest, and those."""
    generator = torch.Generator().manual_seed(CHANCE)
    patches = torch.randn(PATCHES, 3, QUADRANT.patch, QUADRANT.patch, generator=generator).to(dtype)
    answers, seconds, because = {}, {}, ""
    for way in ("local", "dense"):
        reader = CornerNetwork(network, border, local=way == "local")
        start = time.perf_counter()
        with ieee_float32():
            answers[way] = torch.from_numpy(reader.features(patches))
        seconds[way] = round(time.perf_counter() - start, 3)
        because = reader.dense_because if way == "local" else because
    scale = answers["dense"].abs().max()
    difference = float((answers["local"] - answers["dense"]).abs().max() / scale)
    facts = {"difference": difference, "scale": float(scale), **seconds}
    return {"because": because, str(dtype).removeprefix("torch."): facts}, answers["dense"]


def summary(lines: list[dict[str, Any]]) -> str:
    """Returns the results as text."""
    text = []
    for library in ("timm", "torchvision"):
        some = [one for one in lines if one["name"].startswith("timm:") == (library == "timm")]
        done = [one for one in some if "float64" in one]
        stems = [one for one in done if one["convolutional"]]
        for what, part, whole in (
            ("evaluated", done, some),
            ("in windows throughout", [one for one in done if not one["because"]], done),
            ("of those with a convolutional stem", [one for one in stems if not one["because"]], stems),
        ):
            text.append(f"{library}: {len(part)} of {len(whole)} {what} ({len(part) / max(1, len(whole)):.0%})")
        for dtype in ("float32", "float64"):
            differences = Counter({one["name"]: one[dtype]["difference"] for one in done})
            text += [f"  difference {value:.1e} ({dtype}) {name}" for name, value in differences.most_common(5)]
        text += [
            f"  {kind} {one['name']}: {one[kind]}" for kind in ("refused", "failed") for one in some if kind in one
        ]
        text += [f"  batch norms lost {one['name']}: {one['lost']}" for one in done if one["lost"]]
        text += [
            f"  whole maps{', convolutional stem' * one['convolutional']} {one['name']}: {one['because']}"
            for one in done
            if one["because"]
        ]
    return "\n".join(text)


def main() -> None:
    """Measures the networks that are not measured yet, or sums up."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--summary", action="store_true")
    chosen = parser.parse_intermixed_args()
    warnings.filterwarnings("ignore")
    there = [json.loads(line) for line in chosen.results.read_text().splitlines()] if chosen.results.exists() else []
    if chosen.summary:
        print(summary(there))
        return
    torch.set_num_threads(1)
    known = {one["name"] for one in there}
    end = time.monotonic() + chosen.seconds
    for name in chosen.names or names(chosen.results.with_suffix(".sizes.json")):
        if time.monotonic() > end:
            print("time is up; go on with the same command")
            return
        if name not in known:
            found = measure(name)
            print(json.dumps(found), flush=True)
            with chosen.results.open("a") as file:
                file.write(json.dumps(found) + "\n")
    print("done")


if __name__ == "__main__":
    main()
