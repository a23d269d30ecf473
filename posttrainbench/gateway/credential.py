"""What opens the provider's and the hub's doors. It travels through a pipe, never by file, argument or environment."""

from typing import Literal

from posttrainbench.strict import Value


class Credential(Value, frozen=True, kw_only=True):
    """A provider's key, or the token of a subscription's login, and a token for the hub's gated repositories."""

    kind: Literal["none", "api_key", "oauth"]
    value: str
    hub_token: str = ""
