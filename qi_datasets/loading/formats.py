"""Formats of `datasets` that fill arrays in place: `with_format("numpy")`, `"torch"`, `"jax"`, `to_tf_dataset`.

Stock formatters make an array of each image, copy the arrays of a batch into one, and copy again to move the channels
to the front. `datasets` has a table of formatters by name. The formatters below replace some of its entries, and leave
everything but our lazy images to the stock formatters that they inherit from.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import formatting

from qi_datasets.pixels.canvases import paint
from qi_datasets.pixels.geometry import Pixels, Placed, black
from qi_datasets.pixels.placed_image import find_placed

_SCALARS = {pa.int64(): np.int64, pa.int32(): np.int32, pa.string(): np.str_}
"""Arrow types of columns, with the NumPy types that stock formatters give their values."""


class _FillingFormatter:
    """Fills arrays with our lazy images, and leaves everything else to the stock formatter, its next base class.

    Attributes:
        options: Name of the stock attribute with the caller's own arguments for arrays. If there are any, the stock
            formatter makes the arrays.
        channels_first: Whether arrays are (c, h, w).
    """

    options: str
    channels_first = False
    python_features_decoder: Any

    def format_row(self, pa_table: pa.Table) -> object:
        """Formats a row of a view directly: the stock formatter inspects its columns for longer than images take."""
        columns = dict(zip(pa_table.column_names, pa_table.columns, strict=True))
        features = self.python_features_decoder.features or {}
        is_view = any(hasattr(feature, "placed") for feature in features.values())
        if not is_view or any(column.null_count or not is_plain(column.type) for column in columns.values()):
            return super().format_row(pa_table)  # type: ignore[misc]
        row = {name: _SCALARS.get(column.type, dict)(column[0].as_py()) for name, column in columns.items()}
        return self.recursive_tensorize(self.python_features_decoder.decode_row(row))

    def _recursive_tensorize(self, data_struct: object) -> object:
        if not getattr(self, self.options):
            images = data_struct if isinstance(data_struct, list) else [data_struct]
            placed = [one for one in map(find_placed, images) if one is not None]
            if placed and len(placed) == len(images) and len({one.shape for one in placed}) == 1:
                if isinstance(data_struct, list):
                    return self._made_of(fill_batch(placed, self.channels_first))
                return self._made_of(_as_pil_shapes(paint(placed[0], self.channels_first), self.channels_first))
        return super()._recursive_tensorize(data_struct)  # type: ignore[misc]

    def recursive_tensorize(self, data_struct: object) -> object:
        """Formats the columns of a row one by one, without the stock formatter's bars and pools for nested ones."""
        if isinstance(data_struct, dict) and not any(isinstance(value, dict) for value in data_struct.values()):
            return {name: self._recursive_tensorize(value) for name, value in data_struct.items()}
        return super().recursive_tensorize(data_struct)  # type: ignore[misc]

    def _made_of(self, array: Pixels) -> object:
        return array


class _FillingNumpyFormatter(_FillingFormatter):
    options = "np_array_kwargs"


class _FillingTorchFormatter(_FillingFormatter):
    options = "torch_tensor_kwargs"
    channels_first = True
    torch_tensor_kwargs: dict[str, Any]

    def _made_of(self, array: Pixels) -> object:
        import torch

        return torch.from_numpy(array)

    def _recursive_tensorize(self, data_struct: object) -> object:
        """Formats integers and text as the stock formatter does, but without its search for videos in each of them."""
        if isinstance(data_struct, str):
            return data_struct
        if isinstance(data_struct, np.signedinteger) and not self.torch_tensor_kwargs:
            import torch

            return torch.tensor(data_struct, dtype=torch.int64)
        return super()._recursive_tensorize(data_struct)


class _FillingJaxFormatter(_FillingFormatter):
    options = "jnp_array_kwargs"
    device: str

    def _made_of(self, array: Pixels) -> object:
        import jax
        from datasets.formatting import jax_formatter

        with jax.default_device(jax_formatter.DEVICE_MAPPING[self.device]):
            return jax.numpy.array(array)


def is_plain(kind: pa.DataType) -> bool:
    """Returns whether each row of a column of that type is a struct, a text or an integer."""
    return kind in _SCALARS or pa.types.is_struct(kind)


def fill_batch(placed: Sequence[Placed], channels_first: bool) -> Pixels:
    """Returns images of one shape as one array: uint8, (n, c, h, w) or (n, h, w, c), or (n, h, w) for modes like L."""
    height, width, channels = placed[0].shape
    shape = (channels, height, width) if channels_first else (height, width, channels)
    batch = black(len(placed), *shape)
    for one, image in zip(placed, batch, strict=True):
        one.into(image.transpose(1, 2, 0) if channels_first else image)
    return _as_pil_shapes(batch, channels_first)


def _as_pil_shapes(pixels: Pixels, channels_first: bool) -> Pixels:
    """Returns images (..., c, h, w) or (..., h, w, c); the latter without the last axis if they have one channel."""
    return pixels[..., 0] if pixels.shape[-1] == 1 and not channels_first else pixels


def register_formats() -> None:
    """Puts the formatters into the table of `datasets`, in place of the stock formatters that they inherit from."""
    ours = {"numpy": _FillingNumpyFormatter, "torch": _FillingTorchFormatter, "jax": _FillingJaxFormatter}
    try:
        table = formatting._FORMAT_TYPES
        for name, filling in ours.items():
            stock = table.get(name)
            if stock is not None and not issubclass(stock, _FillingFormatter):
                if not hasattr(stock, "_recursive_tensorize"):
                    raise AttributeError(f"{stock.__name__}._recursive_tensorize")
                table[name] = type(stock.__name__, (filling, stock), {"__module__": stock.__module__})
    except (AttributeError, TypeError) as error:
        # The stock formatters then make the same arrays.
        logging.getLogger(__name__).debug("this version of datasets formats images by itself: %s", error)
