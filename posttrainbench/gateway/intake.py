"""What an agent asks of its model interface, read and held against the run's rules before anything is sent.

A body is read strictly: one JSON object in which no key stands twice, since two readers of such a body could see two
different models in it. What no rule has to change is sent on as it came, byte for byte.

Not prevented: that an agent's own script calls the model through the gateway as its CLI does; it is counted alike.
"""

import fnmatch
import hashlib
import hmac
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from posttrainbench.gateway.dialects import Route, Wire
from posttrainbench.gateway.dialects.wire import at, named
from posttrainbench.gateway.ledger import Cause
from posttrainbench.gateway.spec import GatewaySpec

MAX_BODY_BYTES = 64 * 2**20
NAME_LETTERS = 120
_INVALID: Cause = "invalid_request"


class RefusedError(Exception):
    """A request that is answered by the gateway itself."""

    def __init__(self, status: int, message: str, cause: Cause = "policy", route: str = "", model: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.cause, self.route, self.model = status, message, cause, route, model


@dataclass(frozen=True)
class Ask:
    """A request that may be sent."""

    route: Route
    model: str
    """Empty where the route names none."""
    background: bool
    body: dict[str, Any]
    content: bytes
    """What is sent."""
    encoding: str
    """Content-Encoding of `content`."""
    digest: str
    """Of what the agent sent."""
    removed: tuple[str, ...] = ()
    """Tools that were taken out."""
    drops_count: bool = False
    """Whether the count of tokens at the stream's end was asked for by the gateway alone."""

    def with_body(self, body: dict[str, Any]) -> "Ask":
        """The same request with another body."""
        return replace(self, body=body, content=json.dumps(body).encode(), encoding="")


def admit(spec: GatewaySpec, wire: Wire, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
    """Let in who knows the run's secret."""
    secret = spec.secret.encode()
    shown = [hmac.compare_digest(one.encode("utf-8", "replace"), secret) for one in wire.offered(headers, query) if one]
    if not spec.secret or not any(shown):
        raise RefusedError(401, "The key of this request is not the one of this run. Use the key in your environment.")


def find_route(wire: Wire, method: str, path: str) -> tuple[Route, str]:
    """The route, and the model that the path names."""
    for route in wire.ROUTES:
        found = route.path.fullmatch(path)
        if found and route.method == method:
            return route, found.groupdict().get("model") or ""
    raise RefusedError(
        404, f"The gateway of this run does not serve {method} {shown(path)}; only the model interface is served here."
    )


def ask(spec: GatewaySpec, wire: Wire, route: Route, url_model: str, content: bytes, encoding: str) -> Ask:
    """The request as it may be sent; raises RefusedError if it may not."""
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    if route.web and not spec.web_tools:
        raise RefusedError(403, "Searching the web is off under this run's rules.", route=route.name)
    body = _object(content, encoding) if route.method == "POST" else {}
    models = [url_model] if url_model else named(body) if route.model else []
    kinds = [_kind(spec, model, route) for model in models]
    wanted = Ask(
        route=route,
        model=str(models[0]) if models else "",
        background=bool(kinds and kinds[0]),
        body=body,
        content=content,
        encoding=encoding,
        digest=digest,
    )
    if reason := wire.refused(body):
        raise RefusedError(400, reason, route=route.name, model=wanted.model)
    if not spec.web_tools:
        wanted = _without_web(wire, wanted)
    return _counted(wanted)


def shown(name: Any) -> str:
    """A name out of a request, fit for a message."""
    return repr(name if len(str(name)) <= NAME_LETTERS else str(name)[:NAME_LETTERS] + "…")


def _kind(spec: GatewaySpec, model: Any, route: Route) -> bool:
    """Whether it is one of the small models for the CLI's own use; any other but the run's own is refused."""
    api = spec.api
    if api is None or not isinstance(model, str) or not model:
        raise RefusedError(400, f"`model` is {shown(model)}; the name of a model was expected.", route=route.name)
    if model == api.model or any(fnmatch.fnmatchcase(model, pattern) for pattern in api.also):
        return False
    if any(fnmatch.fnmatchcase(model, pattern) for pattern in api.background):
        return True
    raise RefusedError(
        403,
        f"The model {shown(model)} is not part of this run; it may use {api.model!r} only.",
        route=route.name,
        model=model[:NAME_LETTERS],
    )


def _without_web(wire: Wire, wanted: Ask) -> Ask:
    if place := wire.fetched(wanted.body):
        raise RefusedError(
            403,
            f"The provider is asked to fetch {shown(place)}. Under this run's rules it reaches no other host; "
            "put the content itself into the request.",
            route=wanted.route.name,
            model=wanted.model,
        )
    body, removed = wire.without_web(wanted.body)
    return replace(wanted.with_body(body), removed=tuple(removed)) if removed else wanted


def _counted(wanted: Ask) -> Ask:
    """A stream of Chat Completions tells its tokens only where the request says so."""
    body = wanted.body
    if wanted.route.name != "openai.chat" or body.get("stream") is not True:
        return wanted
    if at(body, "stream_options", "include_usage") is True:
        return wanted
    held = body.get("stream_options")
    options = (held if isinstance(held, dict) else {}) | {"include_usage": True}
    return replace(wanted.with_body(body | {"stream_options": options}), drops_count=True)


def _object(content: bytes, encoding: str) -> dict[str, Any]:
    plain = _decoded(content, encoding)
    try:
        body = json.loads(plain.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:NAME_LETTERS]
        raise RefusedError(400, f"The request's body is no JSON that can be read: {what}.", _INVALID) from None
    if not isinstance(body, dict):
        raise RefusedError(400, f"The request's body is a {type(body).__name__}, not a JSON object.", _INVALID)
    return body


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _decoded(content: bytes, encoding: str) -> bytes:
    match encoding:
        case "" | "identity":
            return content
        case "gzip" | "x-gzip" | "deflate":
            decoder = zlib.decompressobj(47 if encoding != "deflate" else 15)
            try:
                plain = decoder.decompress(content, MAX_BODY_BYTES)
            except zlib.error:
                raise RefusedError(400, f"The request's body is not {encoding}, as it says.", _INVALID) from None
            if decoder.unconsumed_tail or not decoder.eof:
                raise RefusedError(413, f"The request's body is cut off, or over {MAX_BODY_BYTES} bytes.", _INVALID)
            return plain
        case _:
            raise RefusedError(
                415,
                f"The request's body is compressed as {shown(encoding)}, which the gateway cannot read. Send it as it "
                "is, or as gzip (in Codex: --disable enable_request_compression).",
                _INVALID,
            )
