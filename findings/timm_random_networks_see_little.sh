#!/usr/bin/env bash
# An untrained ResNet of timm sees 11 x 11 pixels, one of torchvision 435 x 435.
#
# Versions: timm 1.0.31, torchvision 0.29.1, torch 2.14.1.
# Expected: `timm.create_model("resnet18")` and `torchvision.models.resnet18()` are one architecture, so that features of
#   random weights come of the same pixels: the receptive field is 435.
# Behaviour: timm sets the scale of the last batch norm of each residual block to 0 (`zero_init_last`, on by default), so
#   that as long as nothing is trained the blocks add nothing and all that is left is the stem and strided shortcuts. A
#   study of random networks (position, texture, pruning) that takes them from timm studies a stem. `resnet18` is one of
#   many: ResNeXt, SE-ResNet, Res2Net see as little, RegNetY 3 x 3. With `zero_init_last=False` they see what their
#   layers allow.
# Output seen (pixels that change a feature in the middle of the last map, which has a gradient there):
#   torchvision resnet18                    435 x 435
#   timm resnet18                           11 x 11
#   timm resnet18 zero_init_last=False      435 x 435
#   timm seresnet18                         11 x 11
#   timm res2net50_26w_4s                   11 x 11
#   timm regnety_004                        3 x 3
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  timm==1.0.31 torchvision==0.29.1 torch==2.14.1
cat > "$work/expected" << 'END'
torchvision resnet18                    435 x 435
timm resnet18                           11 x 11
timm resnet18 zero_init_last=False      435 x 435
timm seresnet18                         11 x 11
timm res2net50_26w_4s                   11 x 11
timm regnety_004                        3 x 3
END
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - > "$work/seen" << 'END'
import timm
import torch
import torchvision


def field(network):
    image = torch.randn(1, 3, 512, 512, dtype=torch.float64, requires_grad=True)
    features = network.double().eval()(image)
    features[0, :, features.shape[2] // 2, features.shape[3] // 2].sum().backward()
    rows, columns = image.grad[0].abs().sum(0).nonzero().T
    return f"{int(rows.max() - rows.min()) + 1} x {int(columns.max() - columns.min()) + 1}"


torch.manual_seed(0)
resnet = torchvision.models.resnet18()
print(f"{'torchvision resnet18':<39} {field(torch.nn.Sequential(*list(resnet.children())[:-2]))}")
for name, options in (
    ("resnet18", {}),
    ("resnet18", {"zero_init_last": False}),
    ("seresnet18", {}),
    ("res2net50_26w_4s", {}),
    ("regnety_004", {}),
):
    network = timm.create_model(name, num_classes=0, global_pool="", **options)
    words = " ".join(["timm", name, *(f"{key}={value}" for key, value in options.items())])
    print(f"{words:<39} {field(network)}")
END
cat "$work/seen"
diff "$work/expected" "$work/seen"
