"""Every architecture: the two smallest networks of each of timm's modules, and torchvision's, local and dense.

    python -m tests.benchmarks.zoo RESULTS.jsonl [--seconds 240] [--float64] [NAME ...]
    python -m tests.benchmarks.zoo RESULTS.jsonl --summary

Each network is evaluated on random patches in both corners at border 64. A line of RESULTS.jsonl for each says what it
was, whether it was computed in windows, what stopped that, how far its answers are from the dense ones, and whether
it has the batch norms that it was made with. A run goes on where the last one stopped.
"""

import argparse
import json
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from qi_datasets.errors import OptionError, QIDatasetsError
from qi_datasets.evaluation.models import resolve_model
from qi_datasets.evaluation.variants import Variant, describe_network, prepare_network
from qi_datasets.networks.features import ieee_float32
from qi_datasets.protocols.corners import CornerNetwork
from qi_datasets.specs import QUADRANT

BORDER, PATCHES, OF_EACH_MODULE = 64, 2, 2
CHANCE, LARGEST = 0, 100_000_000
"""Seed of patches and weights; parameters beyond which a network of torchvision is left out, for its time."""


def names(sizes: Path) -> Iterator[str]:
    """Yields the zoo's networks. sizes: a file that keeps how many parameters those of timm have, once counted."""
    import timm

    counts = json.loads(sizes.read_text()) if sizes.exists() else {}
    for module in timm.list_modules():
        for name in timm.list_models(module=module):
            if name not in counts:
                with torch.device("meta"):
                    counts[name] = sum(p.numel() for p in timm.create_model(name).parameters())
        sizes.write_text(json.dumps(counts))
        yield from (f"timm:{n}" for n in sorted(timm.list_models(module=module), key=counts.get)[:OF_EACH_MODULE])
    yield from torchvision.models.list_models(module=torchvision.models)


def batch_norms(network: nn.Module) -> set[str]:
    """Returns the names of batch norms that keep statistics."""
    return {n for n, layer in network.named_modules() if getattr(layer, "running_mean", None) is not None}


def measure(name: str, dtype: torch.dtype) -> dict[str, Any]:
    """Returns what one network's evaluation gives; `refused` is the message where it has none."""
    began, found = time.perf_counter(), {"name": name, "dtype": str(dtype).removeprefix("torch.")}
    try:
        model = resolve_model(name)
        variant, facts = describe_network(model, Variant(), [QUADRANT.canvas + 2 * BORDER], head=False, widens=True)
        border = BORDER + facts.further_border
        side = QUADRANT.canvas + 2 * border
        made = model.network(side, CHANCE, own=False)
        network = prepare_network(model, variant, side, CHANCE, own=False).network.to(dtype)
        network = network.to(memory_format=torch.channels_last)
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
        }
        generator = torch.Generator().manual_seed(CHANCE)
        patches = torch.randn(PATCHES, 3, QUADRANT.patch, QUADRANT.patch, generator=generator).to(dtype)
        answers, seconds = {}, {}
        for way in ("local", "dense"):
            reader = CornerNetwork(network, border, local=way == "local")
            start = time.perf_counter()
            with ieee_float32():
                answers[way] = torch.from_numpy(reader.features(patches))
            seconds[way] = round(time.perf_counter() - start, 3)
            if way == "local":
                found["because"] = reader.dense_because
        scale = answers["dense"].abs().max()
        found |= {"difference": float((answers["local"] - answers["dense"]).abs().max() / scale), "seconds": seconds}
        found["scale"] = float(scale)
    except (QIDatasetsError, OptionError) as error:
        found["refused"] = str(error)
    return found | {"took": round(time.perf_counter() - began, 1)}


def summary(lines: list[dict[str, Any]]) -> str:
    """Returns the results as text."""
    text = []
    for dtype, library in sorted({(line["dtype"], line["name"].startswith("timm:")) for line in lines}):
        some = [one for one in lines if (one["dtype"], one["name"].startswith("timm:")) == (dtype, library)]
        done = [one for one in some if "refused" not in one]
        stems = [one for one in done if one["convolutional"]]
        windows = [one for one in stems if not one["because"]]
        worst = max(done, key=lambda one: one["difference"], default=None)
        text.append(
            f"{'timm' if library else 'torchvision'}, {dtype}: {len(done)} of {len(some)} evaluated "
            f"({len(done) / len(some):.0%}); in windows throughout {sum(not one['because'] for one in done)}, of those "
            f"with a convolutional stem {len(windows)} of {len(stems)}; largest difference "
            f"{worst['difference']:.1e} ({worst['name']})"
            if worst
            else f"none of {len(some)} evaluated"
        )
        text += [f"  refused {one['name']}: {one['refused']}" for one in some if "refused" in one]
        text += [f"  batch norms lost {one['name']}: {one['lost']}" for one in done if one["lost"]]
        stopped = Counter(reason for one in done for reason in one["because"].split("; ") if reason)
        text += [f"  {count} x {reason}" for reason, count in stopped.most_common(30)]
    return "\n".join(text)


def main() -> None:
    """Measures the networks that are not measured yet, or sums up."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--float64", action="store_true")
    parser.add_argument("--summary", action="store_true")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    there = [json.loads(line) for line in chosen.results.read_text().splitlines()] if chosen.results.exists() else []
    if chosen.summary:
        print(summary(there))
        return
    torch.set_num_threads(1)
    dtype = torch.float64 if chosen.float64 else torch.float32
    known = {(one["name"], one["dtype"]) for one in there}
    end = time.monotonic() + chosen.seconds
    for name in chosen.names or names(chosen.results.with_suffix(".sizes.json")):
        if time.monotonic() > end:
            print("time is up; go on with the same command")
            return
        if (name, str(dtype).removeprefix("torch.")) not in known:
            found = measure(name, dtype)
            print(json.dumps(found), flush=True)
            with chosen.results.open("a") as file:
                file.write(json.dumps(found) + "\n")
    print("done")


if __name__ == "__main__":
    main()
