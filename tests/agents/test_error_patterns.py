"""What the pinned programs print when the provider refuses, as they printed it, and the cause that it stands for."""

import re

import pytest

from posttrainbench import catalog

AGENTS = catalog.open_catalog({}).agents()
SAID = [
    ("claude", "auth", "authentication_failed"),
    ("claude", "usage_limit", "Credit balance is too low"),
    ("claude", "rate_limit", "rate_limit"),
    ("claude", "context_exceeded", "Prompt is too long · the request is ~210000 tokens (limit 200000)"),
    ("claude", "refused", "API Error: 400 Output blocked by content filtering policy"),
    ("codex", "auth", "unexpected status 401 Unauthorized: Incorrect API key provided: sk-***."),
    ("codex", "usage_limit", "Quota exceeded. Check your plan and billing details."),
    ("codex", "rate_limit", "exceeded retry limit, last status: 429 Too Many Requests"),
    ("codex", "context_exceeded", "Codex ran out of room in the model's context window. Start a new thread"),
    ("codex", "refused", "Invalid prompt: your prompt was flagged as potentially violating our usage policy."),
    (
        "gemini",
        "auth",
        '[API Error: {"error":{"code":400,"message":"API key not valid. Please pass a key."}}]',
    ),
    ("gemini", "usage_limit", "[API Error: You have exhausted your daily quota on this model.]"),
    ("gemini", "context_exceeded", "The input token count (1200000) exceeds the maximum number of tokens allowed"),
    ("gemini", "refused", '[API Error: {"error":{"code":400,"message":"Request blocked: PROHIBITED_CONTENT"}}]'),
    ("opencode", "usage_limit", "Your credit balance is too low to access the Anthropic API."),
    ("opencode", "context_exceeded", "prompt is too long: 210000 tokens > 200000 maximum"),
    ("opencode", "refused", "Output blocked by content filtering policy"),
    ("qwen", "auth", "[API Error: 401 Incorrect API key provided: sk-***.]"),
    ("qwen", "context_exceeded", "[API Error: 400 Your input exceeds the context window of this model.]"),
    ("qwen", "refused", "[API Error: 400 Invalid prompt: your prompt was flagged as violating our usage policy.]"),
]


@pytest.mark.parametrize(("agent", "cause", "message"), SAID)
def test_the_first_pattern_that_fits_names_the_cause(agent: str, cause: str, message: str) -> None:
    fitting = [one.cause for one in AGENTS[agent].value.errors if re.search(one.regex, message)]
    assert fitting[:1] == [cause]


@pytest.mark.parametrize("agent", ["claude", "codex", "gemini", "opencode", "qwen"])
def test_each_agent_knows_every_cause(agent: str) -> None:
    causes = {one.cause for one in AGENTS[agent].value.errors}
    assert causes == {"auth", "rate_limit", "usage_limit", "overloaded", "context_exceeded", "refused"}
