"""The scripted provider itself, asked over the wire."""

import gzip
import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from posttrainbench.gateway.ledger import Tokens
from provider import Fault, Provider, Script, Side, Step, tokens
from provider.script import COUNTED, KEY, SIDE

STEPS = [
    Step(run=["echo one"], text="First."),
    Step(run=["echo two", "echo three"], think="Both at once."),
    Step(text="Done."),
    Step(run=["echo four"]),
    Step(text="Done again."),
]
Serve = Callable[..., Provider]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    started = []

    def start(**fields: Any) -> Provider:
        provider = Provider(Script(**{"steps": STEPS, **fields}), tmp_path / "provider.jsonl")
        provider.start()
        started.append(provider)
        return provider

    yield start
    for provider in started:
        provider.stop()


def ask(provider: Provider, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=10)
    raw = None if body is None else json.dumps(body).encode()
    connection.request("GET" if body is None else "POST", path, raw, {"x-api-key": KEY, **headers})
    answer = connection.getresponse()
    found = answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()
    connection.close()
    return found


def events(raw: bytes) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in raw.decode().splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


BASH = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}


def messages(*history: dict[str, Any], stream: bool = False, **more: Any) -> dict[str, Any]:
    tools = [{"name": "Bash", "input_schema": BASH}]
    return {"model": "m", "max_tokens": 9, "messages": list(history), "tools": tools, "stream": stream, **more}


def results(count: int) -> list[dict[str, Any]]:
    """A turn with so many calls, and one with their results."""
    ids = [f"t{number}" for number in range(count)]
    calls = [{"type": "tool_use", "id": one, "name": "Bash", "input": {}} for one in ids]
    found = [{"type": "tool_result", "tool_use_id": one, "content": "ok"} for one in ids]
    return [{"role": "assistant", "content": calls}, {"role": "user", "content": found}]


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


USER = {"role": "user", "content": "go"}


def anthropic(provider: Provider, **fields: Any) -> dict[str, Any]:
    status, _, raw = ask(provider, "/v1/messages", messages(*fields.pop("history", [USER]), **fields))
    assert status == 200, raw
    answer: dict[str, Any] = json.loads(raw)
    return answer


@pytest.mark.parametrize(
    ("history", "index"),
    [
        ([USER], 0),
        ([USER, *results(1)], 1),
        ([USER, *results(1), *results(1)], 1),
        ([USER, *results(3)], 2),
        ([USER, *results(3), said("Done."), USER], 3),
        ([USER, *results(3), USER], 2),
        ([USER, *results(3), said("Done."), USER, *results(1)], 4),
        ([USER, *results(4), said("Done."), said("Done again."), USER], 5),
    ],
)
def test_the_step_is_read_off_the_conversation(serve: Serve, history: list[Any], index: int) -> None:
    provider = serve()
    anthropic(provider, history=history)
    assert [line["step"] for line in provider.lines()] == [index]


def test_anthropic_json(serve: Serve) -> None:
    used = tokens(0, writes=True)
    provider = serve()
    answer = anthropic(provider)
    assert answer["content"] == [
        {"type": "text", "text": "First."},
        {"type": "tool_use", "id": f"toolu_{provider.mark}00000100", "name": "Bash", "input": {"command": "echo one"}},
    ]
    assert answer["stop_reason"] == "tool_use"
    usage = answer["usage"]
    found = Tokens(
        input=usage["input_tokens"],
        cached=usage["cache_read_input_tokens"],
        cache_write=usage["cache_creation_input_tokens"],
        output=usage["output_tokens"],
    )
    assert found == used


def test_anthropic_stream_gives_the_same_message_as_json(serve: Serve) -> None:
    provider = serve()
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    body = messages(USER, *results(1), stream=True, **thinking)
    found = events(ask(provider, "/anthropic/v1/messages", body)[2])
    assert [event["type"] for event in found if event["type"].startswith("message")] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]
    blocks: dict[int, str] = {}
    for event in found:
        if event["type"] == "content_block_delta":
            piece = next(text for key, text in event["delta"].items() if key != "type")
            blocks[event["index"]] = blocks.get(event["index"], "") + piece
    assert list(blocks.values()) == [
        "Both at once.c2lnbmVk",
        '{"command": "echo two"}',
        '{"command": "echo three"}',
    ]
    assert found[-2]["usage"]["output_tokens"] == tokens(1, writes=True).output


def test_counting_tokens(serve: Serve) -> None:
    provider = serve()
    assert json.loads(ask(provider, "/v1/messages/count_tokens", messages(USER))[2]) == {"input_tokens": COUNTED}
    assert json.loads(ask(provider, "/v1beta/models/g:countTokens", {})[2]) == {"totalTokens": COUNTED}


def test_openai_responses_stream(serve: Serve) -> None:
    used = tokens(1, writes=False)
    tool = {"type": "function", "name": "exec_command", "parameters": {"properties": {"cmd": {"type": "string"}}}}
    given = [
        {"type": "function_call", "call_id": "c"},
        {"type": "function_call_output", "call_id": "c", "output": "ok"},
    ]
    found = events(
        ask(serve(), "/openai/v1/responses", {"model": "m", "stream": True, "input": given, "tools": [tool]})[2]
    )
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    done = found[-1]["response"]
    assert [item["type"] for item in done["output"]] == ["reasoning", "function_call", "function_call"]
    assert [json.loads(item["arguments"]) for item in done["output"][1:]] == [
        {"cmd": "echo two"},
        {"cmd": "echo three"},
    ]
    assert done["usage"] == {
        "input_tokens": used.input + used.cached,
        "input_tokens_details": {"cached_tokens": used.cached},
        "output_tokens": used.output,
        "output_tokens_details": {"reasoning_tokens": used.reasoning},
        "total_tokens": used.total,
    }


def test_codex_in_code_mode_gets_javascript(serve: Serve) -> None:
    tools = {"type": "additional_tools", "tools": [{"type": "custom", "name": "exec"}]}
    _, _, raw = ask(serve(), "/v1/responses", {"model": "m", "input": [tools]})
    call = json.loads(raw)["output"][-1]
    assert call["type"] == "custom_tool_call"
    assert 'tools.exec_command({cmd: "echo one"})' in call["input"]


def test_openai_chat_stream_ends_with_the_usage(serve: Serve) -> None:
    used = tokens(1, writes=False)
    tool = {"type": "function", "function": {"name": "run_shell_command", "parameters": BASH}}
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
    history = [called, {"role": "tool", "tool_call_id": "c", "content": "ok"}]
    body = {"model": "m", "stream": True, "messages": history, "tools": [tool]}
    found = events(ask(serve(), "/v1/chat/completions", body)[2])
    assert found[-1] == "[DONE]"
    assert found[-2]["usage"]["completion_tokens_details"]["reasoning_tokens"] == used.reasoning
    assert found[-2]["usage"]["total_tokens"] == used.total
    named = [
        call["function"]["name"]
        for event in found[:-1]
        for choice in event["choices"]
        for call in choice["delta"].get("tool_calls", [])
        if "name" in call["function"]
    ]
    assert named == ["run_shell_command", "run_shell_command"]


def test_gemini_stream_fills_what_a_tool_requires(serve: Serve) -> None:
    used = tokens(0, writes=False)
    schema = {**BASH, "properties": {**BASH["properties"], "is_background": {"type": "boolean"}}}
    schema["required"] = ["command", "is_background"]
    tool = {"functionDeclarations": [{"name": "run_shell_command", "parametersJsonSchema": schema}]}
    path = "/gemini/v1beta/models/gemini-x:streamGenerateContent?alt=sse"
    found = events(ask(serve(), path, {"contents": [], "tools": [tool]})[2])
    part = found[-1]["candidates"][0]["content"]["parts"][0]
    assert part["functionCall"]["args"] == {"command": "echo one", "is_background": False}
    usage = found[-1]["usageMetadata"]
    assert usage["candidatesTokenCount"] + usage["thoughtsTokenCount"] == used.output
    assert usage["totalTokenCount"] == used.total


def test_a_request_without_a_shell_gets_a_short_answer_that_the_script_may_choose(serve: Serve) -> None:
    provider = serve(side=[Side(holds="clean or not", text='{"verdict": "clean"}')])
    for question in ("title please", "clean or not?"):
        anthropic(provider, history=[{"role": "user", "content": question}], tools=[])
    assert [json.loads(line["answer"])["content"][0]["text"] for line in provider.lines()] == [
        "A title",
        '{"verdict": "clean"}',
    ]
    assert provider.used() == Tokens(input=80, output=12)
    assert [line["step"] for line in provider.lines()] == [SIDE, SIDE]


@pytest.mark.parametrize("headers", [{"x-api-key": "wrong"}, {"authorization": "Bearer also-this"}])
def test_another_key_gets_401(serve: Serve, headers: dict[str, str]) -> None:
    assert ask(serve(), "/v1/messages", messages(USER), **headers)[0] == 401


def test_the_key_itself_never_stands_in_the_log(serve: Serve, tmp_path: Path) -> None:
    provider = serve()
    ask(provider, f"/v1/models?key={KEY}")
    assert KEY not in (tmp_path / "provider.jsonl").read_text()
    assert provider.lines()[0]["headers"]["x-api-key"] == "<key>"


def test_a_fault_befalls_the_requests_it_names_and_no_others(serve: Serve) -> None:
    fault = Fault(cause="rate_limit", route="anthropic.messages", first=2, times=2, retry_after=3)
    provider = serve(faults=[fault])
    found = [ask(provider, "/v1/messages", messages(USER)) for _ in range(4)]
    assert [status for status, _, _ in found] == [200, 429, 429, 200]
    assert found[1][1]["retry-after"] == "3"
    assert json.loads(found[1][2])["error"]["type"] == "rate_limit_error"
    assert ask(provider, "/v1/models")[0] == 200


@pytest.mark.parametrize("status", [500, 503, 529])
def test_any_status_can_be_answered(serve: Serve, status: int) -> None:
    assert ask(serve(faults=[Fault(status=status)]), "/v1/messages", messages(USER))[0] == status


def test_a_connection_is_dropped_before_its_answer(serve: Serve) -> None:
    provider = serve(faults=[Fault(kind="drop")])
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(provider, "/v1/messages", messages(USER))
    assert ask(provider, "/v1/messages", messages(USER))[0] == 200


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_is_cut(serve: Serve, stream: bool) -> None:
    provider = serve(faults=[Fault(kind="cut", after=3)])
    with pytest.raises(http.client.IncompleteRead):
        ask(provider, "/v1/messages", messages(USER, stream=stream))
    assert [line["whole"] for line in provider.lines()] == [False]
    assert provider.used() == Tokens()


def test_a_stream_falls_silent_and_goes_on(serve: Serve) -> None:
    provider = serve(faults=[Fault(kind="silence", after=2, seconds=0.5)])
    assert b"message_stop" in ask(provider, "/v1/messages", messages(USER, stream=True))[2]


def test_an_error_stands_inside_a_stream(serve: Serve) -> None:
    fault = Fault(kind="stream_error", cause="overloaded", after=2)
    found = events(ask(serve(faults=[fault]), "/v1/messages", messages(USER, stream=True))[2])
    assert found[-1]["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_comes_compressed(serve: Serve, stream: bool) -> None:
    provider = serve(faults=[Fault(kind="gzip")])
    _, headers, raw = ask(provider, "/v1/messages", messages(USER, stream=stream), **{"accept-encoding": "gzip"})
    assert headers["content-encoding"] == "gzip"
    assert b"toolu_" in gzip.decompress(raw)


def test_bodies_of_more_than_ten_mebibytes_go_both_ways(serve: Serve) -> None:
    size = 11 * 2**20
    provider = serve(faults=[Fault(kind="big", size=size)])
    raw = ask(provider, "/v1/messages", messages({"role": "user", "content": "x" * size}))[2]
    assert len(raw) > size
    assert provider.lines()[0]["body"]["bytes"] > size


def test_an_upgrade_to_a_websocket_is_refused(serve: Serve) -> None:
    headers = {"connection": "Upgrade", "upgrade": "websocket"}
    assert ask(serve(), "/v1/responses", **headers)[0] == 426


def test_it_goes_away_and_comes_back_at_the_same_place(serve: Serve) -> None:
    provider = serve()
    provider.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(provider, "/v1/models")
    provider.start()
    assert ask(provider, "/v1/models")[0] == 200


def test_an_unknown_path_and_an_unknown_model_are_404(serve: Serve) -> None:
    provider = serve(models=["other"])
    assert ask(provider, "/v1/nothing")[0] == 404
    assert ask(provider, "/v1/messages", messages(USER))[0] == 404


CALL = {"functionCall": {"name": "f"}}
RESULT = {"functionResponse": {"name": "f"}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", messages(USER, results(2)[0], results(1)[1])),
        ("/v1/responses", {"input": [{"type": "function_call_output", "call_id": "c"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "tool", "tool_call_id": "c"}]}),
        ("/v1beta/models/g:generateContent", {"contents": [{"parts": [CALL]}, {"parts": [RESULT, RESULT]}]}),
    ],
)
def test_a_conversation_whose_calls_and_results_do_not_match_is_refused(serve: Serve, path: str, body: Any) -> None:
    assert ask(serve(), path, body)[0] == 400
