"""An image that computes its pixels behaves for PIL, numpy and pickle like the ordinary image of the same pixels."""

import copy
import io
import pickle
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps, ImagePalette, ImageShow, ImageStat

from qi_datasets.pixels import placed_image
from qi_datasets.pixels.geometry import Placed, whole
from qi_datasets.pixels.placed_image import PlacedImage, find_placed, image_of, is_tested, ordinary_image

WIDTH, HEIGHT = 23, 19
Call = Callable[[Image.Image], Any]


def placed(channels: int) -> Placed:
    content = np.random.default_rng(channels).integers(1, 256, (7, 9, channels), np.uint8)
    return Placed(content, 5, 11, HEIGHT, WIDTH)


KINDS = {"L": placed(1), "RGB": placed(3), "whole": whole(placed(3).content), "black": placed(3).crop(0, 0, 4, 5)}


def seen(value: Any) -> Any:
    """Returns the comparable part of a result."""
    if isinstance(value, Image.Image):
        return (
            value.mode,
            value.size,
            np.asarray(value).tobytes(),
            value.info,
            value.getpalette(),
            repr(value).split(" at ")[0],
        )
    if isinstance(value, tuple | list) and any(isinstance(part, Image.Image) for part in value):
        return [seen(part) for part in value]
    if isinstance(value, ImageStat.Stat):
        return value.extrema, value.mean, value.stddev
    if type(value).__name__ == "ImagingCore":
        return list(value)
    if type(value).__name__ in ("PixelAccess", "PyCapsule"):
        return type(value).__name__
    return dict(value) if isinstance(value, Image.Exif) else value


def outcome(call: Call, image: Image.Image) -> Any:
    """Returns the result or the error, and the state of the image afterwards."""
    try:
        result = seen(call(image))
    except Exception as error:
        result = type(error), str(error).replace("PlacedImage", "Image")
    try:
        return result, seen(image)
    except ValueError as error:
        return result, str(error)


def assert_same(call: Call, of: Placed) -> None:
    lazy = PlacedImage(of)
    lazy.info["patch"] = [1, 2]
    ordinary = ordinary_image(of)
    ordinary.info["patch"] = [1, 2]
    assert outcome(call, lazy) == outcome(call, ordinary)


def saved(image: Image.Image, format_: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


PALETTE = ImagePalette.ImagePalette("RGB", list(range(256)) * 3)
METHODS: dict[str, list[Call]] = {
    "alpha_composite": [lambda i: i.alpha_composite(Image.new("RGBA", (3, 3), "red"))],
    "apply_transparency": [lambda i: i.apply_transparency()],
    "close": [lambda i: i.close(), lambda i: (i.close(), i.load())],
    "convert": [
        lambda i: i.convert(),
        *(lambda i, mode=mode: i.convert(mode) for mode in ("1", "L", "RGB", "P", "RGBA", "CMYK", "YCbCr", "I", "F")),
        lambda i: i.convert("RGB", matrix=(0.5, 0, 0, 1, 0, 1, 0, 2, 0, 0, 1, 3)),
        lambda i: i.convert("P", palette=Image.Palette.ADAPTIVE, colors=5),
    ],
    "copy": [lambda i: i.copy()],
    "crop": [
        *(lambda i, box=box: i.crop(box) for box in (None, (12, 6, 15, 9), (-3, -4, 40, 30), (30, 30, 33, 34))),
        *(lambda i, box=box: i.crop(box) for box in ((5, 5, 5, 9), (9, 9, 5, 12), (9, 9, 12, 5), (0.5, 1, 13.4, 9.6))),
        lambda i: i.crop((0, 0, 100, 1)),
    ],
    "draft": [lambda i: i.draft("L", (3, 3))],
    "effect_spread": [lambda i: i.effect_spread(0)],
    "entropy": [lambda i: i.entropy()],
    "filter": [lambda i: i.filter(ImageFilter.BLUR), lambda i: i.filter(ImageFilter.GaussianBlur(2))],
    "frombytes": [lambda i: i.frombytes(bytes(i.width * i.height * len(i.getbands())))],
    "get_child_images": [lambda i: i.get_child_images()],
    "get_flattened_data": [lambda i: i.get_flattened_data()],
    "getbands": [lambda i: i.getbands()],
    "getbbox": [lambda i: i.getbbox()],
    "getchannel": [lambda i: i.getchannel(0)],
    "getcolors": [lambda i: i.getcolors(), lambda i: i.getcolors(2)],
    "getdata": [lambda i: i.getdata(), lambda i: i.getdata(0)],
    "getexif": [lambda i: i.getexif()],
    "getextrema": [lambda i: i.getextrema()],
    "getim": [lambda i: i.getim()],
    "getpalette": [lambda i: i.getpalette()],
    "getpixel": [lambda i: i.getpixel((12, 6)), lambda i: i.getpixel((0, 0)), lambda i: i.getpixel((99, 0))],
    "getprojection": [lambda i: i.getprojection()],
    "getxmp": [lambda i: i.getxmp()],
    "histogram": [lambda i: i.histogram()],
    "load": [lambda i: i.load(), lambda i: i.load()[1, 1]],
    "paste": [lambda i: i.paste(0, (2, 2, 4, 5)), lambda i: i.paste(Image.new("L", (2, 2), 9), (12, 7))],
    "point": [lambda i: i.point(lambda value: 255 - value), lambda i: i.point([3] * 256 * len(i.getbands()))],
    "putalpha": [lambda i: i.putalpha(7)],
    "putdata": [lambda i: i.putdata(list(i.crop((0, 0, 4, 4)).getdata()))],
    "putpalette": [lambda i: i.putpalette(PALETTE)],
    "putpixel": [lambda i: i.putpixel((0, 0), 5), lambda i: i.putpixel((12, 6), (1, 2, 3))],
    "quantize": [lambda i: i.quantize(), lambda i: i.quantize(4)],
    "reduce": [lambda i: i.reduce(2)],
    "remap_palette": [lambda i: i.remap_palette(list(range(256)))],
    "resize": [
        lambda i: i.resize((9, 8)),
        lambda i: i.resize(i.size),
        *(lambda i, how=how: i.resize((30, 40), how, (1, 1, 20.5, 15)) for how in (0, 1, 2, 3, 4, 5)),
    ],
    "rotate": [lambda i: i.rotate(90), lambda i: i.rotate(0), lambda i: i.rotate(33, expand=True)],
    "save": [
        *(lambda i, kind=kind: saved(i, kind) for kind in ("BMP", "PPM", "JPEG", "TIFF", "GIF", "none")),
        lambda i: Image.open(io.BytesIO(saved(i, "PNG"))),
        lambda i: saved(i, "PNG", compress_level=1),
        lambda i: i.save(Path("file.txt")),
    ],
    "seek": [lambda i: i.seek(0), lambda i: i.seek(1)],
    "show": [lambda i: i.show()],
    "split": [lambda i: i.split()],
    "tell": [lambda i: i.tell()],
    "thumbnail": [lambda i: i.thumbnail((8, 8)), lambda i: i.thumbnail((99, 99))],
    "tobitmap": [lambda i: i.tobitmap()],
    "tobytes": [
        lambda i: i.tobytes(),
        *(lambda i, how=how: i.tobytes("raw", how) for how in ("L", "RGB", "BGR")),
        lambda i: i.tobytes("raw", ("RGB",)),
    ],
    "toqimage": [lambda i: i.toqimage()],
    "toqpixmap": [lambda i: i.toqpixmap()],
    "transform": [lambda i: i.transform((9, 9), Image.Transform.AFFINE, (1, 0.1, 0, 0.1, 1, 0))],
    "transpose": [*(lambda i, how=how: i.transpose(how) for how in Image.Transpose)],
    "verify": [lambda i: i.verify()],
}
"""Calls of every public method of PIL.Image.Image."""

OTHERS: dict[str, Call] = {
    **{name: lambda i, name=name: getattr(i, name) for name in ("size", "width", "height", "mode", "info", "palette")},
    **{name: lambda i, name=name: getattr(i, name) for name in ("format", "format_description", "readonly", "im")},
    "has_transparency_data": lambda i: i.has_transparency_data,
    "repr": lambda i: repr(i).split(" at ")[0],
    "isinstance": lambda i: isinstance(i, Image.Image),
    "png of a notebook": lambda i: i._repr_png_(),
    "jpeg of a notebook": lambda i: i._repr_jpeg_(),
    "asarray": lambda i: (np.asarray(i).tobytes(), np.asarray(i).shape, np.asarray(i).strides),
    "array cannot be written": lambda i: np.asarray(i).flags.writeable,
    "array of one's own": lambda i: np.array(i).flags.writeable,
    "array of floats": lambda i: np.asarray(i, np.float32).tobytes(),
    "pickle": lambda i: pickle.loads(pickle.dumps(i)),  # noqa: S301
    "pickle of one painted on": lambda i: (i.putpixel((1, 1), 3), pickle.loads(pickle.dumps(i)))[1],  # noqa: S301
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "with": lambda i: i.__enter__() is i,
    "equal to itself": lambda i: i == i,  # noqa: PLR0124
    "equal to its copy": lambda i: i == i.copy(),
    "equal to another": lambda i: i == Image.new("RGB", (2, 2)),
    "hashable": lambda i: isinstance(i, Hashable),
    "painted": lambda i: ImageDraw.Draw(i).line((0, 0, 9, 9), fill=200),
    "painted, then an array": lambda i: (ImageDraw.Draw(i).line((0, 0, 9, 9), fill=200), np.asarray(i).tobytes())[1],
    "copy, then painted": lambda i: i.copy().paste(9, (0, 0, 4, 4)),
    "statistics": ImageStat.Stat,
    "colour": lambda i: ImageEnhance.Color(i).enhance(0.5),
    "inverted": ImageOps.invert,
    "turned as the camera says": ImageOps.exif_transpose,
    "with more border": lambda i: ImageOps.expand(i, 3),
    "difference": lambda i: ImageChops.difference(i, i),
    "merged": lambda i: Image.merge("RGB", [i.getchannel(0)] * 3),
    "blended": lambda i: Image.blend(i, i.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0.5),
    "from its array": lambda i: Image.fromarray(np.asarray(i)),
}
"""Other things that are done with an image."""

CALLS = {f"{name} {n}": call for name, calls in METHODS.items() for n, call in enumerate(calls)} | OTHERS


@pytest.fixture(autouse=True)
def _no_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageShow, "_viewers", [])


def test_the_installed_pillow_is_a_tested_one() -> None:
    assert is_tested(PIL.__version__)
    assert isinstance(image_of(KINDS["RGB"]), PlacedImage)


@pytest.mark.parametrize("version", ["10.4.0", "13.9.0", "14.0.0", "13", "13.0x.dev0", "nonsense", ""])
def test_with_another_pillow_images_are_ordinary(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL, "__version__", version)
    image = image_of(KINDS["RGB"])

    assert type(image) is Image.Image
    assert seen(image) == seen(ordinary_image(KINDS["RGB"]))


def test_every_public_method_is_in_the_table() -> None:
    methods = {name for name in dir(Image.Image) if name[0] != "_" and callable(getattr(Image.Image, name))}

    assert methods <= METHODS.keys()


@pytest.mark.crossed
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:XMP data")
def test_it_does_what_the_ordinary_image_does(call: Call, kind: Placed) -> None:
    assert_same(call, kind)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_an_ordinary_image_holds_the_pixels(kind: Placed) -> None:
    for image in (ordinary_image(kind), PlacedImage(kind)):
        np.testing.assert_array_equal(np.asarray(image).reshape(kind.pixels().shape), kind.pixels())


def test_it_equals_the_ordinary_image() -> None:
    for kind in KINDS.values():
        assert PlacedImage(kind) == ordinary_image(kind)
        assert ordinary_image(kind) == PlacedImage(kind)
        assert PlacedImage(kind) != ordinary_image(kind).transpose(Image.Transpose.ROTATE_180) or kind is KINDS["black"]


STEPS: list[Call] = [
    lambda i: i.convert("RGB"),
    lambda i: i.convert("L"),
    lambda i: i.copy(),
    lambda i: i.crop((2, 1, i.width, i.height + 2)),
    lambda i: i.crop((-1, 3, 9, 9)),
    lambda i: i.resize((13, 12)),
    lambda i: i.transpose(Image.Transpose.TRANSPOSE),
    lambda i: i.rotate(90),
    lambda i: i.point(lambda value: value // 2),
    lambda i: pickle.loads(pickle.dumps(i)),  # noqa: S301
    copy.deepcopy,
    lambda i: (i.paste(9, (0, 0, 3, 3)), i)[1],
    lambda i: (i.thumbnail((9, 9)), i)[1],
    lambda i: (i.load(), i)[1],
    lambda i: (np.asarray(i), i)[1],
    lambda i: Image.open(io.BytesIO(saved(i, "PNG"))),
    ImageOps.autocontrast,
    lambda i: Image.fromarray(np.asarray(i)),
]


@given(st.sampled_from(list(KINDS.values())), st.lists(st.sampled_from(STEPS), min_size=5, max_size=5))
@settings(max_examples=150, deadline=None)
def test_chains_of_five_give_what_they_give_of_the_ordinary_image(kind: Placed, steps: list[Call]) -> None:
    first, second = PlacedImage(kind), ordinary_image(kind)
    for step in steps:
        assert outcome(step, copy.copy(first)) == outcome(step, copy.copy(second))
        try:
            first, second = step(first), step(second)
        except ValueError:
            return


def test_painted_on_it_is_an_ordinary_image_from_then_on() -> None:
    image = PlacedImage(KINDS["RGB"])
    assert find_placed(image) is KINDS["RGB"]

    image.putpixel((0, 0), (1, 2, 3))

    assert find_placed(image) is None
    assert np.asarray(image)[0, 0].tolist() == [1, 2, 3]
    assert type(pickle.loads(pickle.dumps(image))) is Image.Image  # noqa: S301


def test_arrays_copies_crops_and_pickles_need_no_pixels_of_pil(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Placed) -> None:
        raise AssertionError

    monkeypatch.setattr(placed_image, "ordinary_image", refuse)
    image = PlacedImage(KINDS["RGB"])
    for same in (image, image.copy(), image.convert("RGB"), copy.copy(image), pickle.loads(pickle.dumps(image))):  # noqa: S301
        assert np.asarray(same).tobytes() == same.tobytes() == KINDS["RGB"].pixels().tobytes()
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(saved(same, "PNG")))), np.asarray(same))
        assert (same.mode, same.size, same.getexif(), same.verify()) == ("RGB", (WIDTH, HEIGHT), {}, None)
    assert np.asarray(image.crop((10, 4, 13, 7))).shape == (3, 3, 3)


def test_a_pickle_is_as_large_as_the_content() -> None:
    content = np.ones((100, 100, 3), np.uint8)

    assert len(pickle.dumps(PlacedImage(whole(content[20:30, 20:30]).bordered(500)))) < 1000


def test_a_pickle_opens_where_pillow_is_not_a_tested_one(monkeypatch: pytest.MonkeyPatch) -> None:
    image = PlacedImage(KINDS["L"])
    image.info["a"] = 1
    data = pickle.dumps(image)
    monkeypatch.setattr(PIL, "__version__", "99.0.0")

    restored = pickle.loads(data)  # noqa: S301

    assert type(restored) is Image.Image
    assert seen(restored) == seen(image)


def test_a_thousand_threads_read_the_same() -> None:
    image = PlacedImage(KINDS["RGB"])
    wanted = KINDS["RGB"].pixels()
    reads = [
        lambda: np.asarray(image),
        lambda: np.asarray(image.resize(image.size)),
        lambda: np.asarray(image.crop((0, 0, WIDTH, HEIGHT))),
        lambda: np.asarray(pickle.loads(pickle.dumps(image))),  # noqa: S301
        lambda: np.array(list(image.im), np.uint8).reshape(wanted.shape),
    ]
    with ThreadPoolExecutor(64) as pool:
        found = list(pool.map(lambda n: reads[n % len(reads)](), range(1000)))

    assert all(np.array_equal(one, wanted) for one in found)


def test_threads_that_need_pixels_of_pil_share_them() -> None:
    for _ in range(50):
        image = PlacedImage(KINDS["RGB"])
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n, image=image: image.putpixel((n, 0), (n, n, n)), range(8)))
        assert np.asarray(image)[0, :8, 0].tolist() == list(range(8))
