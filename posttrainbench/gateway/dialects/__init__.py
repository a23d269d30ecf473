"""The three interfaces that agents speak, each a module that satisfies `Wire`."""

from posttrainbench import catalog
from posttrainbench.gateway.dialects import anthropic, gemini, openai
from posttrainbench.gateway.dialects.wire import Credential, Failure, Reading, Route, Wire

WIRES: dict[catalog.Dialect, Wire] = {"anthropic": anthropic, "openai": openai, "gemini": gemini}

__all__ = ["WIRES", "Credential", "Failure", "Reading", "Route", "Wire"]
