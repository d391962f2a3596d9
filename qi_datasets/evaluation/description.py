"""The words in an entry about its network and authors, apart from the figures. Needs no torch."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from qi_datasets.errors import EntryError, NamedArgument, OptionError
from qi_datasets.evaluation.content import EntryContent, EntrySettings

ABOUT: Final = "about"
"""The section of an entry that holds these words; it may change after the evaluation, and its seal is its own."""

DESCRIBING = (ABOUT, "version")
"""Sections that describing an entry may change."""

LONGEST = {"name": 80, "paper": 300, "code": 300, "authors": 300, "model_id": 96, "notes": 1000}
"""Each field, and how many characters it may have."""

LINKS = ("paper", "code")

_MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.IGNORECASE | re.ASCII)
_FORBIDDEN = frozenset(("Cc", "Cf", "Co", "Cs", "Zl", "Zp"))
"""Categories of characters that act on others or mean nothing fixed: control, direction of writing, private, lines."""


def about_of(**fields: str | None) -> dict[str, str]:
    """Returns the fields that are given, checked.

    Args:
        **fields: By the names in `LONGEST`; None for those not given. `paper` and `code` are https links, `model_id`
            is ORG/MODEL on the Hub.

    Raises:
        OptionError: For a field that is no plain text, too long, or no such link.
    """
    about = {name: text for name, text in fields.items() if text is not None}
    for name, text in about.items():
        if fault := find_fault(name, text):
            raise OptionError(NamedArgument(name), f" must be {fault}", code="bad-value")
    return about


def changed_about(content: EntryContent, **fields: str | None) -> dict[str, str]:
    """Returns what an entry says of its network after a change.

    Args:
        content: What `entry.json` says.
        **fields: As of `about_of`; "" takes a field away, None leaves it.

    Raises:
        OptionError: As `about_of`, and where no field is given.
    """
    if all(text is None for text in fields.values()):
        raise OptionError(f"nothing is described; give one of {', '.join(LONGEST)}", code="nothing-asked")
    gone = {name for name, text in fields.items() if text == ""}
    given = about_of(**{name: text for name, text in fields.items() if name not in gone})
    about = {**content.get(ABOUT, {}), **given}
    return {name: about[name] for name in LONGEST if name in about and name not in gone}


def check_about(content: EntrySettings) -> None:
    """Raises EntryError, which names the field, for words in an entry that `about_of` refuses, or that aren't plain."""
    for name, text in content.get(ABOUT, {}).items():
        if fault := find_fault(name, text):
            raise EntryError(f"{ABOUT}.{name} must be {fault}")
    if field := next(fields_not_plain("", content), ""):
        raise EntryError(f"{field} has control characters or marks of the direction of writing")


def network_name(content: EntryContent) -> str:
    """Returns what people call an entry's network: its `name`, else what it was made from."""
    return str(content.get(ABOUT, {}).get("name") or content["model"]["name"])


def find_fault(name: str, text: object) -> str:
    """Returns what a field must be and isn't; "" for a good one."""
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


def fields_not_plain(where: str, value: object) -> Iterator[str]:
    """Yields the dotted names of all text in nested content, names and values, that is not plain."""
    if isinstance(value, str) and not is_plain(value):
        yield where
    for name, inner in value.items() if isinstance(value, Mapping) else ():
        if is_plain(name):
            yield from fields_not_plain(f"{where}.{name}".lstrip("."), inner)
        else:
            yield f"{where}.{name!r}".lstrip(".")
    for inner in value if isinstance(value, list) else ():
        yield from fields_not_plain(where, inner)


def is_plain(text: str) -> bool:
    """Returns whether a text has no characters that act on other characters, such as marks of direction."""
    return not any(unicodedata.category(char) in _FORBIDDEN for char in text)


def is_https(text: str) -> bool:
    """Returns whether a text is one https link to a host with a name, without user, password and port."""
    try:
        url = urlsplit(text)
        plain = url.scheme == "https" and url.netloc == (url.hostname or "")
    except ValueError:
        return False
    return plain and text.isascii() and not re.search(r"[\s\"'<>\\^`{|}]", text) and bool(_HOST.fullmatch(url.netloc))
