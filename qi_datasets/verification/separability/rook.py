"""Checks `rook`: one filter reads location with same padding, and none does with full convolution."""

import numpy as np
import torch
import torch.nn.functional as F

from qi_datasets.networks.features import as_input
from qi_datasets.networks.padding import Padding, padding_per_side
from qi_datasets.networks.tolerance import is_equal, relative_difference
from qi_datasets.protocols.rook import RookRuns, train_rook
from qi_datasets.scores.intervals import wilson_interval
from qi_datasets.verification.report.report import Cell, Check, CheckResults, Status, Table, Tile, Tiles
from qi_datasets.verification.separability.options import NetworkOptions
from qi_datasets.verification.stored_folder import StoredFolder

SEEDS, FULL_SEEDS = 20, 200
SHOWN = 6
"""Number of trained networks whose filters and feature maps are drawn."""


def check(stored: StoredFolder, options: NetworkOptions) -> CheckResults:
    """Trains the network from many seeds with both paddings: same must read location in half of them, full in none.

    Training is on the CPU whatever the device: a GPU is slower at a single 5x5 filter.
    """
    seeds = range(options.seeds or (FULL_SEEDS if options.full else SEEDS))
    split = next(iter(stored.spec.splits))
    images = as_input(stored.images(stored.default_config, split, 0, 2))
    same, full = train_rook(images, "same", seeds), train_rook(images, "full", seeds)
    share, none = wilson_interval(same.solved, len(seeds)), wilson_interval(full.solved, len(seeds))
    difference = relative_difference(full.logits[:, 0], full.logits[:, 1])
    blind = is_equal(full.logits[:, 0], full.logits[:, 1])
    checks = (
        Check(
            stored.name,
            "same reads",
            Status.PASS if 2 * same.solved >= len(seeds) else Status.FAIL,
            f"{same.solved} of {len(seeds)} seeds",
            "with same padding most nets of one filter tell the corners apart",
            (share.low, share.high),
            "" if 2 * same.solved >= len(seeds) else f"only {same.solved} of {len(seeds)} nets reach 100 %, not half",
            {"solved": same.solved, "seeds": len(seeds)},
        ),
        Check(
            stored.name,
            "full never reads",
            Status.PASS if full.solved == 0 else Status.FAIL,
            f"{full.solved} of {len(seeds)} seeds",
            "with full convolution no net tells the corners apart",
            (none.low, none.high),
            "" if full.solved == 0 else f"{full.solved} of {len(seeds)} nets reach 100 %: something but location tells",
            {"solved": full.solved, "seeds": len(seeds)},
        ),
        Check(
            stored.name,
            "full is equal",
            Status.PASS if blind else Status.FAIL,
            f"{difference:.1e} of scale",
            "with full convolution both images get the same logits",
            cause="" if blind else f"the logits of the two images differ by {difference:.1e} of their scale",
            numbers={"difference": difference},
        ),
    )
    table = Table(
        "rook: nets that reach 100 %, by padding",
        ("padding", "nets", "of", "95 % interval", "largest logit difference"),
        tuple(
            (
                runs.padding,
                Cell(f"{runs.solved}", {"solved": runs.solved}),
                Cell(f"{len(seeds)}", {"seeds": len(seeds)}),
                Cell(f"{low:.0%} to {high:.0%}", {"low": low, "high": high}),
                Cell(f"{runs.largest_logit_difference:.2g}", {"difference": runs.largest_logit_difference}),
            )
            for runs, (_, low, high) in ((same, share), (full, none))
        ),
        "Paper (16x13 glyph): 5 of 5 with same padding, 0 of 5 with full.",
    )
    return CheckResults(checks, (table,), (pictures(images, same), pictures(images, full)))


def pictures(images: torch.Tensor, runs: RookRuns) -> Tiles:
    """Draws filters of the first trained networks, and the response of each to both images."""
    filters = torch.from_numpy(runs.filters[:SHOWN])[:, None]
    maps = responses(images, filters, runs.padding)
    names = [f"seed {seed}: {share:.0%}" for seed, share in zip(runs.seeds, runs.accuracies, strict=True)][:SHOWN]
    lines = [("filter", runs.filters[:SHOWN]), ("upper left", maps[0]), ("bottom right", maps[1])]
    return Tiles(
        f"Rook: learned filters and feature maps, {runs.padding} padding",
        "Below each filter its response to the two images, before ReLU. Light is 0, red positive, blue "
        "negative. A net answers by the largest red alone: with same padding it may lie in one of the two images only. "
        "The titles tell the nets' accuracies.",
        tuple(
            (line, tuple(Tile(name, values) for name, values in zip(names, tiles, strict=True)))
            for line, tiles in lines
        ),
    )


def responses(images: torch.Tensor, filters: torch.Tensor, padding: Padding) -> np.ndarray:
    """Returns each filter's response to each image, (images, filters, h, w) float32."""
    per_side = padding_per_side(padding, filters.shape[-1])
    maps: np.ndarray = F.conv2d(images, filters, padding=per_side).numpy()
    return maps
