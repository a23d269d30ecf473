"""What goes wrong with a provider, as one cause and one sentence."""

import json
from typing import Any

import pytest
from answering import Fault, Provider, Raw, Turn, calling, provider

from posttrainbench.llm import Message, Model, ModelError, Patience, Tool, ToolCall, Usage, complete

DIALECTS = ("anthropic", "openai", "gemini")
each = pytest.mark.parametrize("dialect", DIALECTS)
ASKED = [Message("user", "Go.")]
BASH = Tool("bash", "Runs a command.", {"type": "object", "properties": {"command": {"type": "string"}}})
AT_ONCE = Patience(seconds=0, garbled=0)
KEY = "canary-7f3a"


def model(dialect: Any, there: Provider) -> Model:
    return Model(dialect, "m", there.url(dialect), KEY)


def error_of(dialect: str, *said: Any, patience: Patience = AT_ONCE) -> ModelError:
    with provider(*said) as there, pytest.raises(ModelError) as caught:
        complete(model(dialect, there), ASKED, [BASH], patience)
    return caught.value


def anthropic(status: int, kind: str, message: str) -> tuple[str, Fault]:
    return "anthropic", Fault(status, {"type": "error", "error": {"type": kind, "message": message}})


def openai(status: int, code: str, message: str) -> tuple[str, Fault]:
    return "openai", Fault(status, {"error": {"message": message, "type": "some_error", "param": None, "code": code}})


def gemini(status: int, kind: str, message: str, quota: str = "") -> tuple[str, Fault]:
    details = [{"violations": [{"quotaId": quota}]}, {"retryDelay": "34s"}]
    return "gemini", Fault(status, {"error": {"code": status, "message": message, "status": kind, "details": details}})


CHECK_PLAN = "You exceeded your current quota, please check your plan and billing details."


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("auth", anthropic(401, "authentication_error", "invalid x-api-key")),
        ("auth", anthropic(403, "permission_error", "not yours")),
        ("usage_limit", anthropic(400, "invalid_request_error", "Your credit balance is too low.")),
        ("usage_limit", anthropic(402, "billing_error", "Pay.")),
        ("rate_limit", anthropic(429, "rate_limit_error", "This would exceed your organization's rate limit.")),
        ("overloaded", anthropic(529, "overloaded_error", "Overloaded")),
        ("overloaded", anthropic(500, "api_error", "Internal server error")),
        ("context_exceeded", anthropic(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum")),
        ("context_exceeded", anthropic(413, "request_too_large", "Request exceeds the maximum size")),
        ("invalid_request", anthropic(400, "invalid_request_error", "thinking.budget_tokens: not supported")),
        ("invalid_request", anthropic(404, "not_found_error", "model: m")),
        ("auth", openai(401, "invalid_api_key", "Incorrect API key provided.")),
        ("usage_limit", openai(429, "insufficient_quota", CHECK_PLAN)),
        ("rate_limit", openai(429, "rate_limit_exceeded", "Add a payment method: https://example.org/account/billing")),
        ("context_exceeded", openai(400, "context_length_exceeded", "Your input exceeds the context window.")),
        ("refused", openai(400, "invalid_prompt", "Limited access to this content for safety reasons.")),
        ("overloaded", openai(503, "server_error", "Slow down")),
        ("invalid_request", openai(400, "unsupported_value", "No such effort.")),
        ("auth", gemini(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.")),
        ("rate_limit", gemini(429, "RESOURCE_EXHAUSTED", CHECK_PLAN, "GenerateRequestsPerMinutePerProject")),
        ("usage_limit", gemini(429, "RESOURCE_EXHAUSTED", CHECK_PLAN, "GenerateRequestsPerDayPerProject")),
        ("context_exceeded", gemini(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum (8).")),
        ("overloaded", gemini(503, "UNAVAILABLE", "The model is overloaded.")),
        ("usage_limit", openai(403, "budget_exceeded", "This run's budget of $5 is used up.")),
    ],
)
def test_a_refusal_has_its_cause_and_says_what_the_provider_said(cause: str, said: tuple[str, Fault]) -> None:
    dialect, fault = said
    error = error_of(dialect, fault)
    assert error.cause == cause
    assert f"({fault.status})" in str(error)
    assert fault.body["error"]["message"].rstrip(".") in str(error)


def test_gemini_says_in_the_body_how_long_to_wait() -> None:
    assert error_of(*gemini(429, "RESOURCE_EXHAUSTED", "No.", "PerMinute")).retry_after == 34


@pytest.mark.parametrize(
    ("dialect", "events", "cause"),
    [
        ("anthropic", {"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}}, "overloaded"),
        ("openai", {"type": "error", "code": "rate_limit_exceeded", "message": "Busy", "param": None}, "rate_limit"),
        ("openai", {"error": {"code": "server_error", "message": "Busy"}}, "overloaded"),
        (
            "openai",
            {
                "type": "response.failed",
                "response": {"status": "failed", "error": {"code": "server_error", "message": "Busy"}},
            },
            "overloaded",
        ),
        ("gemini", {"error": {"code": 503, "status": "UNAVAILABLE", "message": "Busy"}}, "overloaded"),
    ],
)
def test_an_error_inside_a_stream_has_its_cause_too(dialect: str, events: dict[str, Any], cause: str) -> None:
    name = f"event: {events['type']}\n" if "type" in events else ""
    error = error_of(dialect, Raw(f"{name}data: {json.dumps(events)}\n\n".encode()))
    assert (error.cause, "Busy" in str(error)) == (cause, True)


@pytest.mark.parametrize(
    ("dialect", "stop"), [("anthropic", "refusal"), ("openai", "content_filter"), ("gemini", "PROHIBITED_CONTENT")]
)
def test_a_model_that_will_not_answer_has_refused(dialect: str, stop: str) -> None:
    assert error_of(dialect, Turn("I", stop=stop)).cause == "refused"


def test_a_context_that_overflows_during_the_answer_is_exceeded() -> None:
    assert error_of("anthropic", Turn("I", stop="model_context_window_exceeded")).cause == "context_exceeded"


@each
def test_the_key_is_in_no_message_even_if_the_provider_says_it(dialect: str) -> None:
    echoes = [
        Fault(401, {"error": {"message": f"no such key: {KEY}", "type": KEY, "status": KEY}}),
        Fault(400, f"<html>{KEY}</html>".encode()),
        Raw(f'event: error\ndata: {{"type": "error", "error": {{"message": "{KEY}"}}}}\n\n'.encode()),
        Raw(f'data: {{"candidates": "{KEY}"}}\n\n'.encode()),
    ]
    for echo in echoes:
        error = error_of(dialect, echo)
        assert KEY not in f"{error} {error!r} {error.__cause__} {error.__context__}"
    with provider() as there:
        assert KEY not in repr(model(dialect, there))


GARBAGE = [
    b"",
    b"\x00\xff\xfe",
    b"data: {not json\n\n",
    b"data: null\n\n",
    b"data: []\n\n",
    b'event: message_start\ndata: {"type": "message_start", "message": null}\n\n',
    b'event: message_start\ndata: {"type": "message_start"}\n\n',
    b'event: response.completed\ndata: {"type": "response.completed", "response": "no"}\n\n',
    b'event: response.completed\ndata: {"type": "response.completed"}\n\n',
    b'event: response.output_item.done\ndata: {"type": "response.output_item.done", "item": 3}\n\n',
    b'data: {"candidates": [{"content": {"parts": [{"functionCall": "no"}]}}]}\n\n',
    b'data: {"candidates": null}\n\n',
    b'data: {"candidates": [3]}\n\n',
    b"data: " + b"[" * 100_000 + b"\n\n",
]


@each
@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_an_error_of_the_answer_or_of_the_way_to_it(dialect: str, garbage: bytes) -> None:
    assert error_of(dialect, Raw(garbage)).cause in ("connection", "invalid_answer")


@each
def test_garbage_is_asked_for_again_but_not_for_ever(dialect: str) -> None:
    garbage = Raw(b"event: message_start\ndata: {not json\n\n")
    with provider(*[garbage] * 5) as there, pytest.raises(ModelError) as caught:
        complete(model(dialect, there), ASKED, (), Patience(first=0.001))
    assert (caught.value.cause, len(there.asked)) == ("invalid_answer", 3)


@each
def test_an_answer_of_nothing_is_an_empty_turn_that_is_not_given_back(dialect: str) -> None:
    with provider(Turn(), Turn("Hm.")) as there:
        reply = complete(model(dialect, there), ASKED)
        assert (reply.text, reply.tool_calls, reply.stop) == ("", (), "end")
        complete(model(dialect, there), [*ASKED, reply.message, Message("user", "Well?")])
    turns = there.asked[1].body
    assert all(
        turn.get("content") or turn.get("parts")
        for turn in turns.get("messages") or turns.get("input") or turns["contents"]
    )


@each
def test_a_turn_that_only_thinks_is_not_given_back(dialect: str) -> None:
    with provider(Turn(thinking="Hm.")) as there:
        reply = complete(model(dialect, there), ASKED)
    assert (reply.reasoning, reply.message.native) == ("Hm.", [])


@each
def test_usage_of_null_counts_nothing(dialect: str) -> None:
    with provider(Turn("Done.", usage=None)) as there:
        try:
            assert complete(model(dialect, there), ASKED, (), AT_ONCE).usage == Usage()
        except ModelError as error:
            # Anthropic's SDK cannot add up what is not there.
            assert (dialect, error.cause) == ("anthropic", "invalid_answer")


@each
def test_usage_of_nonsense_counts_nothing(dialect: str) -> None:
    words = {"input_tokens": "many", "output_tokens": -5, "promptTokenCount": "1e99", "candidatesTokenCount": None}
    with provider(Turn("Done.", usage=words)) as there:
        try:
            assert complete(model(dialect, there), ASKED, (), AT_ONCE).usage == Usage()
        except ModelError as error:
            # Google's SDK reads numbers strictly.
            assert (dialect, error.cause) == ("gemini", "invalid_answer")


def test_arguments_that_are_no_object_are_none() -> None:
    calls = tuple((f"c{n}", "bash", text) for n, text in enumerate(("{no", "[]", "null", '"ls"', "[" * 100_000)))
    with provider(Turn(calls=calls)) as there:
        reply = complete(model("openai", there), ASKED, [BASH])
    assert [call.arguments for call in reply.tool_calls] == [None] * 5


@each
def test_a_tool_that_does_not_exist_is_the_callers_to_answer(dialect: str) -> None:
    with provider(Turn(calls=(("c0", "launch", "{}"),))) as there:
        assert complete(model(dialect, there), ASKED).tool_calls == (ToolCall("c0", "launch", {}),)


@each
def test_text_beyond_all_measure_is_refused(dialect: str) -> None:
    assert error_of(dialect, Turn("x" * 5_000_000)).cause == "invalid_answer"


@each
def test_half_a_character_does_not_break_the_next_request(dialect: str) -> None:
    # Anthropic's SDK does not take one in a tool's arguments, and asks for another answer.
    command = "echo" if dialect == "anthropic" else "echo \ud800"
    with provider(calling(command, text="\udfff"), Turn("Done.")) as there:
        reply = complete(model(dialect, there), ASKED, [BASH])
        after = Message("tool", "out", reply.tool_calls[0].id, "bash")
        assert complete(model(dialect, there), [*ASKED, reply.message, after], [BASH]).text == "Done."
