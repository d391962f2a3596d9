import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import VisionTransformer

from qi_datasets.errors import OptionError
from qi_datasets.networks.receptive_field import ReceptiveField, receptive_field
from qi_datasets.networks.reference import QuadrantNet
from qi_datasets.networks.variants import PADDING_VARIANTS, with_global_max_pool, with_padding, without_head
from tests.networks.test_convert import equal, first_position, up_to_the_pooling
from tests.networks.zoo import DEEP, SHALLOW, SMALL, BlurPool2d, Written, efficientnet, perturbed
from tests.refusals import refused

FROM_WITHIN = ("circular", "reflect", "replicate")
ENDING_IN_A_MEAN = ("resnet18", "densenet121", "mobilenet_v2", "convnext_tiny", "shufflenet", "bagnet33")


def image(*shape):
    torch.manual_seed(1)
    return torch.rand(2, 3, *shape, dtype=torch.float64)


class TestPadding:
    @pytest.mark.filterwarnings("ignore:Using padding='same'")
    @pytest.mark.parametrize("side", [pytest.param(96, marks=pytest.mark.slow), 107])
    @pytest.mark.parametrize("name", [name for name in SMALL if name not in ("picked", "explicit padding")])
    def test_valid_is_the_part_of_the_own_map_that_no_edge_reaches(self, name, side):
        maps, reaches = up_to_the_pooling(perturbed(SMALL[name]()))
        pixels = image(side, side)
        inside = [slice(first_position(r, "valid"), (side - 1 - r.after) // r.stride + 1) for r in reaches]
        with torch.no_grad():
            assert equal(with_padding(maps, "valid")(pixels), maps(pixels)[..., inside[0], inside[1]])

    @pytest.mark.parametrize("mode", FROM_WITHIN)
    def test_convolutions_and_pools_are_padded_from_within(self, mode):
        conv, even = nn.Conv2d(3, 4, 5, 2, 2), nn.Conv2d(4, 4, 2, padding="same")
        layers = [conv, nn.MaxPool2d(3, 2, 1), even, nn.AvgPool2d(3, 1, 1), nn.ZeroPad2d((1, 0, 2, 1)), BlurPool2d(4)]
        network = nn.Sequential(*layers).double().eval()
        x = F.conv2d(F.pad(image(24, 20), (2,) * 4, mode), conv.weight, conv.bias, 2)
        x = F.max_pool2d(F.pad(x, (1,) * 4, mode), 3, 2)
        x = F.conv2d(F.pad(x, (0, 1, 0, 1), mode), even.weight, even.bias)
        x = F.avg_pool2d(F.pad(x, (1,) * 4, mode), 3, 1)
        x = F.pad(F.pad(x, (1, 0, 2, 1), mode), (1,) * 4, mode)
        x = F.conv2d(x, layers[-1].filt, stride=2, groups=4)
        assert equal(with_padding(network, mode)(image(24, 20)), x)

    @pytest.mark.parametrize("mode", FROM_WITHIN)
    def test_functions_are_padded_from_within(self, mode):
        def forward(self, x, mode=None):
            pad = (lambda x, amounts: F.pad(x, amounts, mode)) if mode else F.pad
            own = 0 if mode else 1
            x = pad(x, (0, 1, 1, 0))
            x = F.conv2d(pad(x, (1,) * 4) if mode else x, self.conv.weight, None, 1, own)
            x = F.conv2d(pad(x, (1,) * 4) if mode else x, self.conv.weight, padding=0 if mode else "same")
            x = F.max_pool2d(pad(x, (1,) * 4) if mode else x, 2, stride=2, padding=own)
            return x[:, :, 1:] + F.pad(F.avg_pool2d(pad(x, (1,) * 4) if mode else x, 3, 1, own), (0, 0, -1, 0))

        network = Written(forward, conv=nn.Conv2d(3, 3, 3)).double()
        assert equal(with_padding(network, mode)(image(9, 8)), forward(network, image(9, 8), mode))

    @pytest.mark.parametrize("mode", FROM_WITHIN)
    def test_what_has_no_rule_is_computed_and_what_follows_is_padded_from_within(self, mode):
        def forward(self, x, mode=None):
            pad = (lambda x: F.pad(x, (1,) * 4, mode)) if mode else (lambda x: x)
            x = F.adaptive_avg_pool2d(F.conv2d(pad(x), self.conv.weight, padding=0 if mode else 1), 7)
            x = torch.fft.fft2(x).real.flip(2)
            x = F.conv2d(pad(x.flatten(2).softmax(2).view(len(x), 3, 7, 7)), self.conv.weight, padding=0 if mode else 1)
            return self.linear(x.flatten(1))

        network = Written(forward, conv=nn.Conv2d(3, 3, 3), linear=nn.Linear(147, 2)).double()
        assert equal(with_padding(network, mode)(image(9, 8)), forward(network, image(9, 8), mode))

    def test_circular_padding_makes_a_network_blind_to_rolls(self):
        network = with_padding(with_global_max_pool(without_head(perturbed(DEEP["resnet18"]()))), "circular")
        pixels = image(64, 64)
        assert equal(network(pixels), network(pixels.roll((32, 32), (2, 3))))
        assert not equal(network(pixels), network(pixels.roll((16, 0), (2, 3))))

    @pytest.mark.parametrize("padding", ["valid", "same", "full", "circular"])
    def test_reference_networks_in_another_padding_are_those_made_in_it(self, padding):
        made = QuadrantNet(padding, bias=True, strides=(1, 1), channels=(3, 8, 8)).double()
        variant = {"same": "own"}.get(padding, padding)
        found = with_padding(QuadrantNet("same", bias=True, strides=(1, 1), channels=(3, 8, 8)).double(), variant)
        assert equal(found(image(12, 12)), made(image(12, 12)))

    @pytest.mark.parametrize("padding", PADDING_VARIANTS)
    def test_the_network_itself_is_left_as_it_is(self, padding):
        network = perturbed(SHALLOW["resnet"]())
        before, pixels = copy.deepcopy(network.state_dict()), image(40, 40)
        own = network(pixels)
        variant = with_padding(network, padding)
        assert not {*map(id, variant.parameters())} & {*map(id, network.parameters())}
        with torch.no_grad():
            for weight in variant.parameters():
                weight.zero_()
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
        assert torch.equal(network(pixels), own)

    @pytest.mark.parametrize("padding", PADDING_VARIANTS)
    def test_receptive_field_and_stride_stay(self, padding):
        network = with_global_max_pool(without_head(perturbed(SHALLOW["resnet"]())))
        # 7 x 7 at stride 2, a pool of 3 x 3 at 2, and two of 3 x 3 at strides 4, 4, then 4, 8, then 8, 16, then 16, 32.
        size = 7 + 2 * 2 + 2 * (4 + 4 + 4 + 8 + 8 + 16 + 16 + 32)
        assert receptive_field(with_padding(network, padding)) == ReceptiveField(size, 32, padding != "circular")

    def test_what_is_asked_in_vain_is_refused(self):
        with pytest.raises(OptionError, match="own, full"):
            with_padding(SMALL["valid"](), "same")
        with pytest.raises(OptionError, match="pads nothing"):
            with_padding(SMALL["valid"](), "circular")
        with refused(OptionError, "contradiction", match="background"):
            with_padding(SMALL["valid"](), "full", background=1.0)
        channels = Written(lambda self, x: F.pad(x, (1, 1, 1, 1, 1, 1)))
        with pytest.raises(OptionError, match="pad pads channels"):
            with_padding(channels, "reflect")
        with pytest.raises(OptionError, match=r"layer avgpool: adaptive_avg_pool2d"):
            with_padding(DEEP["vgg16_bn"](), "valid")


class TestPooling:
    @pytest.mark.parametrize(
        "make",
        [
            *(pytest.param(make, id=name) for name, make in SHALLOW.items()),
            *(pytest.param(DEEP[name], id=name, marks=pytest.mark.slow) for name in ENDING_IN_A_MEAN),
        ],
    )
    def test_the_last_mean_becomes_the_maximum(self, make):
        network = perturbed(make())
        maps, _ = up_to_the_pooling(network)
        pixels = image(40, 40)
        highest = maps(pixels).amax((2, 3))
        assert equal(with_global_max_pool(without_head(network))(pixels), highest)
        assert equal(without_head(with_global_max_pool(network))(pixels), highest)
        assert equal(without_head(network)(pixels), maps(pixels).mean((2, 3)))
        assert with_global_max_pool(network)(pixels).shape == network(pixels).shape

    def test_squeeze_and_excitation_keeps_its_means(self):
        network = perturbed(efficientnet())
        pooled = with_global_max_pool(network)
        maps, _ = up_to_the_pooling(network)
        assert equal(without_head(pooled)(image(32, 32)), maps(image(32, 32)).amax((2, 3)))

    @pytest.mark.parametrize(
        "step",
        [
            lambda self, x: self.conv(x),
            lambda self, x: self.conv(x).mean((-1, 2)),
            lambda self, x: torch.mean(self.conv(x), dim=[2, 3], keepdim=True).flatten(1),
            lambda self, x: self.conv(x).amax((2, 3)),
            lambda self, x: F.adaptive_avg_pool2d(self.conv(x), 1).flatten(1),
            lambda self, x: F.adaptive_max_pool2d(self.conv(x), (1, 1)).flatten(1),
            lambda self, x: F.avg_pool2d(y := self.conv(x), y.shape[-2:]).flatten(1),
            lambda self, x: F.adaptive_avg_pool2d(self.conv(x), 3).flatten(1),
            lambda self, x: torch.flatten(self.conv(x), 1),
            lambda self, x: (y := self.conv(x)).view(y.size(0), -1),
            lambda self, x: self.conv(x).permute(0, 2, 3, 1).mean((1, 2)),
        ],
    )
    def test_every_way_to_end_a_map(self, step):
        network = Written(step, conv=nn.Conv2d(3, 4, 3)).double()
        expected = network.conv(image(8, 9)).amax((2, 3))
        assert equal(with_global_max_pool(network)(image(8, 9)), expected)
        assert with_global_max_pool(without_head(network))(image(8, 9)).shape == (2, 4)

    def test_a_head_that_reads_positions_has_to_go_first(self):
        network = perturbed(DEEP["vgg16_bn"]())
        with pytest.raises(OptionError, match="adaptive_avg_pool2d in layer avgpool on: remove it first"):
            with_global_max_pool(network)
        headless = without_head(network)
        assert headless(image(64, 64)).shape == (2, 49 * 8)
        assert equal(with_global_max_pool(headless)(image(64, 64)), network.features(image(64, 64)).amax((2, 3)))

    def test_maps_that_end_twice_are_refused(self):
        def both(self, x):
            x = self.conv(x)
            return torch.cat((x.mean((2, 3)), x.amax((2, 3))), 1)

        with pytest.raises(OptionError, match="mean and amax"):
            with_global_max_pool(Written(both, conv=nn.Conv2d(3, 4, 3)))
        with pytest.raises(OptionError, match="the answer and the answer"):
            with_global_max_pool(Written(lambda self, x: (x, x + 1)))


class Looking(nn.Module):
    """A network whose path depends on values."""

    def __init__(self, **layers):
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        x = x.mean((2, 3)) if x.sum() >= 0 else x.amax((2, 3))
        for layer in self.children():
            x = layer(x)
        return x


class TestHead:
    def test_features_of_a_vision_transformer_are_what_its_last_layer_takes(self):
        network = VisionTransformer(32, 16, 1, 2, 8, 16, num_classes=3).eval()
        nn.init.normal_(network.heads.head.weight)
        pixels = torch.rand(2, 3, 32, 32)
        features = without_head(network, 32)(pixels)
        assert features.shape == (2, 8)
        assert torch.equal(network.heads(features), network(pixels))
        with pytest.raises(OptionError, match="last map is not pooled: reshape takes"):
            with_global_max_pool(network, 32)

    def test_a_network_without_head_stays_as_it_is(self):
        network = QuadrantNet("same").double()
        assert equal(without_head(network)(image(32, 32)), network(image(32, 32)))
        maps = SMALL["valid"]().double()
        assert equal(without_head(maps)(image(32, 32)), maps(image(32, 32)))
        odd = Written(lambda self, x: torch.linalg.vector_norm(x, dim=(1, 2, 3))[:, None])
        assert equal(without_head(odd)(image(32, 32)), odd(image(32, 32)))

    def test_a_network_that_no_tracer_follows_loses_its_head(self):
        network = Looking(fc=nn.Linear(3, 2)).double()
        assert equal(without_head(network)(image(4, 4)), image(4, 4).mean((2, 3)))
        assert equal(with_global_max_pool(network)(image(4, 4)), network.fc(image(4, 4).amax((2, 3))))
        assert [*without_head(network).parameters()] == []
        assert network(image(4, 4)).shape == (2, 2)

    def test_a_layer_that_is_used_before_the_pooling_too_stays(self):
        def forward(self, x):
            return self.fc(self.fc(x.permute(0, 2, 3, 1)).mean((1, 2)))

        network = Written(forward, fc=nn.Linear(3, 3)).double()
        expected = network.fc(image(4, 4).permute(0, 2, 3, 1)).mean((1, 2))
        assert equal(without_head(network)(image(4, 4)), expected)

    def test_in_train_mode_it_stays_in_train_mode(self):
        network = DEEP["resnet18"]().train()
        for variant in (without_head(network), with_global_max_pool(network), with_padding(network, "full")):
            assert variant.training
            assert variant.bn1.training
