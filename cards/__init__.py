"""Templates of what people read: a card for each set, the verification page; the data specification; pictures."""

from base64 import b64encode
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape


def template(*names: str) -> Template:
    """Returns the first of these templates that exists; values are escaped in HTML pages, and not in Markdown.

    Raises jinja2.TemplatesNotFound when there is none of them.
    """
    return _environment().select_template(names)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("qi_datasets.cards", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=select_autoescape(["html.jinja"]),
    )
    environment.filters["b64"] = lambda data: b64encode(data).decode("ascii")
    return environment
