"""The one place that talks to the model providers' SDKs: Anthropic Messages, OpenAI Responses, Gemini generateContent.

`complete` gives a model's next turn in a conversation with tools; `structured` an answer that fits a JSON schema. Both
try again while a provider is busy or away, and fail with a ModelError whose `cause` is one of a few. A turn of the
model keeps what only its provider understands (signed thinking, encrypted reasoning, thought signatures) in
`Message.native`, which goes back to it as it came.

The integrity judge uses this on the host, with real keys; the agent `mini` inside a sandbox, with the gateway's address
and the run's secret. There this folder is all there is of the package. So it imports nothing but the standard library
and itself, relatively, and each SDK only when a model of its dialect is asked.

It does not protect against a provider that lies: what an answer says is as good as the model. Answers are bounded in
size and never trusted in shape. The key is kept out of every message, but a provider that is sent a key has it.
"""

from .asking import Patience, complete, structured
from .prices import cost
from .values import Answer, Cause, Message, Model, ModelError, Reply, Tool, ToolCall, Usage

__all__ = [
    "Answer",
    "Cause",
    "Message",
    "Model",
    "ModelError",
    "Patience",
    "Reply",
    "Tool",
    "ToolCall",
    "Usage",
    "complete",
    "cost",
    "structured",
]
