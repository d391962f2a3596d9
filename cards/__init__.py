"""Templates of what people read: a card for each set, the verification page; the data specification; pictures."""

from base64 import b64encode
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape


def template(*names: str) -> Template:
    """The first of these templates that there is; the values in a page of HTML are escaped, those in Markdown are not.

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
