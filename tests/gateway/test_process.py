"""The gateway as a process of its own: started, killed, started again, ended."""

import asyncio
import contextlib
import gzip
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from gateway import upstream as fake
from gateway.upstream import KEY, MESSAGE, SECRET, Handler, says, spec, streams, upstream

from posttrainbench.errors import ConfigError, InfrastructureError, RunBusyError
from posttrainbench.gateway import ledger, process
from posttrainbench.gateway.dialects import Credential
from posttrainbench.gateway.folder import GatewayFolder, Started, connect, short
from posttrainbench.strict import read_json

CREDENTIAL = Credential(kind="api_key", value=KEY)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    # So long that no socket's address would have room for it.
    path = tmp_path / ("long-" * 25) / "run" / "gateway"
    path.parent.mkdir(parents=True)
    yield path
    process.stop(path)


@contextlib.contextmanager
def provider(*answers: Handler) -> Iterator[fake.Upstream]:
    """A provider in a thread, for tests that wait for processes."""
    loop, told, ready, end = asyncio.new_event_loop(), [], threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with upstream(*answers) as one:
            told.append(one)
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait(5)
    try:
        yield told[0]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()


def ask(folder: Path, body: object = None) -> tuple[int, bytes]:
    """Ask as an agent does."""

    async def run() -> tuple[int, bytes]:
        with short(folder / "sockets") as place:
            connector = aiohttp.UnixConnector(f"{place}/api.sock")
            async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as client:
                url = "http://gateway/anthropic/v1/messages"
                headers = fake.SHOWN["anthropic"]
                async with client.post(url, json=body or fake.request(), headers=headers) as got:
                    return got.status, await got.read()

    return asyncio.run(run())


def _ended(folder: Path, n: int) -> tuple[dict[int, ledger.Begin], dict[int, ledger.End]]:
    """The ledger when exchange `n` has ended: the line is written just after the agent has its answer."""
    until = time.monotonic() + 5
    while n not in (found := ledger.exchanges(folder / "ledger.jsonl"))[1] and time.monotonic() < until:
        time.sleep(0.01)
    return found


def pid(folder: Path) -> int:
    return read_json(GatewayFolder(folder).started, Started).pid


def test_it_is_started_serves_and_is_stopped(folder: Path) -> None:
    with provider(says(MESSAGE)) as one:
        process.start(folder, spec(folder, one.url), CREDENTIAL)
        assert process.alive(folder)
        assert ask(folder)[0] == 200
        _ended(folder, 1)
        assert process.usage(folder).answered == 1
        assert stat.S_IMODE((folder / "gateway.json").stat().st_mode) == 0o600
        assert stat.S_IMODE((folder / "sockets").stat().st_mode) == 0o755
        sockets = sorted((folder / "sockets").iterdir())
        assert [(path.name, stat.S_IMODE(path.stat().st_mode)) for path in sockets] == [
            ("api.sock", 0o666),
            ("egress.sock", 0o666),
        ]
        with pytest.raises(RunBusyError):
            process.start(folder, spec(folder, one.url), CREDENTIAL)
        process.stop(folder)
        process.stop(folder)
        assert not process.alive(folder)
        assert list((folder / "sockets").iterdir()) == []
        assert process.ensure(folder, CREDENTIAL) is False


def test_the_key_stands_nowhere_on_the_host(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    error = says({"type": "error", "error": {"type": "authentication_error", "message": f"bad key {KEY}"}}, 401)
    with provider(error, streams(fake.ANTHROPIC_STREAM), says(MESSAGE)) as one:
        process.start(folder, spec(folder, one.url), CREDENTIAL)
        answers = [ask(folder, fake.request(metadata={"seen": KEY}))[1] for _ in range(3)]
        assert one.asked[0][2]["x-api-key"] == KEY
        place = Path("/proc") / str(pid(folder))
        seen = [*answers, (place / "environ").read_bytes(), (place / "cmdline").read_bytes()]
        process.stop(folder)
    files = [file for file in folder.rglob("*") if file.is_file()]
    seen += [gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes() for file in files]
    assert len(files) >= 8
    assert [content for content in seen if KEY.encode() in content] == []
    assert [file.name for file in files if SECRET.encode() in file.read_bytes()] == ["gateway.json"]


def test_no_other_process_may_look_into_it() -> None:
    asks = (
        "import ctypes; from posttrainbench.gateway import __main__ as m; m._hide(); print(ctypes.CDLL(None).prctl(3))"
    )
    told = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)
    assert told.stdout == "0\n"


def test_it_is_no_child_of_ours(folder: Path) -> None:
    process.start(folder, spec(folder, "http://127.0.0.1:9"), CREDENTIAL)
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid(folder)}/status").read_text().splitlines())
    assert int(status["PPid"]) != os.getpid()
    assert os.getsid(pid(folder)) != os.getsid(0)


def test_killed_in_the_middle_of_a_stream_it_is_started_again_and_knows_what_was_spent(folder: Path) -> None:
    pieces = fake.ANTHROPIC_STREAM
    with provider(says(MESSAGE), streams(pieces[:3], end="silent"), says(MESSAGE)) as one:
        process.start(folder, spec(folder, one.url, max_usd=0.02), CREDENTIAL)
        assert ask(folder)[0] == 200
        first = read_json(GatewayFolder(folder).started, Started)

        async def cut() -> None:
            with short(folder / "sockets") as place:
                connector = aiohttp.UnixConnector(f"{place}/api.sock")
                async with aiohttp.ClientSession(connector=connector) as client:
                    url, headers = "http://gateway/anthropic/v1/messages", fake.SHOWN["anthropic"]
                    async with client.post(url, json=fake.request(), headers=headers) as got:
                        await got.content.readany()
                        os.kill(first.pid, signal.SIGKILL)
                        with pytest.raises(aiohttp.ClientError):
                            await got.content.read()

        asyncio.run(cut())
        assert not process.alive(folder)
        assert process.ensure(folder, CREDENTIAL) is True
        assert process.ensure(folder, CREDENTIAL) is False
        again = read_json(GatewayFolder(folder).started, Started)
        assert (again.ends, again.restarts, again.pid != first.pid) == (first.ends, 1, True)
        assert ask(folder)[0] == 200
        begun, ended = _ended(folder, 3)
        assert (list(begun), list(ended), ended[3].repeats) == ([1, 2, 3], [1, 3], 2)
        # The lost one still holds its reservation, so this fits no more.
        assert ask(folder, fake.request(max_tokens=650))[0] == 403
        assert process.usage(folder).unfinished == 1


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.1, 0.2, 0.3])
def test_killed_at_any_moment_of_its_start_it_can_be_started_again(folder: Path, seconds: float) -> None:
    told = spec(folder, "http://127.0.0.1:9")
    process.start(folder, told, CREDENTIAL)
    os.kill(pid(folder), signal.SIGKILL)

    def kill() -> None:
        time.sleep(seconds)
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((folder / "lock").read_text()), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with contextlib.suppress(InfrastructureError):
        process.ensure(folder, CREDENTIAL)
    thread.join()
    process.ensure(folder, CREDENTIAL)
    assert process.alive(folder)


def test_one_that_hangs_is_killed_and_started_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ANSWER_SECONDS", 0.3)
    process.start(folder, spec(folder, "http://127.0.0.1:9"), CREDENTIAL)
    stopped = pid(folder)
    os.kill(stopped, signal.SIGSTOP)
    assert process.ensure(folder, CREDENTIAL) is True
    assert process.alive(folder) and pid(folder) != stopped


def test_without_the_key_it_refuses_the_model_with_a_sentence(folder: Path) -> None:
    with provider(says(MESSAGE)) as one:
        process.start(folder, spec(folder, one.url), None)
        status, body = ask(folder)
        assert (status, "without the provider's key" in json.loads(body)["error"]["message"]) == (503, True)
        assert one.asked == []


@pytest.mark.parametrize("how", ["signal", "file", "time"])
def test_it_ends_by_itself(folder: Path, how: str) -> None:
    process.start(folder, spec(folder, "http://127.0.0.1:9", seconds=0.5 if how == "time" else 600.0), CREDENTIAL)
    if how == "signal":
        os.kill(pid(folder), signal.SIGTERM)
    if how == "file":
        (folder / "stop").touch()
    until = time.monotonic() + 5
    while Path(f"/proc/{pid(folder)}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not process.alive(folder)
    assert list((folder / "sockets").iterdir()) == []
    if how == "time":
        assert process.ensure(folder, CREDENTIAL) is False


def test_its_end_can_be_put_off(folder: Path) -> None:
    process.start(folder, spec(folder, "http://127.0.0.1:9", seconds=4.0), CREDENTIAL)
    before = read_json(GatewayFolder(folder).started, Started)
    time.sleep(3)
    process.prolong(folder)
    time.sleep(max(0.0, before.ends + 0.4 - time.time()))
    assert process.alive(folder)
    time.sleep(max(0.0, read_json(GatewayFolder(folder).started, Started).ends + 1 - time.time()))
    assert not process.alive(folder)


def test_an_exchange_that_is_under_way_when_it_ends_is_written_down(folder: Path) -> None:
    arrived = threading.Event()

    async def hangs(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.sleep(60)
        raise AssertionError

    with provider(hangs) as one:
        process.start(folder, spec(folder, one.url), CREDENTIAL)
        with connect(folder / "sockets", "api.sock", 5) as client:
            body = json.dumps(fake.request()).encode()
            head = f"POST /anthropic/v1/messages HTTP/1.1\r\nHost: g\r\nx-api-key: {SECRET}\r\n"
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert arrived.wait(5)
            process.stop(folder)
        assert process.usage(folder).unfinished == 0
        assert process.usage(folder).causes == {"connection": 1}


def test_a_login_that_the_gateway_cannot_hold_is_refused_with_a_sentence(folder: Path) -> None:
    with pytest.raises(ConfigError, match="ChatGPT subscription cannot be held"):
        process.start(folder, spec(folder, "http://x", "openai"), Credential(kind="oauth", value="a"))


def test_a_key_that_is_none_is_refused_and_not_shown(folder: Path) -> None:
    with pytest.raises(InfrastructureError, match="holds a space") as caught:
        process.start(folder, spec(folder, "http://x"), Credential(kind="api_key", value="two words"))
    assert "two words" not in str(caught.value)
