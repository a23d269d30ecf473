"""A turn of a model, asked for through each provider's own SDK at a provider on loopback."""

import base64
from dataclasses import asdict
from typing import Any

import pytest
from answering import Fault, Provider, Turn, calling, provider, signature

from posttrainbench.llm import Message, Model, ModelError, Patience, Reply, Tool, ToolCall, Usage, complete

DIALECTS = ("anthropic", "openai", "gemini")
each = pytest.mark.parametrize("dialect", DIALECTS)
BASH = Tool(
    "bash",
    "Runs a command.",
    {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
)
ASKED = [Message("system", "Be brief."), Message("user", "List the files.")]
HASTE = Patience(seconds=5, first=0.01)
KEY = "canary-7f3a"


def model(dialect: Any, there: Provider, **settings: Any) -> Model:
    return Model(dialect, "m", there.url(dialect), KEY, **settings)


@each
def test_a_turn_comes_with_its_text_its_thoughts_its_calls_and_what_it_took(dialect: str) -> None:
    with provider(calling("ls", "pwd", text="Looking now.", thinking="Two commands.")) as there:
        reply = complete(model(dialect, there, effort="high"), ASKED, [BASH])
    assert reply == Reply(
        text="Looking now.",
        reasoning="Two commands.",
        tool_calls=(ToolCall("c0", "bash", {"command": "ls"}), ToolCall("c1", "bash", {"command": "pwd"})),
        stop="tools",
        usage=Usage(input=70, cached=30, output=40, reasoning=10)
        if dialect == "gemini"
        else Usage(input=50, cached=30, cache_write=20, output=40, reasoning=10),
        message=reply.message,
    )


@each
def test_what_only_the_provider_understands_goes_back_as_it_came(dialect: str) -> None:
    with provider(calling("ls", "pwd", text="Looking.", thinking="Two commands."), Turn("Done.")) as there:
        first = complete(model(dialect, there), ASKED, [BASH])
        # Through plain JSON, as a conversation that is continued by another process.
        kept = Message(**asdict(first.message))
        outputs = [Message("tool", f"output {call.id}", call.id, "bash") for call in first.tool_calls]
        last = complete(model(dialect, there), [*ASKED, kept, *outputs, Message("user", "Go on.")], [BASH])
    assert (last.text, last.stop, last.tool_calls) == ("Done.", "end", ())
    assert given_back(dialect, there.asked[1].body) == EXPECTED[dialect]


def given_back(dialect: str, body: dict[str, Any]) -> Any:
    if dialect == "gemini":
        turns = body["contents"][1:]
        for part in turns[0]["parts"]:
            if "thoughtSignature" in part:
                part["thoughtSignature"] = base64.urlsafe_b64decode(part["thoughtSignature"]).decode()
        return turns
    return body["messages"][1:] if dialect == "anthropic" else body["input"][1:]


SEAL = signature("Two commands.")
CALLS = ("c0", "ls"), ("c1", "pwd")
EXPECTED: dict[str, Any] = {
    "anthropic": [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Two commands.", "signature": SEAL},
                {"type": "text", "text": "Looking."},
                *({"type": "tool_use", "id": i, "name": "bash", "input": {"command": c}} for i, c in CALLS),
            ],
        },
        {
            "role": "user",
            "content": [
                *({"type": "tool_result", "tool_use_id": i, "content": f"output {i}"} for i, _ in CALLS),
                {"type": "text", "text": "Go on.", "cache_control": {"type": "ephemeral"}},
            ],
        },
    ],
    "openai": [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Two commands."}],
            "encrypted_content": SEAL,
        },
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Looking.", "annotations": []}],
        },
        *(
            {
                "type": "function_call",
                "id": f"fc_{i}",
                "call_id": i,
                "name": "bash",
                "arguments": f'{{"command": "{c}"}}',
                "status": "completed",
            }
            for i, c in CALLS
        ),
        *({"type": "function_call_output", "call_id": i, "output": f"output {i}"} for i, _ in CALLS),
        {"role": "user", "content": "Go on."},
    ],
    "gemini": [
        {
            "role": "model",
            "parts": [
                {"text": "Looking."},
                {"functionCall": {"id": "c0", "name": "bash", "args": {"command": "ls"}}, "thoughtSignature": SEAL},
                {"functionCall": {"id": "c1", "name": "bash", "args": {"command": "pwd"}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                *(
                    {"functionResponse": {"id": i, "name": "bash", "response": {"output": f"output {i}"}}}
                    for i, _ in CALLS
                ),
                {"text": "Go on."},
            ],
        },
    ],
}


def test_a_gemini_call_without_an_id_gets_one_that_the_model_never_sees() -> None:
    unnamed = Turn(calls=(("", "bash", '{"command": "ls"}'),))
    with provider(unnamed, Turn("Done.")) as there:
        reply = complete(model("gemini", there), ASKED, [BASH])
        assert reply.tool_calls == (ToolCall("call-2-0", "bash", {"command": "ls"}),)
        complete(model("gemini", there), [*ASKED, reply.message, Message("tool", "out", "call-2-0", "bash")], [BASH])
    assert there.asked[1].body["contents"][2]["parts"] == [
        {"functionResponse": {"name": "bash", "response": {"output": "out"}}}
    ]


@each
def test_the_request_says_how_much_to_think_and_stores_nothing(dialect: str) -> None:
    with provider(Turn("Done.")) as there:
        complete(model(dialect, there, effort="max", max_tokens=1234), ASKED, [BASH])
    body = there.asked[0].body
    if dialect == "anthropic":
        assert (body["thinking"], body["output_config"]) == (
            {"type": "adaptive", "display": "summarized"},
            {"effort": "max"},
        )
        assert (body["max_tokens"], body["stream"]) == (1234, True)
        assert body["system"] == [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    elif dialect == "openai":
        assert body["reasoning"] == {"effort": "max", "summary": "auto"}
        assert (body["store"], body["include"]) == (False, ["reasoning.encrypted_content"])
        assert (body["max_output_tokens"], body["instructions"]) == (1234, "Be brief.")
    else:
        config = body["generationConfig"]
        assert config["thinkingConfig"] == {"include_thoughts": True, "thinking_level": "XHIGH"}
        assert config["maxOutputTokens"] == 1234
        assert body["systemInstruction"]["parts"] == [{"text": "Be brief."}]


@each
def test_without_an_effort_nothing_is_said_of_thinking(dialect: str) -> None:
    with provider(Turn("Done.")) as there:
        complete(model(dialect, there), ASKED)
    assert not {"thinking", "output_config", "reasoning"} & set(there.asked[0].body)
    assert "thinkingConfig" not in there.asked[0].body.get("generationConfig", {})


@each
def test_the_routes_and_the_key_are_those_of_the_gateway(dialect: str) -> None:
    with provider(Turn("Done.")) as there:
        complete(model(dialect, there), ASKED)
    path = there.asked[0].path.partition("?")[0]
    headers = there.asked[0].headers
    assert (path, headers.get("authorization") or headers["x-goog-api-key"]) == {
        "anthropic": ("/anthropic/v1/messages", f"Bearer {KEY}"),
        "openai": ("/openai/v1/responses", f"Bearer {KEY}"),
        "gemini": ("/gemini/v1beta/models/m:streamGenerateContent", KEY),
    }[dialect]


@each
def test_an_answer_cut_off_at_its_limit_runs_no_half_command(dialect: str) -> None:
    stop = {"anthropic": "max_tokens", "openai": "max_output_tokens", "gemini": "MAX_TOKENS"}[dialect]
    # Gemini gives calls whole or not at all.
    half = () if dialect == "gemini" else (("c0", "bash", '{"command": "rm -r /tmp/a'),)
    with provider(Turn("I", calls=half, stop=stop)) as there:
        reply = complete(model(dialect, there), ASKED, [BASH])
    assert reply.stop == "length"
    assert reply.tool_calls == tuple(ToolCall("c0", "bash", None) for _ in half)


@each
def test_a_stream_that_ends_too_early_is_asked_for_again(dialect: str) -> None:
    told: list[str] = []
    with provider(Turn("Half an ans", cut=True), Turn("Whole.")) as there:
        reply = complete(model(dialect, there), ASKED, (), HASTE, lambda error, pause: told.append(error.cause))
    assert (reply.text, told) == ("Whole.", ["connection"])


@each
def test_a_busy_provider_is_waited_for_as_long_as_it_asks(dialect: str) -> None:
    pauses: list[float] = []
    busy = Fault(429, {"error": {"type": "rate_limit_error", "message": "slow down"}}, {"retry-after": "0.2"})
    with provider(busy, Fault(503, b"<html>no</html>"), Turn("Done.")) as there:
        reply = complete(model(dialect, there), ASKED, (), HASTE, lambda error, pause: pauses.append(pause))
    assert reply.text == "Done."
    assert pauses[0] == 0.2
    assert pauses[1] < 0.2


@each
def test_patience_has_an_end(dialect: str) -> None:
    busy = Fault(429, {"error": {"message": "slow down"}}, {"retry-after": "3600"})
    with (
        provider(busy) as there,
        pytest.raises(ModelError, match=r"no more requests for now \(429\): slow down") as caught,
    ):
        complete(model(dialect, there), ASKED, (), HASTE)
    assert (caught.value.cause, caught.value.retry_after) == ("rate_limit", 3600)


@each
def test_nobody_at_the_address_is_a_connection_lost(dialect: str) -> None:
    with provider() as there:
        pass
    with pytest.raises(ModelError, match="Check the network") as caught:
        complete(model(dialect, there), ASKED, (), Patience(seconds=0.05, first=0.01))
    assert caught.value.cause == "connection"


def test_without_a_key_the_sentence_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ModelError, match="set OPENAI_API_KEY"):
        complete(Model("openai", "m"), ASKED)
