"""Sources of images: one file per kind of layout, and `open_source`, which recognises the layout."""

from qi_datasets.sources.base import Source, SourceImage
from qi_datasets.sources.demo import DemoSource
from qi_datasets.sources.one_pass import OnePassSource
from qi_datasets.sources.recognise import open_source

__all__ = ["DemoSource", "OnePassSource", "Source", "SourceImage", "open_source"]
