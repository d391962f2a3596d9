"""`publish_entry`: sends an entry's results to its model's repository, and the entry to a repository of entries."""

from collections.abc import Callable, Sequence
from pathlib import Path

import yaml
from huggingface_hub import EvalResultEntry, HfApi, eval_result_entries_to_yaml, is_offline_mode

from qi_datasets.errors import HubError, NamedArgument, OptionError, PublishError
from qi_datasets.evaluation.content import EntryContent
from qi_datasets.evaluation.description import ABOUT
from qi_datasets.evaluation.entry import ENTRY, Entry
from qi_datasets.evaluation.grid import ANSWERS, SETTINGS, grid_beside
from qi_datasets.evaluation.hub_results import FOLDER, Source, results_in, results_name, results_of, tasks_in
from qi_datasets.evaluation.predictions import PREDICTIONS
from qi_datasets.leaderboard.submission import PLAIN
from qi_datasets.publishing.content import local_file
from qi_datasets.publishing.proposal import Proposal, Sent, plan_proposal, send
from qi_datasets.publishing.remote_state import reason_unseen
from qi_datasets.storage.hub import BENCHMARK, MAIN, SILENCE, HubPlace, ask_hub, connection
from qi_datasets.storage.published import PublishedSet, fetch_file, published_set, tree


def publish_entry(
    folder: str | Path,
    *,
    model_id: str | None = None,
    dataset_id: str | None = None,
    results: str | None = None,
    direct: bool = False,
    dry_run: bool = False,
    confirm: Callable[[Sequence[Proposal]], bool] | None = None,
    timeout: float = SILENCE,
    progress: bool = False,
) -> tuple[Sent, ...]:
    """Sends an entry to the Hub, after every figure of it was computed again.

    Args:
        folder: The entry's folder, named MODEL-REVISION.
        model_id: "ORG/MODEL", the repository that gets `.eval_results/`; default that of the entry; none if it has
            none.
        dataset_id: "ORG/NAME", the benchmark; default that of the results from `qi-eval --dataset-id`.
        results: "ORG/RESULTS", a data set of entries, one folder each, that gets this one.
        direct: Commit to main, instead of opening pull requests.
        dry_run: Only read, and return the plan; without the Hub it has all files.
        confirm: Called with the plan before anything is written; False ends it.
        timeout: Seconds to wait for an answer of the Hub.
        progress: Show bars on a terminal.

    Returns:
        The results of the proposals, that of the entry first.

    Raises:
        EntryError: If the entry's predictions contradict it.
        PublishError: If it was measured on other data than the benchmark's.
        HubError: If the Hub refuses. OptionError: If an argument is wrong.
    """
    if is_offline_mode() and not dry_run:
        raise HubError("publishing needs the Hub, but HF_HUB_OFFLINE is set; unset it", code="hub-unreachable")
    folder = Path(folder).expanduser().absolute()
    entry = Entry.read(folder)
    grid_beside(folder, entry.content)
    model_id = model_id or entry.content.get(ABOUT, {}).get("model_id")
    if model_id is None and results is None:
        raise OptionError(
            "an entry goes to the repository of its model or to one of results: give model_id or results",
            code="missing-argument",
        )
    if model_id is not None:
        entry = entry.described(model_id=model_id)
        dataset_id = dataset_id or benchmark_of_results(folder)
    with connection(timeout):
        unseen = reason_unseen(HubPlace(model_id or str(results)), dry_run=dry_run)
        proposals = []
        if results is not None:
            proposals.append(plan_entry(entry, folder, HubPlace(results), direct=direct, unseen=unseen))
        if model_id is not None and dataset_id is not None and unseen:
            made, place = results_of(entry, dataset_id), HubPlace(model_id, MAIN, "model")
            proposals.append(plan_results(entry.content, made, place, direct=direct, unseen=unseen))
        elif model_id is not None and dataset_id is not None:
            user = str(ask_hub(HfApi().whoami, HubPlace(model_id))["name"])
            source = source_of(entry.content, folder, results, user)
            benchmark = published_set(HubPlace(dataset_id))
            check_benchmark(entry.content, benchmark)
            made = results_of(entry, dataset_id, revision=benchmark.commit, source=source)
            check_tasks(made, benchmark)
            proposals.append(plan_results(entry.content, made, HubPlace(model_id, MAIN, "model"), direct=direct))
        if dry_run or not (confirm is None or confirm(proposals)):
            return tuple(Sent(one, one.address, changed=False) for one in proposals)
        return tuple(send(one, progress=progress) for one in proposals)


def benchmark_of_results(folder: Path) -> str:
    """Returns the benchmark of the results beside an entry. Raises OptionError without any."""
    found: set[str] = set()
    for path in sorted((folder / FOLDER).glob("*.yaml")):
        found |= {str(one.get("dataset", {}).get("id")) for one in results_in(path)}
    if len(found) != 1:
        raise OptionError(
            "the results need their benchmark: give ",
            NamedArgument("dataset_id", "ORG/NAME"),
            ", the data set that the network was evaluated on",
            code="missing-argument",
        )
    return found.pop()


def source_of(content: EntryContent, folder: Path, results: str | None, user: str) -> Source | None:
    """Returns the link to look up an entry's results: its predictions, else the code or the paper."""
    if results is not None:
        return Source(f"{HubPlace(results).page}/tree/{MAIN}/{folder.name}", "predictions of every image", user)
    about = content.get(ABOUT, {})
    return next((Source(about[name], name, user) for name in ("code", "paper") if name in about), None)


def check_benchmark(content: EntryContent, benchmark: PublishedSet) -> None:
    """Raises PublishError unless an entry was measured on all of a published set, to the digest."""
    data, manifest, place = content["data"], benchmark.manifest, benchmark.place
    if (data["set"], data["data_version"]) != (manifest.name, manifest.spec_version):
        raise PublishError(
            f"the entry was measured on {data['set']} {data['data_version']}, and {place.repo_id} is {manifest.name} "
            f"{manifest.spec_version}; evaluate the network on that",
            code="other-version",
        )
    if data["limit"] is not None:
        raise PublishError(f"the entry is of {data['limit']} sources a split, and results are of all; leave limit out")
    for split, record in manifest.default_config.splits.items():
        if data["digests"].get(split, record.digest) != record.digest:
            raise PublishError(
                f"the entry was measured on other pictures than {place.repo_id} has (the digests of {split} differ); "
                "evaluate the network on that set, or name the one that it was evaluated on"
            )


def check_tasks(made: Sequence[EvalResultEntry], benchmark: PublishedSet) -> None:
    """Raises PublishError unless the benchmark's `eval.yaml` defines the tasks of all results."""
    place = HubPlace(benchmark.place.repo_id, benchmark.commit)
    if BENCHMARK not in {file.path for file in tree(place)}:
        raise PublishError(
            f"{place.repo_id} is no benchmark: it has no {BENCHMARK}; its owner publishes it again with qi-publish"
        )
    tasks = tasks_in(fetch_file(place, BENCHMARK))
    for one in made:
        if one.task_id not in tasks:
            raise PublishError(f"{place.repo_id} has no task {one.task_id!r}; its {BENCHMARK} has {', '.join(tasks)}")


def plan_results(
    content: EntryContent, made: Sequence[EvalResultEntry], place: HubPlace, *, direct: bool, unseen: str = ""
) -> Proposal:
    """Plans to add results to a model's repository; other results in their file stay.

    Args:
        content: The entry's content.
        made: Its results.
        place: The model's repository.
        direct: Whether to commit to main.
        unseen: As in `plan_proposal`.
    """
    name, kept = results_name(content), []
    head = HubPlace(place.repo_id, MAIN, place.repo_type)
    if not unseen and name in {file.path for file in tree(head)}:
        ours = {(one.dataset_id, one.task_id) for one in made}
        there = results_in(fetch_file(head, name))
        kept = [one for one in there if (one["dataset"].get("id"), one["dataset"].get("task_id")) not in ours]
    text = yaml.safe_dump(
        [*kept, *eval_result_entries_to_yaml(list(made))], sort_keys=False, allow_unicode=True, width=1000
    )
    files, title = {name: local_file(text.encode())}, f"Results on {made[0].dataset_id}"
    return plan_proposal(place, files, title, direct=direct, unseen=unseen)


def plan_entry(entry: Entry, folder: Path, place: HubPlace, *, direct: bool, unseen: str = "") -> Proposal:
    """Plans to add an entry to a repository of entries.

    Args:
        entry: The files to send.
        folder: Its folder.
        place: The repository.
        direct: Whether to commit to main.
        unseen: As in `plan_proposal`.
    """
    name = folder.name
    if PLAIN.fullmatch(name) is None:
        raise OptionError(
            f"an entry's folder is called MODEL-REVISION, of letters, digits, dots and dashes, not {name!r}",
            code="bad-place",
        )
    files = {
        f"{name}/{ENTRY}": local_file(entry.text.encode()),
        f"{name}/{PREDICTIONS}": local_file((folder / PREDICTIONS).read_bytes()),
    }
    files |= {
        f"{name}/{one}": local_file((folder / one).read_bytes())
        for one in (SETTINGS, ANSWERS)
        if (folder / one).exists()
    }
    proposal = plan_proposal(place, files, f"Entry {name}", direct=direct, unseen=unseen)
    if proposal.there & files.keys() and f"{name}/{PREDICTIONS}" in proposal.add:
        raise PublishError(
            f"{place.repo_id} has another entry {name}; published entries stay, so give the folder a name of its own",
            code="repository-in-use",
        )
    return proposal
