"""Code that all commands share: tables, and errors and signals in one line with their exit status."""

import errno
import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import wraps
from typing import NoReturn, ParamSpec

import click
from click.core import ParameterSource

from qi_datasets.commands.signals import StoppedError, stop_on_signals
from qi_datasets.errors import Message, NamedArgument, QIDatasetsError, in_one_line, printable
from qi_datasets.evaluation.wording import text_table

P = ParamSpec("P")

CANNOT_WRITE = 2
"""Exit status where standard output can't be written."""


def command(epilog: str) -> Callable[[Callable[..., None]], click.Command]:
    """Makes a command from a function with options: adds `-h`, `--version`, and errors in one line."""

    def made(function: Callable[..., None]) -> click.Command:
        settings = {"help_option_names": ["-h", "--help"]}
        versioned = click.version_option(package_name="qi-datasets")(one_line_errors(function))
        return click.command(epilog=epilog, context_settings=settings)(versioned)

    return made


def one_line_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Turns this package's exceptions, signals and a full disk into one line on standard error and an exit status.

    The line names flags where the exception named arguments.
    """

    @wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        # Pillow warns of damaged images; where it matters, this package raises an error.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            with stop_on_signals():
                command(*args, **kwargs)
                sys.stdout.flush()
        except QIDatasetsError as error:
            fail(in_one_line(with_flags(error.message)) or type(error).__name__, error.exit_status, error)
        except StoppedError as error:
            fail(f"stopped by {error}; nothing unfinished is left", error.exit_status, error)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of the output has closed it
                raise
            fail(f"cannot write {error.filename or 'the output'}: {error.strerror or error}", CANNOT_WRITE, error)

    return wrapper


def fail(text: str, status: int, cause: BaseException) -> NoReturn:
    """Ends the command with a line on standard error and an exit status."""
    with suppress(OSError):
        say(f"error: {text}", err=True)
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        # At its end Python would flush again, and print the error.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise click.exceptions.Exit(status) from cause


def say(text: str = "", err: bool = False) -> None:
    """Prints text that may have file names in it: control characters are escaped."""
    click.echo(printable(text), err=err)


def check_effect(effective: Collection[str], place: str) -> None:
    """Raises click's error for an argument of the running command that has no effect.

    Args:
        effective: Names of the arguments that have one.
        place: The end of the message: "with --grid".
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        if name not in effective and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            flag = parameter.opts[0] if isinstance(parameter, click.Option) else name.upper()
            raise click.UsageError(f"{flag} has no effect {place}.")


def with_flags(text: str) -> str:
    """Returns a message with the running command's flags in place of the arguments that it names."""
    parameters = click.get_current_context().command.params
    options = {each.name: each for each in parameters if isinstance(each, click.Option)}

    def shown(part: object) -> str:
        option = options.get(part.name) if isinstance(part, NamedArgument) else None
        if option is None or not isinstance(part, NamedArgument):
            return str(part)
        has_value = part.value not in (None, "") and not option.is_flag
        return f"{option.opts[0]} {part.value}" if has_value else option.opts[0]

    return "".join(map(shown, text.parts)) if isinstance(text, Message) else text


def width() -> int:
    """Returns the width of the terminal in columns, 80 without one."""
    return shutil.get_terminal_size((80, 24)).columns


def wrap_lines(text: str) -> str:
    """Wraps a sentence to the width of the terminal; leaves it in one line if the output goes elsewhere."""
    if not sys.stdout.isatty():
        return text
    return textwrap.fill(text, width(), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


table = text_table
"""A plain text table."""
