#!/usr/bin/env bash
# A network of timm that torch.fx has traced for inference has no batch norms any more, and can't be trained again.
#
# Versions: timm 1.0.31, torchvision 0.29.1, torch 2.14.1.
# Expected: `symbolic_trace(network.eval())` gives a GraphModule with the same layers. `train()` puts its batch norms into
#   training mode, and whoever calibrates or fuses them finds them with `isinstance(module, nn.BatchNorm2d)`.
# Behaviour: it depends on where the network comes from. torch.fx takes a module for one step only if its class is defined
#   in torch.nn. timm's BatchNormAct2d, which its EfficientNet, DenseNet and others use, is defined in timm and is traced
#   into: the module is gone, and whether it normalises by the batch is a constant of the graph. `train()` changes nothing
#   then, without a word, and code that looks for batch norms finds none. timm's ResNet and torchvision's EfficientNet
#   keep theirs.
# Output seen:
#   torchvision efficientnet_b0   batch norms 49, after tracing 49; train() changes the answer: True
#   timm efficientnet_b0          batch norms 49, after tracing 0; train() changes the answer: False
#   timm densenet121              batch norms 121, after tracing 0; train() changes the answer: False
#   timm resnet18                 batch norms 20, after tracing 20; train() changes the answer: True
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  timm==1.0.31 torchvision==0.29.1 torch==2.14.1
cat > "$work/expected" << 'END'
torchvision efficientnet_b0   batch norms 49, after tracing 49; train() changes the answer: True
timm efficientnet_b0          batch norms 49, after tracing 0; train() changes the answer: False
timm densenet121              batch norms 121, after tracing 0; train() changes the answer: False
timm resnet18                 batch norms 20, after tracing 20; train() changes the answer: True
END
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - > "$work/seen" << 'END'
import timm
import torch
import torchvision
from torch import nn


def batch_norms(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def tell(name, network):
    # Without what is drawn by chance in training.
    for module in network.modules():
        if isinstance(module, nn.Dropout) or type(module).__name__ in ("DropPath", "StochasticDepth"):
            module.p = module.drop_prob = 0.0
    traced = torch.fx.symbolic_trace(network.eval())
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        changed = not torch.allclose(traced.eval()(images), traced.train()(images), atol=1e-4)
    print(
        f"{name:<29} batch norms {batch_norms(network)}, after tracing {batch_norms(traced)}; "
        f"train() changes the answer: {changed}"
    )


torch.manual_seed(0)
tell("torchvision efficientnet_b0", torchvision.models.efficientnet_b0())
for name in ("efficientnet_b0", "densenet121", "resnet18"):
    tell(f"timm {name}", timm.create_model(name))
END
cat "$work/seen"
diff "$work/expected" "$work/seen"
