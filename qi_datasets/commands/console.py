"""What all commands share on a terminal: tables, and errors in one line with their exit status."""

import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec

import click

from qi_datasets.errors import QIDatasetsError, one_line

P = ParamSpec("P")


def command(epilog: str) -> Callable[[Callable[..., None]], click.Command]:
    """Makes a command of a function with options: `-h`, `--version`, and errors in one line."""

    def made(function: Callable[..., None]) -> click.Command:
        settings = {"help_option_names": ["-h", "--help"]}
        versioned = click.version_option(package_name="qi-datasets")(one_line_errors(function))
        return click.command(epilog=epilog, context_settings=settings)(versioned)

    return made


def one_line_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Turns this package's exceptions into one line on standard error, in flags, and their exit status."""

    @wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except QIDatasetsError as error:
            click.echo(f"error: {with_flags(one_line(error))}", err=True)
            raise click.exceptions.Exit(error.exit_status) from error

    return wrapper


def with_flags(text: str) -> str:
    """A message that names arguments of Python (`per_split=N`, `force=True`), with the running command's flags."""
    options = [each for each in click.get_current_context().command.params if isinstance(each, click.Option)]
    for parameter in options:
        flag, is_flag = parameter.opts[0], parameter.is_flag

        def spelled(match: "re.Match[str]", flag: str = flag, is_flag: bool = is_flag) -> str:
            return flag if is_flag or not match[1] else f"{flag} {match[1]}"

        value = r"('[^']*'|[\w./,:-]*\w|)"
        text = re.sub(rf"\b{parameter.name}={value}", spelled, text)
        text = re.sub(rf"^{parameter.name} must be", f"{flag} must be", text)
    return text


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str] = frozenset()) -> str:
    """A plain text table; the columns named in `right` are aligned to the right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    aligned = [
        [
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(header, line, widths, strict=True)
        ]
        for line in lines
    ]
    aligned.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(line).rstrip() for line in aligned)
