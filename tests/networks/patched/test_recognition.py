"""Which layers and functions are computed in windows, and which on whole maps; the answers are the dense ones."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import StochasticDepth

from qi_datasets.networks.local import LocalEvaluation, local_features
from qi_datasets.networks.padding import FullConv2d
from qi_datasets.networks.tolerance import is_equal
from tests.networks.patched.networks import Apply, Branches, Crop, Dense, patches_of, perturbed, pooled, whole_images

SIDE, PLACES = 30, [(6, 6), (16, 10), (0, 0), (22, 22)]


class Squeeze(nn.Module):
    """Squeeze and excitation."""

    def forward(self, x):
        return x * x.mean((2, 3), keepdim=True).sigmoid()


class Shared(nn.Module):
    """What an in-place activation writes into is used before and after it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.pad = nn.ZeroPad2d(1)

    def forward(self, x):
        x = self.conv(x)
        padded = self.pad(x)
        return torch.cat([self.conv(F.relu(x, inplace=True)), padded[:, :, 1:-1, 1:-1], x], 1)


class ECA(nn.Module):
    """A gate of each channel, from its neighbours' means."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x):
        gate = self.conv(x.mean((2, 3)).view(x.shape[0], 1, -1)).sigmoid().view(x.shape[0], -1, 1, 1)
        return x * gate.expand_as(x)


def written(x):
    x[:, 1, 3:7] = 5
    return x


class Undecided(nn.Module):
    """Its forward pass depends on values."""

    def forward(self, x):
        return F.relu(x) if x.sum() > 0 else x


class Half(nn.Module):
    """It writes into every second row and column of a map."""

    def forward(self, x):
        x = x * 1
        half = F.relu(x[:, :, ::2, ::2], inplace=True)
        return torch.cat([F.avg_pool2d(x, 2, 2), half], 1)


class WrittenInto(nn.Module):
    """A whole map is read before it is written into."""

    def forward(self, x):
        before = x.flip(1)
        return torch.cat([before, F.relu(x, inplace=True)], 1)


class Accumulating(nn.Module):
    """It adds to a map in place."""

    def forward(self, x):
        total = F.avg_pool2d(x, 3, 1, 1)
        total += F.max_pool2d(x, 5, 1, 2)
        total *= 2
        return total


def blocks(x):
    """Attention within blocks of 5 x 5 positions, with a table of biases."""
    n, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).view(n, h // 5, 5, w // 5, 5, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 1, 25, c)
    biases = torch.linspace(0, 1, 625, dtype=x.dtype).view(1, 25, 25)
    found = F.scaled_dot_product_attention(rows, rows, rows, biases)
    return found.view(n, h // 5, w // 5, 5, 5, c).transpose(2, 3).reshape(n, h, w, c).permute(0, 3, 1, 2)


def tokens(x, mask=None, step=1):
    """Attention to all positions, or to means of some."""
    rows, keys = (one.flatten(2).transpose(1, 2)[:, None] for one in (x, F.avg_pool2d(x, step)))
    return F.scaled_dot_product_attention(rows, keys, keys * 2, mask).transpose(2, 3).reshape(x.shape)


def linear_attention(x):
    rows = x.relu().flatten(2).transpose(1, 2)
    sums = rows.transpose(1, 2) @ torch.cat([rows, rows + 1], -1)
    return (rows @ sums).transpose(1, 2).reshape(len(x), -1, *x.shape[2:])[:, :3]


def over_channels(x):
    """Attention of channels to channels, over all positions."""
    rows = F.normalize(x.flatten(2), dim=-1)
    return ((rows @ rows.transpose(-2, -1)).softmax(-1) @ x.flatten(2)).view(x.shape)


def mobile(x):
    """Attention among the positions that have the same place in their block, as in MobileViT."""
    n, c, h, w = x.shape
    rows = x.reshape(n * c * (h // 2), 2, w // 2, 2).transpose(1, 2).reshape(n, c, -1, 4).transpose(1, 3)
    rows = rows.reshape(n * 4, 1, -1, c)
    rows = rows + F.scaled_dot_product_attention(rows, rows, rows)
    rows = rows.view(n, 4, -1, c).transpose(1, 3)
    return rows.reshape(n * c * (h // 2), w // 2, 2, 2).transpose(1, 2).reshape(n, c, h, w)


def asked(x):
    """One query for each image."""
    rows, query = x.flatten(2).transpose(1, 2)[:, None], x.mean((2, 3))[:, None, None]
    return x * F.scaled_dot_product_attention(query, rows, rows)[:, 0, 0][:, :, None, None]


def by_products(x, *, table=None, turned=False):
    """Attention to all positions by products of matrices, rows times columns or, turned, columns times rows."""
    columns = x.unflatten(1, (1, -1)).flatten(3)
    rows = columns.transpose(2, 3)
    scores = rows @ columns
    shares = (scores if table is None else scores + table).softmax(-1)
    found = columns @ shares.transpose(2, 3) if turned else (shares @ (2 * rows)).transpose(2, 3)
    return found.reshape(x.shape)


def with_scores_of_each_image(x):
    """Attention of a head for each channel, to all positions, with scores of each image's queries added, as in SAM."""
    n, heads, h, w = x.shape
    thrice = torch.eye(heads, dtype=x.dtype).repeat(3, 1)
    rows = F.linear(x.permute(0, 2, 3, 1).reshape(n, h * w, heads), thrice)
    rows = rows.view(n, h * w, 3, heads, 1).permute(2, 0, 3, 1, 4)
    query, key, value = rows.reshape(3, n * heads, h * w, 1).unbind(0)
    weights = torch.linspace(0, 1, w * w, dtype=x.dtype).view(w, w, 1)
    added = torch.einsum("bhwc,wkc->bhwk", query.reshape(-1, h, w, 1), weights)
    added = (added[:, :, :, :, None] + added[:, :, :, None, :]).reshape(-1, h * w, h * w)
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=added)
    return attended.view(n, heads, h * w, 1).transpose(1, 2).reshape(n, h, w, heads).permute(0, 3, 1, 2)


def dense_in_place(x):
    """All earlier maps are put together in each layer, and that is written into."""
    maps = [x]
    for k in (3, 5, 3):
        together = torch.cat(maps, 1)
        maps.append(F.avg_pool2d(together.sub_(0.2).relu_().mean(1, True), k, 1, k // 2))
        maps[-1] = F.relu(F.batch_norm(maps[-1], torch.zeros(1).double(), torch.ones(1).double()), inplace=True)
    return torch.cat([*maps, *maps], 1)[:, 2:] + torch.cat([*maps, maps[0]], 1)[:, :1]


def hooked():
    layer = nn.Conv2d(3, 3, 1)
    layer.register_forward_hook(lambda *call: call[-1] + 1)
    return layer


LOCAL = {
    "convolution": nn.Conv2d(3, 5, (3, 2), (2, 1), (2, 0), (1, 2)),
    "same": nn.Conv2d(3, 5, 4, padding="same", dilation=2),
    "one by one, padded": nn.Conv2d(3, 5, 1, padding=1),
    "full": FullConv2d(3, 5, 3, stride=2),
    "circular": nn.Conv2d(3, 5, 3, padding=3, padding_mode="circular"),
    "subclasses": nn.Sequential(
        type("OwnConvolution", (nn.Conv2d,), {})(3, 5, 3, padding=1), type("OwnNorm", (nn.BatchNorm2d,), {})(5)
    ),
    "maximum": nn.MaxPool2d(3, 2, 1, dilation=2, ceil_mode=True),
    "average": nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    "average of what is there": nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    "divisor": nn.AvgPool2d(3, 2, 1, ceil_mode=True, divisor_override=5),
    "norm": nn.BatchNorm2d(3),
    "dropout": nn.Sequential(nn.Dropout(), nn.Dropout2d(), StochasticDepth(0.5, "row")),
    "slopes": nn.PReLU(3),
    "borders": nn.Sequential(nn.ZeroPad2d((1, 2, 0, 3)), nn.ConstantPad2d(1, 0.5), nn.Conv2d(3, 3, 3)),
    "crop": Crop(2, 1, 2),
    "fixed crop": Apply(lambda x: F.relu(x[..., -20:, 2:29])),
    "one channel": Apply(lambda x: torch.cat([x[:, 0].unsqueeze(1) * 0.5 + 1, x[:, 1:2], x[:, [0][0] : 1]], 1)),
    "over channels": Apply(lambda x: torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)),
    "one map of many": Apply(lambda x: x.mean(1).unsqueeze(1)),
    "transposed": Apply(lambda x: x.transpose(1, 3).permute((0, 3, 1, 2)).transpose(-1, 2)),
    "layer norm": Apply(lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (3,)).permute(0, 3, 1, 2)),
    "channels last": Apply(lambda x: F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 2, 3, 0))[:, 2:, 1:-1].permute(0, 3, 1, 2)),
    "more channels": Apply(lambda x: F.pad(x[:, :, ::2, 1::2], (0, 0, 0, 0, 1, 2))),
    "numbers": Apply(lambda x: 1 - 2 * (x + 1) / 3),
    "constants": Apply(
        lambda x: (x - torch.tensor([1.0, 2, 3]).double()[:, None, None]) / torch.full((1, 3, 1, 1), 2.0)
    ),
    "twice": Apply(lambda x: x * x + x),
    "in place": Accumulating(),
    "functions": Apply(lambda x: F.silu(F.avg_pool2d(F.relu6(F.max_pool2d(F.pad(x, (1, 1)), 2)), 2, 1, 1)).abs()),
    "shared": Shared(),
    "its size": Apply(lambda x: x * x.shape[2]),
    "cropping by padding": Apply(lambda x: F.pad(x, (-1, 0))),
    "dense": Dense(3, 2, 3),
    "other windows": Branches(nn.Conv2d(3, 3, 5, padding=2), nn.MaxPool2d(3, 1, 1), "mul"),
}

LOCAL |= {
    "squeeze": Squeeze(),
    "group norm": nn.GroupNorm(3, 3),
    "one group": nn.GroupNorm(1, 3),
    "instance norm": nn.InstanceNorm2d(3, affine=True),
    "layer norm over positions": nn.LayerNorm((3, SIDE, SIDE)),
    "softmax over channels": nn.Softmax2d(),
    "flipped": Apply(lambda x: x.flip(3).flip([1, 2])),
    "rolled": Apply(lambda x: x.roll((3, -2), (2, 3))),
    "coordinates": Apply(lambda x: x + torch.linspace(0, 1, SIDE, dtype=x.dtype)),
    "channels and rows": Apply(lambda x: F.pad(x, (0, 0, 1, 1, 1, 0))),
    "nearest": nn.Upsample(scale_factor=2),
    "nearest, to a size": Apply(lambda x: F.interpolate(x, (17, 41))),
    "bilinear": nn.Upsample(scale_factor=1.5, mode="bilinear"),
    "aligned": nn.Upsample(size=(37, 11), mode="bilinear", align_corners=True),
    "bicubic": nn.Upsample(size=(37, 51), mode="bicubic"),
    "reflected": nn.Conv2d(3, 3, 7, padding=3, padding_mode="reflect"),
    "replicated": nn.ReplicationPad2d(2),
    "wrapped": nn.CircularPad2d(2),
    "parts": nn.AdaptiveAvgPool2d((4, 7)),
    "a kernel of the whole image": Apply(lambda x: F.avg_pool2d(x, x.shape[2:]) + x),
    "hooked": hooked(),
    "read before it is written into": WrittenInto(),
    "shuffled": Apply(
        lambda x: torch.cat([x, x], 1).view(len(x), 2, 3, SIDE, SIDE).transpose(1, 2).reshape(len(x), 6, SIDE, SIDE)
    ),
    "pieces": Apply(
        lambda x: torch.cat([*x.split([1, 2], 1), *x.chunk(3, 1), *x.unbind(1)[0].unsqueeze(1).split(1, 1)], 1)
    ),
    "divided by its norm": Apply(lambda x: x / (x.norm(p=2, dim=(2, 3), keepdim=True) + 1)),
    "standardized": Apply(lambda x: (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True)),
    "variance": Apply(lambda x: x * torch.var_mean(x, (1, 2, 3), keepdim=True)[0]),
    "largest of all": Apply(lambda x: x - x.amax((1, 2, 3), keepdim=True) + x.amin((2, 3), keepdim=True)),
    "gate by weights": nn.Sequential(ECA()),
    "stacked": Apply(
        lambda x: torch.stack([x, x.relu()], 1).sum(1) * torch.stack([x.mean((2, 3))] * 2, 1).sum(1)[..., None, None]
    ),
    "blocks": Apply(blocks),
    "shifted blocks": Apply(lambda x: blocks(x.roll((2, 2), (2, 3))).roll((-2, -2), (2, 3))),
    "tokens": Apply(tokens),
    "tokens and means of them": Apply(lambda x: tokens(x, None, 2)),
    "tokens and a table": Apply(lambda x: tokens(x, torch.linspace(0, 2, SIDE**4, dtype=x.dtype).view(SIDE**2, -1))),
    "attention by products": Apply(by_products),
    "attention by turned products": Apply(lambda x: by_products(x, turned=True)),
    "attention by products and a table": Apply(
        lambda x: by_products(x, table=torch.linspace(0, 2, SIDE**4, dtype=x.dtype).view(SIDE**2, -1))
    ),
    "linear attention": Apply(linear_attention),
    "unfolded": Apply(lambda x: F.unfold(x, (3, 2), (1, 2), (1, 2), 2).unflatten(2, (15, 16))),
    "folded": Apply(lambda x: F.fold(F.unfold(x, 3, 1, 1, 2) * 2, (SIDE, SIDE), 3, 1, 1, 2)),
    "dense, in place": Apply(dense_in_place),
    "attention of channels": Apply(over_channels),
    "mobile attention": Apply(mobile),
    "one query": Apply(asked),
    "weighted mean": Apply(lambda x: x * (x.flatten(2).softmax(-1) * x.flatten(2)).sum(-1)[..., None, None]),
    "norm of tokens": Apply(lambda x: F.group_norm(x.reshape(*x.shape[:2], 1, -1), 1).view(x.shape)),
    "strips": Apply(lambda x: x * x.mean(3, keepdim=True) + x.mean(2, keepdim=True)),
    "largest of parts": nn.AdaptiveMaxPool2d((4, 7)),
    "transposed convolution": nn.ConvTranspose2d(3, 6, 4, 2, 1, output_padding=1, groups=3),
    "channels by number": Apply(lambda x: x[:, [2, 0, 1]]),
    "chosen": Apply(lambda x: torch.where(x > 0, x, 0.1 * x.mean((2, 3), keepdim=True))),
}

WHOLE = {
    "side by side": (Apply(lambda x: torch.cat([x, x], 2)), ["cat"]),
    "one row": (Apply(lambda x: x[:, :, 3].unsqueeze(2)), ["__getitem__"]),
    "reshaped": (Apply(lambda x: x.reshape(x.size(0), 1, -1, 1)), ["adaptive_avg_pool2d"]),
    "turned": (Apply(lambda x: x.rot90(1, (2, 3))), ["rot90"]),
    "summed up": (Apply(lambda x: x.cumsum(2)), ["cumsum"]),
    "softmax over rows": (nn.Softmax(2), ["softmax"]),
    "scores of each image": (Apply(with_scores_of_each_image), ["einsum", "scaled_dot_product_attention"]),
    "undecided": (Undecided(), ["sum"]),
    "values": (Apply(lambda x: x * float(x.detach()[0, 0, 0, 0] * 0 + 2)), ["__getitem__"]),
    "filled in place": (Apply(lambda x: (x * 1).fill_(2) + x), ["fill"]),
    "written at an index": (Apply(lambda x: written(x * 1)), ["__setitem__"]),
    "every second position written into": (
        Half(),
        ["avg_pool2d can't read a Patched after relu has written into another view of it; write into a copy (clone)"],
    ),
}


def network_of(layer):
    """The layer, whose input differs at the edges from what it is in the middle, in a network in evaluation mode."""
    torch.manual_seed(0)
    first = [nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)]
    return perturbed(pooled(*first, layer, nn.Tanh(), maximum=False)).double().eval()


def check(network, place):
    """Why whole maps were computed, if any; the answers are those to whole images, twice in a row."""
    patches = patches_of(3)
    evaluation = LocalEvaluation(network, SIDE, patch=(8, 8), places=[place])
    for batch in (patches, patches.flip(0)):
        assert is_equal(evaluation(batch, *place), network(whole_images(batch, *place, SIDE)).detach())
    return evaluation.reasons


@pytest.mark.parametrize("layer", LOCAL.values(), ids=LOCAL)
def test_computed_in_windows(layer):
    for place in PLACES[:2]:
        assert not check(network_of(layer), place)


@pytest.mark.parametrize("layer", LOCAL.values(), ids=LOCAL)
def test_at_the_edges(layer):
    for place in PLACES[2:]:
        check(network_of(layer), place)


@pytest.mark.parametrize(("layer", "reasons"), WHOLE.values(), ids=WHOLE)
def test_computed_on_whole_maps(layer, reasons):
    for place in PLACES:
        assert check(network_of(layer), place)[: len(reasons)] == reasons


def test_whole_maps_are_warned_of():
    with pytest.warns(UserWarning, match="whole maps are computed by cumsum"):
        local_features(network_of(Apply(lambda x: x.cumsum(3))), patches_of(2), 0, 0, SIDE)


@pytest.mark.parametrize(
    ("ending", "local"),
    [
        (nn.AdaptiveMaxPool2d(1), True),
        (nn.AdaptiveAvgPool2d((1, 1)), True),
        (nn.AdaptiveAvgPool2d((2, 3)), True),
        (Apply(lambda x: x.mean((2, 3))), True),
        (Apply(lambda x: x.mean([-1, -2], keepdim=True)), True),
        (Apply(lambda x: torch.amax(x, (2, 3))), True),
        (Apply(lambda x: x.sum((-2, -1), True)), True),
        (Apply(lambda x: F.adaptive_max_pool2d(x, 1) + F.adaptive_avg_pool2d(x, (1, 1))), True),
        (nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(5, 2), nn.BatchNorm1d(2)), True),
        (nn.Flatten(), True),
        (Apply(lambda x: x.permute(0, 2, 3, 1).mean((1, 2))), True),
        (Apply(lambda x: x.amax((1, 2, 3))), True),
        (Apply(lambda x: F.max_pool2d(x, x.shape[2:])), True),
        (Apply(lambda x: x.flatten(2).logsumexp(2)), False),
        (nn.Identity(), True),
    ],
    ids=str,
)
def test_endings(ending, local):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3, 2, 1), ending).double().eval()
    patches = patches_of(4)
    evaluation = LocalEvaluation(network, SIDE, patch=(8, 8), places=PLACES)
    assert evaluation.local == local
    for place in PLACES:
        expected = network(whole_images(patches, *place, SIDE)).detach().reshape(4, -1)
        assert is_equal(evaluation(patches, *place), expected)
