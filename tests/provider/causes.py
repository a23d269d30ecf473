"""The errors of each provider, in its own words."""

# ruff: noqa: E501
# fmt: off

from typing import Any

ANTHROPIC = {
    "auth": (401, "authentication_error", "invalid x-api-key"),
    "rate_limit": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "usage_limit": (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "context_exceeded": (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    "refused": (400, "invalid_request_error", "Output blocked by content filtering policy"),
    "server": (500, "api_error", "Internal server error"),
}

OPENAI = {
    "auth": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-***. You can find your API key at https://platform.openai.com/account/api-keys."),
    "rate_limit": (429, "tokens", "rate_limit_exceeded", "Rate limit reached for gpt-5.5 on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s."),
    "usage_limit": (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota, please check your plan and billing details."),
    "overloaded": (503, "server_error", "server_is_overloaded", "The server is currently overloaded. Please try again later."),
    "context_exceeded": (400, "invalid_request_error", "context_length_exceeded", "Your input exceeds the context window of this model. Please adjust your input and try again."),
    "refused": (400, "invalid_request_error", "invalid_prompt", "Invalid prompt: your prompt was flagged as potentially violating our usage policy."),
    "server": (500, "server_error", None, "The server had an error while processing your request. Sorry about that!"),
}

DAILY = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_requests_per_model_per_day", "quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}
GEMINI: dict[str, tuple[int, str, str, list[dict[str, Any]]]] = {
    "auth": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]),
    "rate_limit": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", []),
    "usage_limit": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details.", [DAILY]),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later.", []),
    "context_exceeded": (400, "INVALID_ARGUMENT", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", []),
    "refused": (400, "INVALID_ARGUMENT", "Request blocked: PROHIBITED_CONTENT", []),
    "server": (500, "INTERNAL", "An internal error has occurred. Please retry.", []),
}
