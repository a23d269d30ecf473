"""The gateway: the only way out of a sandbox. It holds the provider's key, counts every token, and keeps the rules.

A process of its own for each run, which outlives ptb. It listens on two sockets in `<run>/gateway/sockets/`, the only
folder of it that the sandbox sees: `api.sock` (model interfaces, hub mirror, package indexes) and `egress.sock` (a
proxy for everything else that the protocol allows). Inside the sandbox a relay makes them 127.0.0.1:8787 and :8788.
"""

from posttrainbench.gateway.credential import Credential
from posttrainbench.gateway.spec import API_PORT, EGRESS_PORT, GatewaySpec

__all__ = ["API_PORT", "EGRESS_PORT", "Credential", "GatewaySpec"]
