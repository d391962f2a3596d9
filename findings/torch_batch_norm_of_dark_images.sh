#!/usr/bin/env bash
# torch's batch norm in training mode loses four digits on mostly constant channels_last maps.
#
# Versions: torch 2.14.1 (CPU).
# Expected: the layout of memory changes the time that batch norm takes, and its answer by some units of float32 (1e-7).
# Behaviour: on the CPU the variance of a channels_last map is off by up to 0.25 % where most of the map is one value, as
#   behind a black border or a mask; the same map in the contiguous layout is right to 1e-7, and of noise four digits are right.
#   Running statistics that are calibrated on such images inherit it, and a comparison of two layouts at 1e-5 fails.
# Output seen (relative error of the variance against float64; map of 256 x 256 that is constant but for 56 x 56):
#   mostly constant, contiguous: below 1e-6
#   mostly constant, channels_last: above 1e-3
#   noise, contiguous: below 1e-6
#   noise, channels_last: 1e-5 to 1e-4
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.14.1 numpy
cat > "$work/expected" << 'END'
mostly constant, contiguous: below 1e-6
mostly constant, channels_last: above 1e-3
noise, contiguous: below 1e-6
noise, channels_last: 1e-5 to 1e-4
END
"$work/venv/bin/python" - > "$work/seen" << 'END'
import torch
from torch.nn.functional import batch_norm

torch.manual_seed(0)
torch.set_num_threads(1)
mostly_constant = torch.full((4, 8, 256, 256), 0.5)
mostly_constant[:, :, :56, :56] += torch.randn(4, 8, 56, 56) + 1
for name, maps in (("mostly constant", mostly_constant), ("noise", torch.randn(4, 8, 256, 256) + 1)):
    right = maps.double().transpose(0, 1).flatten(1).var(1)
    for layout in (torch.contiguous_format, torch.channels_last):
        mean, variance = torch.zeros(8), torch.ones(8)
        batch_norm(maps.contiguous(memory_format=layout), mean, variance, training=True, momentum=1.0)
        error = float(((variance.double() - right) / right).abs().max())
        spans = {"below 1e-6": (0, 1e-6), "1e-5 to 1e-4": (1e-5, 1e-4), "above 1e-3": (1e-3, 1)}
        words = next((words for words, (low, high) in spans.items() if low <= error < high), f"{error:.1e}")
        print(f"{name}, {str(layout).removeprefix('torch.').removesuffix('_format')}: {words}")
END
cat "$work/seen"
diff "$work/expected" "$work/seen"
