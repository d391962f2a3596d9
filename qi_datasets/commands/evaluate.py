"""`qi-eval`: makes an entry from a network."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qi_datasets.commands.console import check_effect, command, fail, say, table, wrap_lines
from qi_datasets.commands.signals import StoppedError

if TYPE_CHECKING:
    from qi_datasets.evaluation.arguments import EvaluationRequest
    from qi_datasets.evaluation.entry import Entry

EPILOG = """
\b
MODEL is one of these (qi-eval --list names them):
  a classifier of torchvision, such as resnet18, or bagnet33
  timm:NAME (extra timm)
  package.module:factory or path/to/file.py:factory, a function without arguments that makes your torch.nn.Module

\b
Columns on qi:
  verdict      reads; not detected; equal: the same features in both corners
               for every test picture; proved: for any picture
  accuracy %   right answers of a linear probe; 50 is chance
  interval     of the accuracy, above 50 exactly where it reads
  p            after Holm's correction over seven borders
  difference   of a feature between the corners, of the largest feature
  channels %   share of features that differ between the corners
On shifted: consistency (pairs of moved pictures that get one answer), top-1
  over shifts, classes that are answered, largest change of a logit.

\b
More machines: the same command started several times on one --entry folder shares its work, and
  torchrun --nproc-per-node N -m qi_datasets.commands.evaluate MODEL --entry FOLDER ...
does so on the GPUs of one machine. A run that was cut off goes on where it was.

\b
Exit status: 0 done, 1 --check found another result, 2 wrong usage, input or network.
"""

PATH = click.Path(path_type=Path)


@command(EPILOG)
@click.argument("model", required=False)
@click.option("--list", "listed", is_flag=True, help="Show all models and tasks, and end.")
@click.option("--task", metavar="NAME", default="qi", show_default=True, help="The set to evaluate on.")
@click.option("--output", metavar="OUT", help="Folder of the sets [default: $QI_DATASETS_HOME, or the cache].")
@click.option("--entry", metavar="FOLDER", type=PATH, help="Folder for the entry; an interrupted run continues there.")
@click.option(
    "--border", "borders", metavar="N", type=int, multiple=True, help="A border of qi; repeatable [default: seven]."
)
@click.option("--grid", metavar="K", type=int, help="In which of K x K cells of qi is location read? K from 2 to 9.")
@click.option(
    "--init",
    metavar="KIND",
    multiple=True,
    help="random, pretrained or scratch; repeatable [default: pretrained with weights, else random].",
)
@click.option("--seeds", metavar="K", type=int, help="Number of networks of random and scratch [default: 5 and 3].")
@click.option("--limit", metavar="N", type=int, help="Take only N sources of each split, for a quick look.")
@click.option("--weights", metavar="FILE", default="none", show_default=True, help="none, default, or a state dict.")
@click.option(
    "--padding",
    metavar="KIND",
    default="own",
    show_default=True,
    help="own, full, exact, valid, circular, reflect or replicate.",
)
@click.option("--pool", metavar="KIND", help="max or own [default: max for classifiers that end in a global pooling].")
@click.option(
    "--background", metavar="KIND", default="zero", show_default=True, help="zero keeps black 0, plain normalises it."
)
@click.option("--batch-norm", metavar="KIND", help="calibrated or untouched [default: calibrated for random].")
@click.option(
    "--mean", metavar="R G B", type=float, nargs=3, help="Mean of each channel, 0 to 1 [default: ImageNet's]."
)
@click.option(
    "--std", metavar="R G B", type=float, nargs=3, help="Its deviation, above 0, up to 1 [default: ImageNet's]."
)
@click.option("--device", metavar="DEVICE", help="Device of the networks, e.g. cpu [default: a GPU if any].")
@click.option("--dense", is_flag=True, help="Compute whole images, not only what differs from black: slow.")
@click.option("--dry-run", is_flag=True, help="Say how long it would take, and end.")
@click.option("--merge", is_flag=True, help="Make an entry of what the jobs have finished, and end.")
@click.option(
    "--refresh", metavar="FOLDER", type=PATH, help="Rewrite the entries below FOLDER in this version's form, and end."
)
@click.option("--check", metavar="ENTRY", type=PATH, help="Run this entry's evaluation again, and compare.")
@click.option("--plot", metavar="FILE", type=PATH, help="Draw accuracy against border, with the paper's curve.")
@click.option("--dataset-id", metavar="ORG/NAME", help="Also write the Hub's .eval_results, for the set of that name.")
@click.option("--name", metavar="TEXT", help="The network's name for readers [default: that of MODEL].")
@click.option("--paper", metavar="LINK", help="The network's paper; https.")
@click.option("--code", metavar="LINK", help="The network's code; https.")
@click.option("--authors", metavar="TEXT", help="The people who made the network, or ran it.")
@click.option("--model-id", metavar="ORG/MODEL", help="The network's repository on the Hub.")
@click.option("--notes", metavar="TEXT", help="Further remarks for readers.")
@click.option("--describe", metavar="FOLDER", type=PATH, help="Change these six in an existing entry, and end.")
@click.option("--quiet", is_flag=True, help="No progress bars, no table.")
def main(
    model: str | None,
    listed: bool,
    output: str | None,
    entry: Path | None,
    dry_run: bool,
    merge: bool,
    refresh: Path | None,
    check: Path | None,
    plot: Path | None,
    grid: int | None,
    dataset_id: str | None,
    describe: Path | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Evaluate MODEL: on qi, up to which border it reads location."""
    if listed:
        check_effect({"listed"}, "with --list")
        show_list()
        return
    if refresh is not None:
        check_effect({"refresh", "quiet"}, "with --refresh, which runs nothing")
        refresh_entries(refresh, quiet=quiet)
        return
    if describe is not None:
        describe_entry(describe, options, quiet=quiet)
        return
    request, about = parse_request(options)
    if check is not None:
        check_effect({"model", "check", "output", "weights", "device", "quiet"}, "with --check, which repeats an entry")
        check_again(model, check, output, request, quiet=quiet)
        return
    if model is None:
        raise click.UsageError("Give a MODEL, or --list to see the choices.")
    check_usage(entry, merge=merge, dry_run=dry_run, dataset_id=dataset_id)
    check_before_torch(model, output, entry, plot, request)
    show_progress = not quiet and os.environ.get("RANK", "0") == "0"
    if grid is not None:
        from qi_datasets.commands.grid import run_on_grid

        with importable_here():
            run_on_grid(model, grid, output, entry, plot, request, progress=show_progress)
        return
    try:
        with importable_here():
            from qi_datasets.evaluation.evaluate import evaluate_request

            if dry_run or merge:
                made = estimate_or_merge(model, request, output, None if dry_run else entry, about, show_progress)
            else:
                made = evaluate_request(model, request, output, entry, progress=show_progress, **about)
    except StoppedError as error:
        if entry is None or not entry.exists():
            raise
        done = "".join(f"; {note}" for note in getattr(error, "__notes__", []))
        fail(f"stopped by {error}{done}; the same command goes on where it was", error.exit_status, error)
    if made is not None:
        report(made, entry, plot, dataset_id, quiet=not show_progress)


def report(made: "Entry", entry: Path | None, plot: Path | None, dataset_id: str | None, *, quiet: bool) -> None:
    """Shows an entry, and writes its figure and its results for the Hub.

    Args:
        made: The entry.
        entry: Its folder.
        plot: The value of this option.
        dataset_id: The value of this option.
        quiet: Show nothing.
    """
    if plot is not None:
        from qi_datasets.evaluation.curve import save_plot as draw

        draw([made.content], plot)
    if dataset_id is not None and entry is not None:
        from qi_datasets.evaluation.hub_results import write_results

        write_results(made, dataset_id, entry)
    if not quiet:
        show(made)
        if entry is not None:
            click.echo(f"entry: {entry}")


def check_usage(entry: Path | None, *, merge: bool, dry_run: bool, dataset_id: str | None) -> None:
    """Raises click's error for options that need an entry's folder, or that exclude each other.

    Args:
        entry: The folder.
        merge: The option of the command.
        dry_run: The option of the command.
        dataset_id: The option of the command.
    """
    if merge and (entry is None or dry_run):
        raise click.UsageError("--merge needs --entry, and goes without --dry-run.")
    if dataset_id is not None and entry is None:
        raise click.UsageError("--dataset-id needs --entry, the folder where it writes.")


def parse_request(options: Mapping[str, Any]) -> "tuple[EvaluationRequest, dict[str, str | None]]":
    """Returns the evaluation that the command's options request, and their texts about the network."""
    from qi_datasets.evaluation.arguments import EvaluationRequest
    from qi_datasets.evaluation.description import LONGEST

    about = {name: options[name] for name in LONGEST}
    asked: dict[str, Any] = {name: value for name, value in options.items() if name not in (*LONGEST, "dense")}
    # Options that may be repeated are () if they are not given.
    asked |= {name: options[name] or None for name in ("borders", "init")}
    return EvaluationRequest(local=not options["dense"], **asked), about


def check_before_torch(
    model: str, output: str | None, entry: Path | None, plot: Path | None, request: "EvaluationRequest"
) -> None:
    """Raises our errors for wrong arguments before torch is imported, which takes seconds.

    Args:
        model: The argument as given.
        output: The option as given.
        entry: The option as given.
        plot: The option as given.
        request: The further arguments of `evaluate`.
    """
    from qi_datasets.evaluation import arguments as given
    from qi_datasets.specs import SPECS

    request.check()
    given.check_model(model)
    given.check_plot(plot)
    given.check_entry(entry)
    given.set_place(SPECS[request.task], output)
    given.check_torch()


def estimate_or_merge(
    model: str,
    request: "EvaluationRequest",
    output: str | None,
    entry: Path | None,
    about: Mapping[str, str | None],
    progress: bool,
) -> "Entry | None":
    """Returns the entry of the finished parts in a folder; without a folder, shows how long the evaluation will take.

    Args:
        model: As in `evaluate_request`.
        request: As in `evaluate_request`.
        output: As in `evaluate_request`.
        entry: The folder whose parts are put together; None for an estimate.
        about: The fields that describe the network.
        progress: Show bars on a terminal.
    """
    from qi_datasets.evaluation.design import design_of
    from qi_datasets.evaluation.estimate import estimate_seconds
    from qi_datasets.evaluation.evaluate import merge_parts, read_data
    from qi_datasets.specs import QI

    design = design_of(model, request)
    data = read_data(design, output, request.limit, progress=progress)
    if entry is not None:
        made = merge_parts(design, data, entry.absolute())
        if any(about.values()):
            made = made.described(**about)
            made.write(entry)
        return made
    found = estimate_seconds(design, data)
    seeds = {init: f"{len(settings['seeds'])}" for init, settings in design.inits.items()}
    rows = [[init, seeds[init], place, duration(seconds)] for (init, place), seconds in found.items()]
    rows.append(["all", "", "", duration(sum(found.values()))])
    where = "border" if design.task == QI.name else "mode"
    click.echo(table(["init", "seeds", where, "time"], rows, right=frozenset({"seeds", "border", "time"})))
    return None


def describe_entry(folder: Path, options: Mapping[str, Any], *, quiet: bool) -> None:
    """Changes the texts of an entry about its network.

    Args:
        folder: The entry's folder.
        options: The options of the command; all but six have no effect here.
        quiet: Print nothing.
    """
    from qi_datasets.evaluation.description import ABOUT, LONGEST
    from qi_datasets.evaluation.entry import Entry

    check_effect({*LONGEST, "describe", "quiet"}, "with --describe, which runs nothing")
    described = Entry.read(folder).described(**{name: options[name] for name in LONGEST})
    described.write(folder)
    if not quiet:
        for name, text in described.content.get(ABOUT, {}).items():
            say(f"{name}: {text}")
        say(f"{folder}: described; its figures are as they were")


def refresh_entries(folder: Path, *, quiet: bool) -> None:
    """Rewrites the entries below a folder in this version's form, and prints which."""
    from qi_datasets.evaluation.refresh import refresh_entries_in

    found = refresh_entries_in(folder)
    for name, rewritten in found.items():
        if rewritten and not quiet:
            say(f"rewritten: {name}")
    if not quiet:
        click.echo(f"{folder}: {sum(found.values())} of {len(found)} entries rewritten")


def check_again(
    model: str | None, folder: Path, output: str | None, request: "EvaluationRequest", *, quiet: bool
) -> None:
    """Runs an entry's evaluation again; ends with exit status 1 if the result differs.

    Args:
        model: As in `evaluate`; None for the one that the entry names, if a library has it.
        output: As in `evaluate`.
        folder: Folder of the entry, which has the settings.
        request: The weights and the device; its other fields are not used.
        quiet: Show no bars; differences go to standard error.
    """
    from qi_datasets.evaluation.entry import Entry
    from qi_datasets.evaluation.evaluate import evaluate_request
    from qi_datasets.evaluation.reproduce import differences, request_of

    there = Entry.read(folder)
    weights = request.weights
    if model is None:
        model, weights = library_network(there, folder, weights)
    repeated = replace(request_of(there.content), weights=weights, device=request.device)
    with importable_here():
        again = evaluate_request(model, repeated, output, progress=not quiet)
    found = differences(there, again)
    for line in found:
        click.echo(f"differs: {line}", err=quiet)
    if found:
        raise click.exceptions.Exit(1)
    if not quiet:
        click.echo(f"{folder}: the same, {len(there.predictions)} answers")


def library_network(entry: "Entry", folder: Path, weights: str) -> tuple[str, str]:
    """Returns the model and the weights that an entry names if a library has them; else raises click's error.

    folder: the entry's folder.
    weights: the option as given; "none" for the weights of the entry.
    """
    from qi_datasets.evaluation.models import DEFAULT, NONE, is_of_library

    name, named = entry.content["model"]["name"], entry.content["model"]["weights"]
    if not is_of_library(name):
        raise click.UsageError(f"{folder} is of a network that no library has: give its MODEL too.")
    if weights == NONE and named not in (NONE, DEFAULT):
        raise click.UsageError(f"{folder} is of weights that no library has: give --weights FILE too.")
    return name, named if weights == NONE else weights


@contextmanager
def importable_here() -> Iterator[None]:
    """Makes modules of the current folder importable, as `python -m` does."""
    import sys

    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")


def show_list() -> None:
    """Prints the models that have names, and the tasks."""
    from qi_datasets.evaluation.models import model_names
    from qi_datasets.evaluation.tasks import TASKS

    click.echo("models (further ones: timm:NAME, package.module:factory, path/to/file.py:factory)")
    for name in model_names():
        click.echo(f"  {name}")
    click.echo("tasks")
    for task in TASKS.values():
        click.echo(f"  {task.name}: {task.summary} (init {', '.join(task.inits)})")


def show(made: "Entry") -> None:
    """Prints the entry's figures in tables, on `qi` as a curve, and a sentence on them."""
    from qi_datasets.evaluation.curve import draw_text_curve
    from qi_datasets.evaluation.wording import borders_run, is_poor, number, reach
    from qi_datasets.specs import QI, SHIFTED

    click.echo(made.table())
    for figures in made.figures.values():
        if made.task == QI.name:
            score = figures["location_score"]
            click.echo(
                f"reach at 75 % {reach(figures, 'reach_75')}, "
                f"location score {number(score) if score else f'unknown ({borders_run(figures)})'}, "
                f"reach {reach(figures)}"
            )
        elif made.task == SHIFTED.name:
            if not any(moved["labelled"] for moved in figures.values()):
                click.echo("no top-1: the images' classes are not known, or the network has others than ImageNet's")
            if any(map(is_poor, figures.values())):
                click.echo("warning: fewer than 10 classes are answered, so that consistency says little")
    if made.task == QI.name:
        click.echo("\n".join(draw_text_curve(made.content)))
    data = made.content["data"]
    click.echo(
        f"{made.content['model']['name']} on {data['set']} {data['data_version']}, track {data['track']}, "
        f"{data['evaluated']} sources; " + ", ".join(f"{name} {sha[:12]}" for name, sha in data["digests"].items())
    )
    if caveat := data.get("caveat"):
        say(f"note: {caveat}")
    say(wrap_lines(f"{made}"))


def duration(seconds: float) -> str:
    """Returns a duration as text."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    main()
