"""A model provider that carries out a script, for tests. It speaks the real protocols:

    Anthropic Messages      POST …/v1/messages (JSON, SSE), …/v1/messages/count_tokens, GET …/v1/models
    OpenAI                  POST …/v1/responses (JSON, SSE), …/v1/chat/completions (JSON, SSE), GET …/v1/models
    Gemini                  POST …/v1beta/models/M:generateContent, :streamGenerateContent (SSE), :countTokens

A path may begin with `/anthropic`, `/openai` or `/gemini`, so that a CLI can be pointed at it in a gateway's place.

It keeps no state of a conversation. Which step comes next is read off the request: commands whose results are in it are
done, and so are texts that the assistant has said. So a session that was killed and continued goes on where it was. A
request that offers no shell tool (a title, a router, a judge) is a side request and gets a short answer.

What each answer used follows from its step alone (`script.tokens`), and everything is logged, a line a request.
"""

from provider.script import KEY, Fault, Script, Side, Step, tokens
from provider.server import Provider

__all__ = ["KEY", "Fault", "Provider", "Script", "Side", "Step", "tokens"]
