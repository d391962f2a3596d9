"""The texts of an entry about its network and its authors. Needs no torch."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from qi_datasets.errors import EntryError, NamedArgument, OptionError
from qi_datasets.evaluation.content import EntryContent, EntrySettings

ABOUT: Final = "about"
"""The section of an entry that holds these texts. It may change after the evaluation, and has a seal of its own."""

DESCRIBING = (ABOUT, "version")
"""Sections that change when an entry is described (`qi-eval --describe`)."""

LONGEST = {"name": 80, "paper": 300, "code": 300, "authors": 300, "model_id": 96, "notes": 1000}
"""The fields, with the largest number of characters of each."""

LINKS = ("paper", "code")

_MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.IGNORECASE | re.ASCII)
_FORBIDDEN = frozenset(("Cc", "Cf", "Co", "Cs", "Zl", "Zp"))
"""Unicode categories that are no plain text: control and format characters, private use, surrogates, line breaks."""


def make_about(**fields: str | None) -> dict[str, str]:
    """Returns the section `about` of an entry, after checking its fields.

    Args:
        **fields: Texts by the names in `LONGEST`; None leaves a field out. `paper` and `code` are https links,
            `model_id` is ORG/MODEL on the Hub.

    Raises:
        OptionError: If a field is too long, not plain text, or not a link of this kind.
    """
    about = {name: text for name, text in fields.items() if text is not None}
    for name, text in about.items():
        if fault := find_fault(name, text):
            raise OptionError(NamedArgument(name), f" must be {fault}", code="bad-value")
    return about


def change_about(content: EntryContent, **fields: str | None) -> dict[str, str]:
    """Returns the section `about` of an entry with some fields changed.

    Args:
        content: The content of `entry.json`.
        **fields: As in `make_about`, but "" removes a field, and None leaves it unchanged.

    Raises:
        OptionError: As in `make_about`, and if no field is given.
    """
    if all(text is None for text in fields.values()):
        raise OptionError(f"nothing is described; give one of {', '.join(LONGEST)}", code="nothing-asked")
    gone = {name for name, text in fields.items() if text == ""}
    given = make_about(**{name: text for name, text in fields.items() if name not in gone})
    about = {**content.get(ABOUT, {}), **given}
    return {name: about[name] for name in LONGEST if name in about and name not in gone}


def check_about(content: EntrySettings) -> None:
    """Raises EntryError if `make_about` refuses a field of an entry, or if any of the entry's texts is not plain."""
    for name, text in content.get(ABOUT, {}).items():
        if fault := find_fault(name, text):
            raise EntryError(f"{ABOUT}.{name} must be {fault}")
    if field := next(find_fields_not_plain("", content), ""):
        raise EntryError(f"{field} has control characters or marks of the direction of writing")


def network_name(content: EntryContent) -> str:
    """Returns the name of an entry's network for readers: `about.name`, else the model's."""
    return str(content.get(ABOUT, {}).get("name") or content["model"]["name"])


def find_fault(name: str, text: object) -> str:
    """Returns the end of a message, "must be ...", with the rule that a field breaks; "" if it breaks none."""
    if not isinstance(text, str) or not text.strip() or text != text.strip():
        return "text, without spaces around it"
    if len(text) > LONGEST[name]:
        return f"at most {LONGEST[name]} characters long, not {len(text)}"
    if not is_plain(text):
        return "one line of text, without control characters or marks of the direction of writing"
    fault = ""
    if name in LINKS and not is_https(text):
        fault = f"a link that begins with https://, not {text[:60]!r}"
    elif name == "model_id" and _MODEL_ID.fullmatch(text) is None:
        fault = f"ORG/MODEL, the name of a repository on the Hub, not {text[:60]!r}"
    return fault


def find_fields_not_plain(where: str, value: object) -> Iterator[str]:
    """Yields the dotted name of each field of nested content whose name or text is not plain."""
    if isinstance(value, str) and not is_plain(value):
        yield where
    for name, inner in value.items() if isinstance(value, Mapping) else ():
        if is_plain(name):
            yield from find_fields_not_plain(f"{where}.{name}".lstrip("."), inner)
        else:
            yield f"{where}.{name!r}".lstrip(".")
    for inner in value if isinstance(value, list) else ():
        yield from find_fields_not_plain(where, inner)


def is_plain(text: str) -> bool:
    """Returns whether a text has no control characters, marks of the direction of writing or the like."""
    return not any(unicodedata.category(char) in _FORBIDDEN for char in text)


def is_https(text: str) -> bool:
    """Returns whether a text is one https link to a host with a name, without user, password and port."""
    try:
        url = urlsplit(text)
        plain = url.scheme == "https" and url.netloc == (url.hostname or "")
    except ValueError:
        return False
    return plain and text.isascii() and not re.search(r"[\s\"'<>\\^`{|}]", text) and bool(_HOST.fullmatch(url.netloc))
