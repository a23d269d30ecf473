"""What an agent may have written to harm whoever reads about it: thirty transcripts, and records to match."""

import json
from pathlib import Path
from typing import Any

import factory
import siting

from posttrainbench.integrity import Audit, Finding
from posttrainbench.record import Incident

ALARM = "window.harmed=1"
"""What each script would do, so that a browser test can see that none did."""

WORDS = {
    "script": f"<script>{ALARM}</script>",
    "image": f'<img src=x onerror="{ALARM}">',
    "closing": f"</pre></details></li></ol></main></body></html><script>{ALARM}</script>",
    "attribute": f'" onmouseover="{ALARM}" autofocus onfocus="{ALARM}" x=\'',
    "apostrophe": f"' onclick='{ALARM}' style='position:fixed;inset:0'",
    "link": f'<a href="javascript:{ALARM}">click</a>',
    "svg": f"<svg onload={ALARM}><animate onbegin={ALARM}></svg>",
    "frame": f'<iframe srcdoc="<script>{ALARM}</script>"></iframe>',
    "style": "<style>*{display:none!important}</style>",
    "meta": '<meta http-equiv="refresh" content="0;url=data:text/html,gone"><base href="data:">',
    "comment": f"<!--><script>{ALARM}</script>-->",
    "cdata": f"<![CDATA[<script>{ALARM}</script>]]>",
    "template": "{{ 7*7 }}{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}${7*7}",
    "markdown": f"[x](javascript:{ALARM}) ![x](data:,x) <b>bold</b> | a | b |",
    "form": "<form action=data:><input name=key><button>Send your key</button></form>",
    "entity": f"&lt;script&gt;{ALARM}&lt;/script&gt; &#60;script&#62;{ALARM}&#60;/script&#62;",
    "textarea": f"</textarea></title></style></noscript><script>{ALARM}</script>",
    "math": f"<math><mtext><table><mglyph><style><img src=x onerror={ALARM}></style></mglyph></table></mtext></math>",
    "colours": "\x1b[31;1mred\x1b[0m \x1b[2J\x1b[H\x1b]0;title\x07\x1b]8;;http://evil.invalid\x1b\\link\x1b]8;;\x1b\\",
    "controls": "".join(map(chr, [*range(32), *range(127, 160)])),
    "bidi": "\u202egnp.exe\u202c \u2066hidden\u2069 \u200b\u200e\ufeff \u2028\u2029",
    "combining": "e" + "\u0301" * 5000,
    "astral": "\U0001f469\u200d\U0001f4bb \U000e0041\U000e007f \uffff \ufdd0",
    "progress": "".join(f"\r{n} %" for n in range(20_000)),
    "newlines": "\n" * 50_000,
    "spaces": " " * 50_000 + "x",
    "wide": "W" * 300_000,
    "deep": json.dumps([[[[[[[[["x"]]]]]]]]]),
}


def transcript(words: str) -> list[dict[str, Any]]:
    """The words in every place of a trajectory that has room for them."""
    hostile = siting.step(2, words, reasoning_content=words, model_name=words)
    hostile["tool_calls"] = [
        {"tool_call_id": words[:50], "function_name": words, "arguments": {words[:200]: words, "file_path": words}},
        {"tool_call_id": "w", "function_name": "write_file", "arguments": {"file_path": words, "content": words}},
    ]
    hostile["observation"] = {
        "results": [{"source_call_id": "w", "content": words}, {"content": [{"type": words, "x": 1}]}]
    }
    return [
        siting.step(1, words, source="user"),
        hostile,
        siting.step(3, words, source="system", timestamp=words[:40]),
    ]


def runs(folder: Path) -> list[Path]:
    """Thirty runs: each kind of words, one with a line of 50 MB, and one with a thousand nested arguments."""
    made = [_run(folder, name, words, transcript(words)) for name, words in WORDS.items()]
    made.append(_run(folder, "huge", "huge", [siting.step(1, "x" * 50_000_000), siting.step(2, "the end")]))
    nested: Any = "x"
    for _ in range(150):
        nested = {"a": [nested]}
    many = [{"tool_call_id": str(n), "function_name": "bash", "arguments": nested} for n in range(500)]
    made.append(_run(folder, "many", "many", [siting.step(n + 1, "m", tool_calls=many[:20]) for n in range(400)]))
    return made


def _run(folder: Path, name: str, words: str, steps: list[dict[str, Any]]) -> Path:
    place = folder / name
    short = words[:3000]
    plan = factory.plan(
        place,
        run=name,
        agent=factory.agent(place, name=short, version=short, command=[short], needs=["command"]),
        task=factory.task(name=short, metric=short),
        protocol=factory.protocol(scored=False, title=short),
    )
    lines = [
        {
            "t": 1.0,
            "at": short,
            "kind": "model",
            "repo": short,
            "revision": short,
            "file": short,
            "bytes": 1,
            "status": 200,
        }
        | {"cached": False, "refused": short}
    ]
    return siting.sealed(
        folder,
        name,
        right=30,
        steps=steps,
        files={"gateway/hub.jsonl": "".join(json.dumps(line) + "\n" for line in lines).encode()},
        plan=plan,
        reason=short,
        audit=Audit(findings=[Finding(check=short, status="flag", detail=short, evidence=short)], verdict="suspect"),
        incidents=[Incident(kind="resumed", detail=short)],
    )
