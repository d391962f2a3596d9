"""Compares the Hub's ranking with ours: each value that is claimed there with that of the predictions."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from huggingface_hub import EvalResultEntry, HfApi, parse_eval_result_entries
from huggingface_hub.hf_api import DatasetLeaderboardEntry

from qi_datasets.errors import NotOnHubError, QIDatasetsError, StoredSetError
from qi_datasets.evaluation.description import ABOUT
from qi_datasets.evaluation.hub_results import FOLDER, RANKED, ranked_values, results_in, results_name, tasks_in
from qi_datasets.leaderboard.board import Board
from qi_datasets.leaderboard.collection import FoundEntry
from qi_datasets.leaderboard.ranking import RankedRow
from qi_datasets.storage.hub import BENCHMARK, MAIN, HubPlace, ask_hub, connection
from qi_datasets.storage.manifest import Manifest
from qi_datasets.storage.published import fetch_file, published_set, tree

AGREES, DIFFERS, OTHER_REVISION, UNKNOWN_REVISION, UNKNOWN_TASK, NO_PREDICTIONS, NO_RESULT = (
    "agrees",
    "differs",
    "other data",
    "unknown revision",
    "unknown task",
    "no predictions",
    "not on the Hub",
)
"""The outcome for a claim, or for an entry without one."""

WRONG = (DIFFERS, OTHER_REVISION, UNKNOWN_REVISION, UNKNOWN_TASK)

CLOSE = 0.01
"""Largest difference of two equal values in [0, 100], since people round."""

_FILE = re.compile(rf"(?:{re.escape(FOLDER)}/)?([A-Za-z0-9_][A-Za-z0-9._-]*\.ya?ml)", re.ASCII)


@dataclass(frozen=True)
class Claim:
    """A result in a model's repository.

    Attributes:
        model_id: The repository.
        file: The path of the results there.
        pull_request: The number of the open pull request with it; None for a result on main.
        task_id, value, revision, source: Its content; the revision is a commit of the benchmark.
        rank: Its rank on the Hub; None if the Hub does not rank it.
    """

    model_id: str
    file: str
    pull_request: int | None
    task_id: str
    value: object
    revision: str | None
    source: str | None
    rank: int | None = None


@dataclass(frozen=True)
class ComparedClaim:
    """A claim, or an entry without one. value: that of the predictions. row: that of our board."""

    verdict: str
    task_id: str
    claim: Claim | None
    row: RankedRow | None
    value: float | None


@dataclass(frozen=True)
class Benchmark:
    """A benchmark on the Hub, as it is now."""

    place: HubPlace

    @cached_property
    def manifest(self) -> Manifest:
        """The current manifest of the set."""
        return published_set(self.place).manifest

    @cached_property
    def tasks(self) -> Sequence[str]:
        """The ids of its tasks."""
        return tasks_in(fetch_file(self.place, BENCHMARK))

    @cached_property
    def _manifests(self) -> dict[str, Manifest | None]:
        return {}

    def at(self, revision: str | None) -> Manifest | None:
        """Returns the manifest at a revision, the current one for None; None for a revision without a set."""
        if revision is None:
            return self.manifest
        if revision not in self._manifests:
            self._manifests[revision] = None
            with suppress(NotOnHubError, StoredSetError):
                self._manifests[revision] = published_set(HubPlace(self.place.repo_id, revision)).manifest
        return self._manifests[revision]


def compare_with_hub(board: Board, dataset_id: str, *, pull_requests: bool = False) -> list[ComparedClaim]:
    """Compares every result on a benchmark with the entries of a board.

    Args:
        board: The board.
        dataset_id: "ORG/NAME" of the benchmark.
        pull_requests: Whether to include results of open pull requests.

    Returns:
        Task -> the claims in the Hub's order, those that it does not rank last, then entries without a claim.

    Raises:
        HubError: If the Hub refuses, or the data set is no benchmark.
    """
    benchmark = Benchmark(HubPlace(dataset_id))
    with connection():
        ranking = ask_hub(lambda: HfApi().get_dataset_leaderboard(dataset_id, base_model_only=False), benchmark.place)
        claims = claims_of(ranking, board.entries, dataset_id, pull_requests=pull_requests)
        compared = [judge_claim(claim, board, benchmark) for claim in claims]
    met = {(one.row.found.key, one.task_id) for one in compared if one.row is not None}
    for row, task_id, value in values_of(board):
        if (row.found.key, task_id) not in met and is_of(row.found, benchmark.manifest):
            compared.append(ComparedClaim(NO_RESULT, task_id, None, row, value))
    order = {task: number for number, task in enumerate(benchmark.tasks)}
    return sorted(compared, key=lambda one: (order.get(one.task_id, len(order)), one.task_id, *place_of(one)))


def place_of(one: ComparedClaim) -> tuple[bool, int, str]:
    """Returns a claim's sort key within its task: by rank, and without a rank after all others."""
    rank = one.claim.rank if one.claim else None
    name = one.claim.model_id if one.claim else one.row.found.name if one.row else ""
    return one.claim is None, rank if rank is not None else 10**9, name


def claims_of(
    ranking: Iterable[DatasetLeaderboardEntry], entries: Iterable[FoundEntry], dataset_id: str, *, pull_requests: bool
) -> list[Claim]:
    """Returns every result on a benchmark, of the models that the Hub ranks and of those that entries name.

    Args:
        ranking: The Hub's ranking.
        entries: The entries of the board.
        dataset_id: The benchmark.
        pull_requests: Whether to include results of open pull requests.
    """
    ranks: dict[tuple[str, str, int | None], list[DatasetLeaderboardEntry]] = {}
    for one in ranking:
        match = _FILE.fullmatch(one.filename)
        if match and (pull_requests or one.pull_request is None):
            ranks.setdefault((one.model_id, f"{FOLDER}/{match[1]}", one.pull_request), []).append(one)
    for found in entries:
        if model_id := found.content.get(ABOUT, {}).get("model_id"):
            ranks.setdefault((model_id, results_name(found.content), None), [])
    claims = []
    for (model_id, file, number), ranked in sorted(ranks.items(), key=lambda item: (item[0][:2], item[0][2] or 0)):
        left = list(ranked)
        for result in results_at(model_id, file, number):
            if result.dataset_id != dataset_id:
                continue
            same = next((one for one in left if one.value == result.value), None)
            if same is not None:
                left.remove(same)
            claims.append(
                Claim(
                    model_id, file, number, result.task_id, result.value, result.dataset_revision, result.source_url,
                    same.rank if same else None,
                )
            )  # fmt: skip
    return claims


def results_at(model_id: str, file: str, pull_request: int | None) -> list[EvalResultEntry]:
    """Returns the results in a file of a model's repository; none if there is no such file, or it can't be read."""
    with suppress(QIDatasetsError, KeyError, ValueError, TypeError):
        place = HubPlace(model_id, MAIN if pull_request is None else f"refs/pr/{pull_request}", "model")
        if file in {one.path for one in tree(place)}:
            return parse_eval_result_entries(results_in(fetch_file(place, file)))
    return []


def judge_claim(claim: Claim, board: Board, benchmark: Benchmark) -> ComparedClaim:
    """Compares a claim with the predictions."""
    if claim.task_id not in benchmark.tasks:
        return ComparedClaim(UNKNOWN_TASK, claim.task_id, claim, None, None)
    manifest = benchmark.at(claim.revision)
    named = [
        (row, value) for row, task, value in values_of(board) if task == claim.task_id and is_named(row.found, claim)
    ]
    # Of several revisions of a network, the one that the claim names, else the nearest.
    named.sort(key=lambda one: (manifest is None or not is_of(one[0].found, manifest), distance(one[1], claim.value)))
    if not named:
        return ComparedClaim(NO_PREDICTIONS, claim.task_id, claim, None, None)
    row, value = named[0]
    if manifest is None:
        verdict = UNKNOWN_REVISION
    elif not is_of(row.found, manifest):
        verdict = OTHER_REVISION
    else:
        verdict = AGREES if distance(value, claim.value) <= CLOSE else DIFFERS
    return ComparedClaim(verdict, claim.task_id, claim, row, value)


def distance(value: float, claimed: object) -> float:
    """Returns how far a claimed value is off; infinity if it is not a number."""
    is_number = isinstance(claimed, int | float) and not isinstance(claimed, bool)
    return abs(value - float(claimed)) if is_number else float("inf")  # type: ignore[arg-type]


def is_named(found: FoundEntry, claim: Claim) -> bool:
    """Returns whether a claim is about an entry's network, by its source, or by model and settings in its file name."""
    folder = found.name.rpartition("/")[2]
    if claim.source and claim.source.endswith((f"/tree/{MAIN}/{folder}", f"/blob/{MAIN}/{folder}")):
        return True
    return found.content.get(ABOUT, {}).get("model_id") == claim.model_id and results_name(found.content) == claim.file


def is_of(found: FoundEntry, manifest: Manifest) -> bool:
    """Returns whether an entry was measured on all of a set, to the digest."""
    data = found.content["data"]
    digests = {split: record.digest for split, record in manifest.default_config.splits.items()}
    named = {split: digests.get(split) for split in data["digests"]}
    return bool(data["set"] == manifest.name and data["limit"] is None and data["digests"] == named)


def values_of(board: Board) -> Iterator[tuple[RankedRow, str, float]]:
    """Yields each figure of a board that the Hub ranks: its row, task and value."""
    for track in board.tracks:
        inits: Mapping[str, Sequence[str]] = {ranked.id: ranked.inits for ranked in RANKED.get(track.task, ())}
        for row in track.rows:
            for task_id, (value, _) in ranked_values(row.content).items():
                if row.init in inits[task_id]:
                    yield row, task_id, value
