"""`publish_subset`: publishes the lists of `subset`, names without pixels, as a public data set of the Hub."""

from collections.abc import Callable, Sequence
from pathlib import Path

from huggingface_hub import HfApi, is_offline_mode

from qi_datasets.building.subset import CARD, FACTS, LIST, SUBSET, subset_folder
from qi_datasets.errors import FailedCheckError, HubError
from qi_datasets.publishing.content import local_file
from qi_datasets.publishing.proposal import Proposal, Sent
from qi_datasets.publishing.site import carry_out_plan, plan_own
from qi_datasets.storage.hub import SILENCE, HubPlace, ask_hub, connection
from qi_datasets.verification.report.report import Status
from qi_datasets.verification.verify import verify

FILES = (CARD, FACTS, LIST)
TITLE = "The lists of subset"


def publish_subset(
    output: str | Path | None,
    repo_id: str,
    *,
    dry_run: bool = False,
    confirm: Callable[[Sequence[Proposal]], bool] | None = None,
    timeout: float = SILENCE,
    progress: bool = False,
) -> Sent:
    """Publishes the lists in a public data set of the Hub, which is made if it is missing; other files in it stay.

    Args:
        output: The folder of sets; default as in `publish`.
        repo_id: "ORG/NAME".
        dry_run: Only read, and return the plan.
        confirm: Called with the plan before anything is written; False ends it.
        timeout: Seconds to wait for an answer of the Hub.
        progress: Show bars on a terminal.

    Raises:
        NotBuiltError: If there are no lists.
        FailedCheckError: If the lists don't follow from their names.
        PublishError: If the repository has other data. HubError: If the Hub refuses.
    """
    if is_offline_mode():
        raise HubError("publishing needs the Hub, but HF_HUB_OFFLINE is set; unset it", code="hub-unreachable")
    failed = verify(output, [SUBSET], only="integrity").having(Status.FAIL)
    if failed:
        raise FailedCheckError(f"nothing was published: {failed[0].line}; build the lists again")
    folder, place = subset_folder(output), HubPlace(repo_id)
    files = {name: local_file((folder / name).read_bytes()) for name in FILES}

    with connection(timeout):
        ask_hub(HfApi().whoami, place)
        return carry_out_plan(
            lambda: plan_own(place, files, TITLE, FILES.__contains__, FACTS),
            dry_run=dry_run,
            confirm=confirm,
            progress=progress,
        )
