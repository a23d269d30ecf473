import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scripted_hub import BIG, DIGESTS, FILES, MODEL, REFUSED_REPOS, SNAPSHOT, TOKEN, Repo, ScriptedHub, small_hub
from serving import beside, gateway_spec, served, with_session

from posttrainbench.gateway import hub_mirror
from posttrainbench.gateway.traffic import hub_fetches


@contextmanager
def mirrored(folder: Path, hub: ScriptedHub, token: str = "", **more: Any) -> Iterator[str]:
    """The mirror's address: HF_ENDPOINT."""
    with beside(hub.running) as address:
        spec = gateway_spec(folder, hub=address, **{"refused_repos": REFUSED_REPOS, **more})
        app = with_session(lambda sessions: hub_mirror.routes(spec, folder, sessions, token))
        with served(app) as own:
            yield f"{own}/hub"


def client(folder: Path, endpoint: str, code: str) -> subprocess.CompletedProcess[str]:
    """Python with the real client libraries, as the sandbox has them."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "HF_HOME": str(folder / f"hf-{time.monotonic_ns()}"),
        "HF_ENDPOINT": endpoint,
        "HF_TOKEN": "secret-of-the-run",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, "-c", "from huggingface_hub import *\n" + code]
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=120)


def answer(folder: Path, endpoint: str, code: str) -> Any:
    """What the code printed, as JSON."""
    done = client(folder, endpoint, "import json\n" + code)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fetch(address: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """A plain request: status, body, headers."""
    asked = urllib.request.Request(address, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=30) as got:
            return got.status, got.read(), dict(got.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


def test_the_real_client_takes_a_whole_repository_through_the_mirror(tmp_path: Path) -> None:
    hub = small_hub()
    with mirrored(tmp_path, hub) as endpoint:
        assert answer(tmp_path, endpoint, SNAPSHOT) == DIGESTS


def test_a_second_client_is_served_from_the_host(tmp_path: Path) -> None:
    hub = small_hub()
    with mirrored(tmp_path, hub) as endpoint:
        answer(tmp_path, endpoint, SNAPSHOT)
        hub.fetched.clear()
        answer(tmp_path, endpoint, SNAPSHOT)
    assert hub.fetched == []
    assert [one.cached for one in hub_fetches(tmp_path / "hub.jsonl") if one.file == "model.safetensors"] == [
        False,
        True,
    ]


def test_the_log_names_repository_commit_and_file(tmp_path: Path) -> None:
    hub = small_hub()
    with mirrored(tmp_path, hub) as endpoint:
        fetch(f"{endpoint}/{MODEL}/resolve/main/config.json")
    (line,) = hub_fetches(tmp_path / "hub.jsonl")
    commit, size = hub.repos[MODEL].commit, len(FILES["config.json"])
    assert (line.kind, line.repo, line.revision, line.file) == ("model", MODEL, commit, "config.json")
    assert (line.bytes, line.status, line.cached, line.refused) == (size, 200, False, "")


def test_load_dataset_works(tmp_path: Path) -> None:
    code = 'from datasets import load_dataset\nprint(json.dumps(load_dataset("acme/sums", split="train")["answer"][:]))'
    with mirrored(tmp_path, small_hub()) as endpoint:
        assert answer(tmp_path, endpoint, code) == ["2", "4"]


def test_a_file_is_streamed_by_the_file_system_of_the_client(tmp_path: Path) -> None:
    code = 'f = HfFileSystem().open("acme/small-base/model.safetensors", block_size=2**20)\n'
    code += "f.seek(8*2**20); print(json.dumps(f.read(64).hex()))"
    with mirrored(tmp_path, small_hub()) as endpoint:
        assert answer(tmp_path, endpoint, code) == BIG[8 * 2**20 : 8 * 2**20 + 64].hex()


REFUSED = [
    'hf_hub_download("acme/small-instruct", "config.json")',
    'snapshot_download("acme/small-instruct")',
    'hf_hub_download("acme/test-set", "test.jsonl", repo_type="dataset")',
    'hf_hub_download("Acme/Test-SET", "test.jsonl", repo_type="dataset")',
    'hf_hub_download("acme/test-set", "x.parquet", repo_type="dataset", revision="refs/convert/parquet")',
    'HfApi().list_repo_files("acme/test-set", repo_type="dataset")',
    'AutoConfig.from_pretrained("acme/small-instruct")',
    'load_dataset("acme/test-set")',
]
WRITES = [
    'HfApi().create_repo("acme/new")',
    'HfApi().upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="acme/small-base")',
    "HfApi().whoami()",
    'HfApi().delete_repo("acme/small-base")',
]
SAID = """
from transformers import AutoConfig
from datasets import load_dataset
said = []
for code in {codes}:
    try:
        eval(code)
        said.append("it worked")
    except Exception as error:
        said.append(str(error))
print(json.dumps(said))
"""


def test_a_refused_repository_is_refused_with_a_sentence_that_the_client_shows(tmp_path: Path) -> None:
    with mirrored(tmp_path, small_hub()) as endpoint:
        said = answer(tmp_path, endpoint, SAID.format(codes=REFUSED))
    assert [
        code for code, text in zip(REFUSED, said, strict=True) if "its protocol keeps it from agents" not in text
    ] == []


@pytest.mark.parametrize("how", ["renamed", "silent_names"])
@pytest.mark.parametrize(
    "path", ["datasets/acme/old-name/resolve/main/test.jsonl", "api/datasets/acme/old-name/tree/main"]
)
def test_another_name_of_a_refused_repository_is_refused(tmp_path: Path, how: str, path: str) -> None:
    hub = small_hub(**{how: {"acme/old-name": "acme/test-set"}})
    with mirrored(tmp_path, hub) as endpoint:
        status, body, _ = fetch(f"{endpoint}/{path}")
    assert (status, "acme/test-set" in json.loads(body)["error"]) == (403, True)


def test_a_renamed_repository_that_is_allowed_is_served_and_logged_by_its_own_name(tmp_path: Path) -> None:
    with mirrored(tmp_path, small_hub(renamed={"acme/old": MODEL})) as endpoint:
        assert answer(tmp_path, endpoint, SNAPSHOT.replace("acme/small-base", "acme/old")) == DIGESTS
    assert {one.repo for one in hub_fetches(tmp_path / "hub.jsonl") if one.kind} == {MODEL}


@pytest.mark.parametrize(
    "path",
    [
        "/acme%2Ftest-set/resolve/main/test.jsonl",
        "/datasets/acme%2Ftest-set/resolve/main/test.jsonl",
        "/datasets/acme/%74est-set/resolve/main/test.jsonl",
        "/datasets/acme/x/../test-set/resolve/main/test.jsonl",
        "/datasets/acme/x/resolve/%2e%2e%2f%2e%2e%2ftest-set%2fresolve%2fmain/test.jsonl",
        "/datasets/acme/sums/resolve/main/..%2f..%2f..%2ftest-set/resolve/main/test.jsonl",
        "/datasets//acme/test-set/resolve/main/test.jsonl",
        "//datasets/acme/test-set/resolve/main/test.jsonl",
        "/datasets/acme/test%252Dset/resolve/main/test.jsonl",
        "/datasets/acme/test\u2010set/resolve/main/test.jsonl",
        "/datasets/acme/TEST-SET/raw/main/test.jsonl",
        "/acme/test-set/resolve/main/test.jsonl",
        "/api/resolve-cache/datasets/acme/test-set/" + "a" * 40 + "/test.jsonl",
        "/api/datasets/acme/test-set/parquet/default/test/0.parquet",
        "/api/datasets/acme/test-set/croissant",
        "/api/datasets/acme/test-set",
        "/api/models/acme/small-instruct/xet-read-token/main",
        "/api/datasets/acme/sums/xet-read-token/main",
        "/api/whoami-v2",
        "/datasets/acme/sums.git/info/refs",
        "/datasets/acme/sums",
        "/datasets",
        "/api",
        "/",
        "",
    ],
)
def test_no_spelling_of_a_path_leads_to_what_is_refused(tmp_path: Path, path: str) -> None:
    hub = small_hub()
    with mirrored(tmp_path, hub) as endpoint, socket.create_connection(_where(endpoint), 10) as raw:
        raw.sendall(f"GET /hub{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        status = int(raw.makefile("rb").readline().split()[1])
    assert status in (400, 403, 404)
    assert not [asked for _, asked, _ in hub.asked if "test-set" in asked.lower() and "/api/models/" not in asked]
    assert hub.fetched == []


def _where(endpoint: str) -> tuple[str, int]:
    host, port = endpoint.removeprefix("http://").removesuffix("/hub").split(":")
    return host, int(port)


def test_writing_is_refused_with_a_sentence(tmp_path: Path) -> None:
    hub = small_hub()
    with mirrored(tmp_path, hub) as endpoint:
        said = answer(tmp_path, endpoint, SAID.format(codes=WRITES))
    assert [code for code, text in zip(WRITES, said, strict=True) if "not write to it" not in text] == []
    assert {method for method, _, _ in hub.asked} <= {"GET"}


def test_the_token_goes_to_the_hub_and_nowhere_else(tmp_path: Path) -> None:
    hub = small_hub()
    with mirrored(tmp_path, hub, TOKEN) as endpoint:
        status, body, headers = fetch(
            f"{endpoint}/acme/gated/resolve/main/secret.bin", Authorization="Bearer secret-of-the-run"
        )
    assert (status, body) == (200, b"gated content")
    assert {token for _, _, token in hub.asked} == {f"Bearer {TOKEN}"}
    assert {token for _, _, token in hub.fetched} == {""}
    assert TOKEN not in str(headers)


def test_without_a_token_a_gated_repository_says_so(tmp_path: Path) -> None:
    with mirrored(tmp_path, small_hub()) as endpoint:
        done = client(tmp_path, endpoint, 'hf_hub_download("acme/gated", "config.json")')
    assert "GatedRepoError" in done.stderr
    assert "It is gated." in done.stderr


def test_what_is_here_is_served_while_the_hub_is_away(tmp_path: Path) -> None:
    hub = small_hub()
    with mirrored(tmp_path, hub) as endpoint:
        answer(tmp_path, endpoint, SNAPSHOT)
        hub.down = True
        assert answer(tmp_path, endpoint, SNAPSHOT) == DIGESTS


def test_what_is_not_here_while_the_hub_is_away_is_a_504_with_a_sentence(tmp_path: Path) -> None:
    with mirrored(tmp_path, small_hub(down=True)) as endpoint:
        status, body, headers = fetch(f"{endpoint}/{MODEL}/resolve/main/config.json")
    said = "The hub cannot be reached from this host (it answered 503), and what you ask for is not here yet."
    assert (status, json.loads(body), headers["X-Error-Message"]) == (504, {"error": said}, said)


def test_a_branch_that_moved_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = small_hub()
    monkeypatch.setattr("posttrainbench.gateway.hub_answers.FRESH_SECONDS", 0.0)
    with mirrored(tmp_path, hub) as endpoint:
        fetch(f"{endpoint}/{MODEL}/resolve/main/config.json")
        hub.repos[MODEL] = Repo({"config.json": b"new"})
        _, body, headers = fetch(f"{endpoint}/{MODEL}/resolve/main/config.json")
    assert (body, headers["X-Repo-Commit"]) == (b"new", hub.repos[MODEL].commit)


def test_a_commit_is_asked_for_once(tmp_path: Path) -> None:
    hub = small_hub()
    with mirrored(tmp_path, hub) as endpoint:
        address = f"{endpoint}/{MODEL}/resolve/{hub.repos[MODEL].commit}/config.json"
        fetch(address)
        asked = len(hub.asked)
        fetch(address)
    assert len(hub.asked) == asked


@pytest.mark.parametrize("asked", ["bytes=0-9", "bytes=100-", "bytes=-7", "bytes=9437183-9999999"])
@pytest.mark.parametrize("cached", [False, True])
def test_a_range_is_a_piece_of_the_file(tmp_path: Path, asked: str, cached: bool) -> None:
    body = FILES["model.safetensors"]
    first, _, last = asked.removeprefix("bytes=").partition("-")
    wanted = body[-int(last) :] if not first else body[int(first) : int(last) + 1 if last else None]
    with mirrored(tmp_path, small_hub()) as endpoint:
        address = f"{endpoint}/{MODEL}/resolve/main/model.safetensors"
        if cached:
            fetch(address)
        status, piece, headers = fetch(address, Range=asked)
    assert (status, piece == wanted, headers["Content-Length"]) == (206, True, str(len(wanted)))


def test_many_at_once_download_once(tmp_path: Path) -> None:
    hub = small_hub(pause=0.01)
    with mirrored(tmp_path, hub) as endpoint, ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(fetch, [f"{endpoint}/{MODEL}/resolve/main/model.safetensors"] * 8))
    assert {body == FILES["model.safetensors"] for _, body, _ in bodies} == {True}
    assert len(hub.fetched) == 1


def test_two_gateways_on_one_cache_download_once(tmp_path: Path) -> None:
    hub = small_hub(pause=0.01)
    with (
        beside(hub.running) as address,
        services(tmp_path, address, 2) as (endpoints, _),
        ThreadPoolExecutor(8) as pool,
    ):
        wanted = [f"{endpoint}/{MODEL}/resolve/main/model.safetensors" for endpoint in endpoints]
        bodies = list(pool.map(fetch, wanted * 2))
    assert {body == FILES["model.safetensors"] for _, body, _ in bodies} == {True}
    assert len(hub.fetched) == 1


def test_a_download_that_breaks_off_is_resumed(tmp_path: Path) -> None:
    hub = small_hub(cut_after=4 * 1024**2)
    with mirrored(tmp_path, hub) as endpoint:
        _, body, _ = fetch(f"{endpoint}/{MODEL}/resolve/main/model.safetensors")
    assert body == FILES["model.safetensors"]
    begin = int(hub.fetched[1][0].removeprefix("bytes=").removesuffix("-"))
    assert 0 < begin <= 4 * 1024**2


def test_a_damaged_file_is_never_whole(tmp_path: Path) -> None:
    hub = small_hub(damaged=True)
    with mirrored(tmp_path, hub) as endpoint:
        done = client(tmp_path, endpoint, 'hf_hub_download("acme/small-base", "model.safetensors")')
    assert done.returncode == 1
    assert not [
        path
        for path in (tmp_path / "cache" / "blobs").iterdir()
        if not path.name.endswith(".partial") and path.stat().st_size > 1024**2
    ]


def test_a_small_damaged_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with mirrored(tmp_path, small_hub(damaged=True), TOKEN) as endpoint:
        status, body, _ = fetch(f"{endpoint}/acme/gated/resolve/main/secret.bin")
    assert (status, "damaged" in json.loads(body)["error"]) == (502, True)


def test_a_closed_network_has_no_hub(tmp_path: Path) -> None:
    hub = small_hub()
    with mirrored(tmp_path, hub, network="closed") as endpoint:
        status, body, _ = fetch(f"{endpoint}/{MODEL}/resolve/main/config.json")
    assert (status, "closes the network" in json.loads(body)["error"], hub.asked) == (403, True, [])


def test_a_search_is_served(tmp_path: Path) -> None:
    with mirrored(tmp_path, small_hub()) as endpoint:
        code = 'print(json.dumps([one.id for one in HfApi().list_datasets(search="acme")]))'
        assert answer(tmp_path, endpoint, code) == ["acme/sums", "acme/test-set"]


def test_listings_name_no_chunk_store(tmp_path: Path) -> None:
    with mirrored(tmp_path, small_hub()) as endpoint:
        _, body, _ = fetch(f"{endpoint}/api/models/{MODEL}/tree/main?cursor=2")
    assert [sorted(entry) for entry in json.loads(body)] == [
        ["lfs", "oid", "path", "size", "type"],
        ["oid", "path", "size", "type"],
    ]


def test_a_full_log_ends_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hub.jsonl").write_bytes(b"x" * 200 + b"\n")
    monkeypatch.setattr("posttrainbench.gateway.hub_mirror.Lines.__init__.__defaults__", (100,))
    with mirrored(tmp_path, small_hub()) as endpoint:
        status, body, _ = fetch(f"{endpoint}/{MODEL}/resolve/main/config.json")
    assert (status, "hub.jsonl is full" in json.loads(body)["error"]) == (429, True)


@contextmanager
def services(folder: Path, hub: str, count: int) -> Iterator[tuple[list[str], list[subprocess.Popen[bytes]]]]:
    """Mirrors as processes of their own, on one cache: their addresses and themselves."""
    endpoints, processes = [], []
    try:
        for _ in range(count):
            port = _free_port()
            processes.append(start_service(folder, hub, port))
            endpoints.append(f"http://127.0.0.1:{port}")
        yield endpoints, processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def start_service(folder: Path, hub: str, port: int) -> subprocess.Popen[bytes]:
    words = ["--cache", str(folder / "cache"), "--listen", f"127.0.0.1:{port}", "--hub", hub]
    command = [sys.executable, "-m", "posttrainbench.gateway.mirror_service", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process
        except OSError:
            assert process.poll() is None
            time.sleep(0.05)
    raise AssertionError("The service did not start.")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_mirror_that_is_killed_in_mid_download_goes_on(tmp_path: Path) -> None:
    hub = small_hub(pause=0.05)
    with (
        beside(hub.running) as address,
        services(tmp_path, address, 1) as ((endpoint,), processes),
        ThreadPoolExecutor(1) as pool,
    ):
        going = pool.submit(answer, tmp_path, endpoint, SNAPSHOT)
        partial = tmp_path / "cache" / "blobs"
        while not any(one.stat().st_size > 3 * 1024**2 for one in partial.glob("*.partial")):
            time.sleep(0.02)
        processes[0].send_signal(signal.SIGKILL)
        processes[0].wait()
        processes[0] = start_service(tmp_path, address, int(endpoint.rpartition(":")[2]))
        assert going.result() == DIGESTS
    assert [begin for begin, _, _ in hub.fetched if begin]
