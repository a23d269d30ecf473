"""The part of JSON Schema that all providers can be asked to keep to, and a check that an answer keeps to it.

Bounds of numbers, lengths and the like are not sent, since each provider refuses others of them; they are checked here.
"""

import re
from typing import Any

SENT = {"type", "description", "properties", "required", "items", "enum", "anyOf"}
CHECKED = {"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern"}
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def sent(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as it is sent; raises ValueError for what is beyond the subset, since that is a mistake of ours."""
    unknown = set(schema) - SENT - CHECKED - {"additionalProperties"}
    if unknown or not isinstance(schema.get("type", ""), str):
        raise ValueError(
            f"A schema may hold {sorted(SENT | CHECKED)} with one type each; found {sorted(unknown) or schema}."
        )
    out: dict[str, Any] = {name: schema[name] for name in ("type", "description", "enum", "required") if name in schema}
    if schema.get("type") == "object":
        out["properties"] = {name: sent(part) for name, part in schema["properties"].items()}
        out["required"] = list(schema.get("required", []))
        out["additionalProperties"] = False
    if "items" in schema:
        out["items"] = sent(schema["items"])
    if "anyOf" in schema:
        out["anyOf"] = [sent(part) for part in schema["anyOf"]]
    return out


def is_strict(schema: dict[str, Any]) -> bool:
    """Whether every property is required, at every depth: what OpenAI asks of a schema that it holds a model to."""
    parts = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    parts += [schema["items"]] if "items" in schema else []
    return set(schema.get("properties", {})) == set(schema.get("required", [])) and all(map(is_strict, parts))


def problem(value: Any, schema: dict[str, Any], place: str = "the answer") -> str | None:
    """What does not fit, as a sentence; None if all does."""
    if "anyOf" in schema:
        found = [problem(value, part, place) for part in schema["anyOf"]]
        return None if None in found else found[0]
    kind = schema.get("type")
    if kind and not (isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))):
        return f"{place} must be of type {kind}, not {type(value).__name__}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{place} must be one of {schema['enum']}, not {str(value)[:100]!r}"
    if isinstance(value, dict):
        return _object_problem(value, schema, place)
    if isinstance(value, list):
        parts = (problem(item, schema["items"], f"{place}[{n}]") for n, item in enumerate(value) if "items" in schema)
        return next(filter(None, parts), None) or _bounds(
            len(value), schema, "Items", f"the number of items of {place}"
        )
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return f"{place} must match {schema['pattern']}"
        return _bounds(len(value), schema, "Length", f"the length of {place}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _bounds(value, schema, "imum", place)
    return None


def _object_problem(value: dict[str, Any], schema: dict[str, Any], place: str) -> str | None:
    known = schema.get("properties", {})
    if missing := [name for name in schema.get("required", []) if name not in value]:
        return f"{place} lacks {missing[0]!r}"
    if unknown := [name for name in value if name not in known]:
        return f"{place} has {unknown[0][:100]!r}, which is not asked for"
    return next(filter(None, (problem(item, known[name], f"{place}.{name}") for name, item in value.items())), None)


def _bounds(number: float, schema: dict[str, Any], what: str, place: str) -> str | None:
    low, high = schema.get(f"min{what}"), schema.get(f"max{what}")
    # Written so that NaN, which json.loads takes, is outside of any bounds.
    if low is not None and not number >= low:
        return f"{place} must be at least {low}, not {number}"
    if high is not None and not number <= high:
        return f"{place} must be at most {high}, not {number}"
    return None
