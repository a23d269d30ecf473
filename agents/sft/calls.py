"""Made-up requests and the function calls that answer them, from a seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from topics import TOPICS, Parameter, Topic

PLACES = ("Lisbon", "Oslo", "Nairobi", "Lima", "Hanoi", "Tucson", "Dublin", "Osaka", "Quito", "Leeds", "Perth", "Turin")
POOLS: dict[str, tuple[str, ...]] = {
    "place": (*PLACES, "Santa Fe", "Cape Town", "Baton Rouge", "San Jose, CA", "Bergen, Norway"),
    "country": ("Portugal", "Norway", "Kenya", "Peru", "Vietnam", "Ireland", "Bohemia", "Sweden", "Denmark"),
    "person": ("Ada Whitlock", "Jonas Brandt", "Mei Tanaka", "Rosa Delgado", "Tom Okoye", "Ines Duarte", "Karl Winter"),
    "title": ("The Salt Road", "Quiet Harbor", "Nine Lanterns", "Winter Orchard", "Paper Boats", "A House of Glass"),
    "dish": ("lentil soup", "apple tart", "mushroom risotto", "veggie burger", "fish tacos", "rye bread", "pancakes"),
    "restaurant": ("Blue Door", "Casa Verde", "The Copper Pot", "Noodle Barn", "Corner Grill"),
    "currency": ("USD", "EUR", "NOK", "JPY", "GBP", "CHF", "INR", "BRL"),
    "sport": ("rowing", "cycling", "swimming", "yoga", "hiking", "jump rope"),
    "mood": ("calm", "upbeat", "sad", "energetic", "romantic"),
    "word": ("river", "light", "maybe", "garden", "never"),
    "sentence": ("The river runs by the old mill.", "Light fell on the garden wall.", "Maybe it will never rain here."),
    "feature": ("balcony", "garage", "pool", "garden", "elevator", "dishwasher"),
    "format": ("3D", "IMAX", "standard"),
    "league": ("Premier League", "Northern Cup", "Coastal League", "Serie B", "Ice Division"),
    "event": ("dentist visit", "team lunch", "piano lesson", "budget review", "book club"),
    "weekday": ("Monday", "Tuesday", "Friday", "Saturday", "Sunday"),
    "temperature": ("Celsius", "Fahrenheit", "Kelvin"),
    "length_unit": ("meters", "inches", "centimeters", "feet"),
    "volume_unit": ("liters", "cubic meters", "gallons"),
}
OPENINGS = ("", "", "", "Please help: ", "Hi! ", "I have a question. ", "For my project: ")


@dataclass(frozen=True)
class Request:
    """A question, the one function that can answer it (in BFCL's notation), and the arguments of the right call."""

    question: str
    function: dict[str, Any]
    arguments: dict[str, Any]


def requests(seed: int) -> Iterator[Request]:
    """Without end; the same seed gives the same ones."""
    source = random.Random(seed)
    while True:
        yield _request(source, source.choice(TOPICS))


def _request(source: random.Random, topic: Topic) -> Request:
    ask = source.choice(topic.asks)
    required = [item for item in topic.parameters if not item.phrase]
    optional = [item for item in topic.parameters if item.phrase]
    used = [item for item in optional if source.random() < 0.4]
    # What can be asked for and is not used must not turn up in the call: the model has to see that too.
    shown = [item for item in optional if item in used or source.random() < 0.6]
    values = {item.name: _value(source, item) for item in [*required, *used]}
    question = source.choice(OPENINGS) + ask.format(
        **{item.name: _said(source, values[item.name]) for item in required}
    )
    for item in used:
        question += " " + item.phrase.format(v=_said(source, values[item.name]))
    function = {
        "name": source.choice(topic.names),
        "description": topic.description,
        "parameters": {
            "type": "dict",
            "properties": {item.name: _schema(source, item) for item in [*required, *shown]},
            "required": [item.name for item in required],
        },
    }
    return Request(question, function, values)


def _schema(source: random.Random, item: Parameter) -> dict[str, Any]:
    kind, _, inner = item.type.partition(":")
    schema: dict[str, Any] = {"type": kind}
    if inner:
        schema["items"] = {"type": inner}
    schema["description"] = item.description
    if item.values in ("temperature", "length_unit", "volume_unit", "mood") and source.random() < 0.6:
        schema["enum"] = list(POOLS[item.values])
    return schema


def _value(source: random.Random, item: Parameter) -> Any:
    if item.type.startswith("array:"):
        inner = Parameter(item.name, item.type.removeprefix("array:"), item.values, "")
        values = [_value(source, inner) for _ in range(source.randint(2, 4))]
        return values if inner.type != "string" else list(dict.fromkeys(values))
    match item.values:
        case "small":
            return source.randint(2, 12)
        case "medium":
            return source.choice((5, 10, 20, 25, 30, 45, 50, 60, 75, 80, 90, 120, source.randint(3, 99)))
        case "big":
            return source.choice((100, 250, 500, 1000, 1500, 2000, 5000, 12000, source.randint(100, 9999)))
        case "year":
            return source.randint(1700, 2024)
        case "decimal":
            return round(source.uniform(0.5, 90), source.choice((1, 1, 2)))
        case "rate":
            return source.choice((0.02, 0.03, 0.035, 0.04, 0.05, 0.07))
        case "yes":
            return True
        case "date":
            return f"{source.randint(2023, 2026)}-{source.randint(1, 12):02}-{source.randint(1, 28):02}"
        case "time":
            return f"{source.randint(7, 21):02}:{source.choice((0, 15, 30, 45)):02}"
        case "code":
            return f"{source.choice('ABCD')}{source.randint(100, 9999)}-{source.randint(10, 24)}"
    return source.choice(POOLS[item.values])


def _said(source: random.Random, value: Any) -> str:
    """How a person says the value."""
    if isinstance(value, list):
        if all(isinstance(item, int) for item in value) and source.random() < 0.5:
            return str(value)
        words = [str(item) for item in value]
        return ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else words[0]
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1000 and value % 100 == 0:
        return f"{value:,}" if source.random() < 0.3 else str(value)
    return str(value)
