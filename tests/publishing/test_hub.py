"""The server of these tests, against the real client: what it accepts, refuses, and how it fails on demand."""

import pytest

from tests.publishing.client import Client
from tests.publishing.hub import Fault, Hub

API = "from huggingface_hub import *\napi, repo = HfApi(), dict(repo_id='lab/set', repo_type='dataset')\n"


def test_what_is_committed_can_be_listed_and_read_back(hub: Hub, client: Client) -> None:
    result = client.python(
        API
        + """
print(api.whoami()["name"])
api.create_repo(**repo, private=True)
api.update_repo_settings(**repo, gated="manual")
info = api.dataset_info("lab/set")
print(info.private, info.gated)
files = {f"data/{n}.parquet": bytes([n]) * 1000 for n in range(30)} | {"README.md": b"# a set"}
adds = [CommitOperationAdd(name, data) for name, data in files.items()]
api.create_branch(**repo, branch="a/b")
one = api.create_commit(**repo, operations=adds, commit_message="all", revision="a/b")
print([branch.name for branch in api.list_repo_refs(**repo).branches])
listed = {file.path: file for file in api.list_repo_tree(**repo, recursive=True, revision="a/b")}
print(len(listed), listed["data/3.parquet"].lfs.size, listed["README.md"].lfs)
for name in ("data/7.parquet", "README.md"):
    print(open(hf_hub_download(**repo, filename=name, revision="a/b"), "rb").read() == files[name])
api.create_tag(**repo, tag="v1", revision=one.oid)
api.delete_branch(**repo, branch="a/b")
print(api.dataset_info("lab/set", revision="v1").sha == one.oid, api.dataset_info("lab/set").sha == one.oid)
"""
    )
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        *("ada", "True manual", "['main', 'a/b']", "33 1000 None", "True", "True", "True False")
    ]
    assert {request.origin for request in hub.log if request.route in ("upload", "download")} == {"127.0.0.1"}
    assert {request.origin for request in hub.log if request.route == "commit"} == {"localhost"}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("api.create_commit(**repo, operations=[add], commit_message='m', parent_commit='0' * 40)", "412"),
        ("api.create_tag(**repo, tag='v1')", "409"),
        ("api.create_repo('other/set', repo_type='dataset')", "403"),
        ("api.dataset_info('lab/none')", "RepositoryNotFoundError"),
        ("api.dataset_info('lab/set', revision='none')", "RevisionNotFoundError"),
        ("hf_hub_download(**repo, filename='none')", "EntryNotFoundError"),
        ("hf_hub_download('bob/gated', 'README.md', repo_type='dataset')", "GatedRepoError"),
        ("HfApi(token='hf_wrong').whoami()", "401"),
        ("HfApi(token='hf_reader').dataset_info('lab/private')", "RepositoryNotFoundError"),
        ("HfApi(token='hf_reader').create_tag(**repo, tag='v2')", "403"),
    ],
)
def test_what_the_hub_refuses(hub: Hub, client: Client, call: str, error: str) -> None:
    repository = hub.make("lab/set")
    repository.tags["v1"] = repository.branches["main"]
    hub.make("lab/private", private=True)
    hub.make("bob/gated", gated="auto")
    result = client.python(f"{API}add = CommitOperationAdd('a.txt', b'a')\n{call}")
    assert result.exit_code == 1
    assert error in result.stderr


def test_faults_come_when_and_as_often_as_asked(hub: Hub, client: Client) -> None:
    hub.make("lab/set")
    hub.faults = [Fault("refs", status=503, skip=1, times=2), Fault("make_branch", lost=True)]
    result = client.python(
        API
        + """
from huggingface_hub.utils import HfHubHTTPError, httpx
for call in 5 * [lambda: len(api.list_repo_refs(**repo).branches)] + [lambda: api.create_branch(**repo, branch="b")]:
    try:
        print(call())
    except HfHubHTTPError as error:
        print(error.response.status_code)
    except httpx.TransportError as error:
        print("lost")
"""
    )
    assert result.stdout.split() == ["1", "503", "503", "1", "1", "lost"]
    assert set(hub.repositories["lab/set"].branches) == {"main", "b"}


def test_an_unknown_route_is_noted(server: Hub, client: Client) -> None:
    client.python("from huggingface_hub import get_session\nimport os\nget_session().get(os.environ['HF_ENDPOINT'])")
    assert server.unknown == ["GET /"]
    server.unknown.clear()
