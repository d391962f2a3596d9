#!/usr/bin/env bash
# One tree of numbered class folders has other labels in timm than in torchvision and datasets.
#
# Versions: timm 1.0.31, torchvision 0.29.1, torch 2.14.1, datasets 5.2.0, Pillow 13.0.0.
# Expected: the readers of class folders agree on the label of a folder, since all of them sort the folders' names.
# Behaviour: timm sorts names as people do (1, 2, ..., 10), torchvision and datasets as texts (1, 10, 11, 12, 2, ...). With
#   ImageNet's 1000 classes in folders called 1 to 1000 nearly every label differs, so that a network trained by timm's
#   script is at chance when torchvision's ImageFolder evaluates it. Names of equal length, such as synsets, agree.
# Output seen:
#   torchvision 1 10 11 12 2 3 4 5 6 7 8 9
#   datasets    1 10 11 12 2 3 4 5 6 7 8 9
#   timm        1 2 3 4 5 6 7 8 9 10 11 12
#   of 1000 folders with equal labels: 11
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  timm==1.0.31 torchvision==0.29.1 torch==2.14.1 datasets==5.2.0 pillow==13.0.0
cat > "$work/expected" << 'END'
torchvision 1 10 11 12 2 3 4 5 6 7 8 9
datasets    1 10 11 12 2 3 4 5 6 7 8 9
timm        1 2 3 4 5 6 7 8 9 10 11 12
of 1000 folders with equal labels: 11
END
cd "$work"
HF_HOME="$work/hf" HF_HUB_OFFLINE=1 "$work/venv/bin/python" - > "$work/seen" << 'END'
from pathlib import Path

import datasets
import timm.data
from PIL import Image
from torchvision.datasets import ImageFolder

datasets.disable_progress_bars()


def tree(classes):
    root = Path(f"classes-{classes}")
    for name in range(1, classes + 1):
        (root / str(name)).mkdir(parents=True)
        Image.new("RGB", (2, 2)).save(root / str(name) / "a.png")
    return str(root)


def labels(root):
    return ImageFolder(root).class_to_idx, timm.data.create_dataset("", root).reader.class_to_idx


small = tree(12)
torchvision_labels, timm_labels = labels(small)
print("torchvision", *sorted(torchvision_labels, key=torchvision_labels.get))
print("datasets   ", *datasets.load_dataset("imagefolder", data_dir=small, split="train").features["label"].names)
print("timm       ", *sorted(timm_labels, key=timm_labels.get))
torchvision_labels, timm_labels = labels(tree(1000))
print("of 1000 folders with equal labels:", sum(timm_labels[name] == torchvision_labels[name] for name in timm_labels))
END
cat "$work/seen"
diff "$work/expected" "$work/seen"
