#!/usr/bin/env bash
# timm's VGG ignores `global_pool` below 256 pixels and stretches its last map below 224.
#
# Versions: timm 1.0.31, torch 2.14.1, torchvision 0.29.1.
# Expected: with `num_classes=0` and `global_pool="max"` a network gives the maximum of its last map over all positions,
#   another one than with "avg", and a network of convolutions that is given 64 pixels computes on the 2 x 2 map that 64
#   pixels make.
# Behaviour: two layers over 7 x 7 positions stand before the pooling, also with `num_classes=0`. A map below 7 x 7 is
#   stretched to 7 x 7 for them (adaptive average pooling to more than there is: positions are repeated), so that one
#   position is left and `global_pool` has nothing to pool, in silence. Up to 255 pixels "avg" and "max" are equal, and
#   features are no sum over positions: they say where things are, whatever the padding.
# Output seen:
#   pixels  64: last map 2 x 2, pooled from 1 x 1, avg and max equal: True
#   pixels 224: last map 7 x 7, pooled from 1 x 1, avg and max equal: True
#   pixels 256: last map 8 x 8, pooled from 2 x 2, avg and max equal: False
#   a map of 2 x 2 that is turned around gives other features: True
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  timm==1.0.31 torchvision==0.29.1 torch==2.14.1
cat > "$work/expected" << 'END'
pixels  64: last map 2 x 2, pooled from 1 x 1, avg and max equal: True
pixels 224: last map 7 x 7, pooled from 1 x 1, avg and max equal: True
pixels 256: last map 8 x 8, pooled from 2 x 2, avg and max equal: False
a map of 2 x 2 that is turned around gives other features: True
END
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - > "$work/seen" << 'END'
import timm
import torch

networks = {}
for pooling in ("avg", "max"):
    torch.manual_seed(0)
    networks[pooling] = timm.create_model("vgg11", num_classes=0, global_pool=pooling).eval()
torch.manual_seed(1)
with torch.inference_mode():
    for pixels in (64, 224, 256):
        images = torch.randn(1, 3, pixels, pixels)
        last = networks["avg"].forward_features(images)
        pooled = networks["avg"].pre_logits(last)
        equal = torch.equal(networks["avg"](images), networks["max"](images))
        size, left = (" x ".join(map(str, map_.shape[2:])) for map_ in (last, pooled))
        print(f"pixels {pixels:3}: last map {size}, pooled from {left}, avg and max equal: {equal}")
    last = networks["avg"].forward_features(torch.randn(1, 3, 64, 64))
    around = networks["avg"].forward_head(last.flip(2, 3))
    other = not torch.allclose(networks["avg"].forward_head(last), around, rtol=1e-3)
    print("a map of 2 x 2 that is turned around gives other features:", other)
END
cat "$work/seen"
diff "$work/expected" "$work/seen"
