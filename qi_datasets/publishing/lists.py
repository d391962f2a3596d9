"""`publish_subset`: the lists of `subset`, names without pixels, become a public data set of the Hub."""

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
    """Puts the lists into a data set of the Hub, which is made, public, if it is not there; others' files in it stay.

    Args:
        output: The folder of sets; default as of `publish`.
        repo_id: "ORG/NAME".
        dry_run: Only read, and return what would be done.
        confirm: Called with what is to be done before anything is written; False ends it.
        timeout: Seconds for which the Hub may be silent.
        progress: Show bars on a terminal.

    Raises:
        NotBuiltError: Where there are no lists.
        FailedCheckError: For lists that are not those of their names.
        PublishError: For a repository that holds other data. HubError: For what the Hub refuses.
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
