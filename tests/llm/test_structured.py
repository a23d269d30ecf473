"""Answers that fit a schema."""

import json
from typing import Any

import pytest
from answering import Provider, Turn, provider

from posttrainbench.llm import Answer, Message, Model, ModelError, Usage, structured
from posttrainbench.llm.schema import is_strict, problem, sent

each = pytest.mark.parametrize("dialect", ("anthropic", "openai", "gemini"))
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "verdict": {"type": "string", "enum": ["clean", "suspect"]},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "quotes": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
    },
    "required": ["verdict", "confidence", "quotes"],
}
RIGHT = {"verdict": "clean", "confidence": 0.5, "quotes": ["a"]}
ASKED = [Message("system", "You judge."), Message("user", "Judge this.")]


def model(dialect: Any, there: Provider) -> Model:
    return Model(dialect, "m", there.url(dialect), "canary-7f3a")


def taken(dialect: str, times: int) -> Usage:
    one = Usage(70, 30, 0, 40, 10) if dialect == "gemini" else Usage(50, 30, 20, 40, 10)
    return sum([one] * times, Usage())


@each
def test_the_provider_is_asked_to_hold_its_model_to_the_schema(dialect: str) -> None:
    with provider(Turn(json.dumps(RIGHT))) as there:
        answer = structured(model(dialect, there), ASKED, SCHEMA)
    assert answer == Answer(RIGHT, taken(dialect, 1))
    body = there.asked[0].body
    form = {
        "type": "object",
        "required": ["verdict", "confidence", "quotes"],
        "properties": {
            "verdict": {"type": "string", "enum": ["clean", "suspect"]},
            "confidence": {"type": "number"},
            "quotes": {"type": "array", "items": {"type": "string"}},
        },
        "additionalProperties": False,
    }
    if dialect == "anthropic":
        assert body["output_config"] == {"format": {"type": "json_schema", "schema": form}}
    elif dialect == "openai":
        assert body["text"] == {"format": {"type": "json_schema", "name": "answer", "schema": form, "strict": True}}
    else:
        config = body["generationConfig"]
        assert (config["responseMimeType"], config["responseJsonSchema"]) == ("application/json", form)


@each
def test_a_wrong_answer_is_shown_to_the_model_once(dialect: str) -> None:
    with provider(Turn('{"verdict": "clean"}'), Turn(json.dumps(RIGHT))) as there:
        answer = structured(model(dialect, there), ASKED, SCHEMA)
    assert answer == Answer(RIGHT, taken(dialect, 2))
    asked = json.dumps(there.asked[1].body)
    assert "the answer lacks 'confidence'" in asked
    assert '{\\"verdict\\": \\"clean\\"}' in asked


@each
def test_wrong_twice_is_an_error_that_says_how(dialect: str) -> None:
    said = r"confidence must be at most 1, not 7, after one repair"
    wrong = (Turn("clean"), Turn(json.dumps({**RIGHT, "confidence": 7})))
    with provider(*wrong) as there, pytest.raises(ModelError, match=said) as caught:
        structured(model(dialect, there), ASKED, SCHEMA)
    assert (caught.value.cause, len(there.asked)) == ("invalid_answer", 2)


@each
def test_nothing_at_all_twice_is_an_error_too(dialect: str) -> None:
    with provider(Turn(), Turn()) as there, pytest.raises(ModelError, match="it is empty, after one repair"):
        structured(model(dialect, there), ASKED, SCHEMA)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (RIGHT, None),
        ([], "the answer must be of type object, not list"),
        ({**RIGHT, "verdict": "maybe"}, "the answer.verdict must be one of ['clean', 'suspect'], not 'maybe'"),
        ({**RIGHT, "confidence": True}, "the answer.confidence must be of type number, not bool"),
        ({**RIGHT, "confidence": float("nan")}, "the answer.confidence must be at least 0, not nan"),
        ({**RIGHT, "quotes": ["a", 3]}, "the answer.quotes[1] must be of type string, not int"),
        ({**RIGHT, "quotes": ["a"] * 3}, "the number of items of the answer.quotes must be at most 2, not 3"),
        ({**RIGHT, "more": 1}, "the answer has 'more', which is not asked for"),
        ({"verdict": "clean"}, "the answer lacks 'confidence'"),
    ],
)
def test_what_does_not_fit_is_named(value: Any, said: str | None) -> None:
    assert problem(value, SCHEMA) == said


def test_one_of_several_forms_may_fit() -> None:
    either = {"anyOf": [{"type": "string", "minLength": 2}, {"type": "null"}]}
    assert [problem(value, either) for value in ("ab", None, "a")] == [
        None,
        None,
        "the length of the answer must be at least 2, not 1",
    ]


def test_a_schema_beyond_the_subset_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="oneOf"):
        sent({"oneOf": []})


def test_only_a_schema_that_requires_everything_is_strict() -> None:
    assert is_strict(SCHEMA)
    assert not is_strict(
        {"type": "object", "properties": {"a": {"type": "array", "items": {**SCHEMA, "required": []}}}}
    )
