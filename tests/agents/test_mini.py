"""The agent `mini` at providers on loopback: in a process of its own where that matters, and else in this one, since to
import an SDK takes seconds."""

import importlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import msgspec
import provider as scripted
import pytest
from answering import Fault, Turn, calling, provider

from posttrainbench import llm
from posttrainbench.catalog import bundled, open_catalog
from posttrainbench.sandbox import images

MAIN = bundled() / "agents" / "mini" / "main.py"
SECRET = "canary-7f3a"
each = pytest.mark.parametrize("dialect", ("anthropic", "openai", "gemini"))
DONE = Turn("All done.", thinking="Enough.")


class Place:
    """A sandbox's folders and environment, without the sandbox."""

    def __init__(self, folder: Path, address: str, dialect: str = "openai", **env: str) -> None:
        self.workspace, self.home = folder / "workspace", folder / "home"
        for path in (self.workspace, self.home, folder / "lib"):
            path.mkdir()
        (folder / "lib" / "llm").symlink_to(Path(llm.__file__).parent)
        (folder / "prompt.md").write_text("Post-train the model.")
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PTB_WORKSPACE": str(self.workspace),
            "PTB_PROMPT_FILE": str(folder / "prompt.md"),
            "PTB_LLM": str(folder / "lib"),
            "MINI_DIALECT": dialect,
            "MINI_MODEL": "m",
            "MINI_GATEWAY": address,
            "MINI_KEY": SECRET,
            "MINI_EFFORT": "high",
            **env,
        }

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, str(MAIN), *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.workspace, env=self.env, stdout=pipe, stderr=pipe, text=True)

    def run(self, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        """Exit code, events, stderr; in this process."""
        out, err, term = io.StringIO(), io.StringIO(), signal.getsignal(signal.SIGTERM)
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name in ("PTB_DEADLINE", "PTB_CONTINUE_FILE", "MINI_CONTEXT"):
                patch.delenv(name, raising=False)
            for name, value in self.env.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", [str(MAIN), *arguments])
            patch.syspath_prepend(str(MAIN.parent))
            try:
                code = importlib.import_module("main").main()
            finally:
                signal.signal(signal.SIGTERM, term)
                for name in [name for name in sys.modules if name in ("main", "shell") or name.startswith("llm")]:
                    del sys.modules[name]
        return code, [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue()


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def outputs(events: list[dict[str, Any]]) -> list[str]:
    return [event["output"] for event in events if event["type"] == "result"]


@each
def test_it_does_what_the_model_wants_and_prints_each_step(dialect: str, tmp_path: Path) -> None:
    with provider(calling("echo 1 > a", "cat a", text="Writing."), calling("mkdir final_model"), DONE) as there:
        place = Place(tmp_path, there.address, dialect)
        with place.start() as process:
            out, err = process.communicate(timeout=120)
    events = [json.loads(line) for line in out.splitlines()]
    usage = {"input": 70, "cached": 30, "cache_write": 0, "output": 40, "reasoning": 10}
    if dialect != "gemini":
        usage |= {"input": 50, "cache_write": 20}
    calls = [
        {"id": f"c{n}", "name": "bash", "arguments": {"command": c}} for n, c in enumerate(("echo 1 > a", "cat a"))
    ]
    assert [event.pop("at")[:2] for event in events] == ["20"] * 8
    assert events[0] == {"type": "start", "model": "m", "version": "1"}
    assert events[1] == {
        "type": "assistant",
        "text": "Writing.",
        "reasoning": "I think.",
        "tool_calls": calls,
        "usage": usage,
    }
    assert kinds(events[2:]) == ["result", "result", "assistant", "result", "assistant", "end"]
    assert (events[3]["id"], events[3]["exit_code"], events[3]["output"][:14]) == ("c1", 0, "1\n[exit code 0")
    assert events[-1] == {"type": "end", "reason": "done"}
    assert (process.returncode, err, (place.workspace / "final_model").is_dir()) == (0, "", True)
    assert len(there.asked) == 3
    assert "Post-train the model." in json.dumps(there.asked[0].body)


def test_the_time_left_is_told_with_each_output(tmp_path: Path) -> None:
    deadline = time.monotonic() + 2 * 3600 + 90
    with provider(calling("true"), DONE) as there:
        _, events, _ = Place(tmp_path, there.address, PTB_DEADLINE=str(deadline)).run()
    assert "; 2 h 01 min left]" in outputs(events)[0]


def test_no_command_runs_beyond_the_deadline(tmp_path: Path) -> None:
    # Loaded beforehand, for it may take longer than the session has.
    importlib.import_module("openai")
    with provider(calling("sleep 60")) as there:
        code, events, _ = Place(tmp_path, there.address, PTB_DEADLINE=str(time.monotonic() + 6)).run()
    assert "stopped with all its processes after" in outputs(events)[0]
    assert (code, events[-1]["reason"]) == (0, "deadline")


def test_a_busy_provider_is_waited_for(tmp_path: Path) -> None:
    busy = Fault(429, {"error": {"type": "rate_limit_error", "message": "slow down"}}, {"retry-after": "0.1"})
    with provider(busy, DONE) as there:
        code, events, err = Place(tmp_path, there.address).run()
    assert (code, kinds(events)) == (0, ["start", "assistant", "end"])
    assert "slow down" in err


def test_a_failure_of_the_model_ends_it_with_the_cause(tmp_path: Path) -> None:
    with provider(Fault(401, {"error": {"message": f"bad key {SECRET}"}})) as there:
        code, events, err = Place(tmp_path, there.address).run()
    assert (code, kinds(events), events[1]["cause"]) == (1, ["start", "error", "end"], "auth")
    assert events[1]["message"] in err
    assert SECRET not in json.dumps(events) + err


def test_a_conversation_too_long_is_shortened_and_goes_on(tmp_path: Path) -> None:
    full = Fault(400, {"error": {"message": "prompt is too long", "code": "context_length_exceeded"}})
    many = [calling("seq 2000", thinking="") for _ in range(10)]
    with provider(*many, full, calling("echo on", thinking=""), DONE) as there:
        code, events, _ = Place(tmp_path, there.address).run()
    assert (code, events[-1]["reason"]) == (0, "done")
    before, after = (len(json.dumps(asked.body)) for asked in there.asked[10:12])
    assert after < 0.7 * before
    assert "Post-train the model." in json.dumps(there.asked[11].body)


def test_what_cannot_be_shortened_is_an_error(tmp_path: Path) -> None:
    full = Fault(400, {"error": {"message": "prompt is too long"}})
    with provider(full) as there:
        code, events, _ = Place(tmp_path, there.address).run()
    assert (code, events[1]["cause"]) == (1, "context_exceeded")


def test_a_long_conversation_is_shortened_unasked(tmp_path: Path) -> None:
    turns = [calling(f"echo {n}", thinking="") for n in range(3)]
    with provider(*turns, DONE) as there:
        Place(tmp_path, there.address, MINI_CONTEXT="100").run()
    assert "Older turns are left out" in json.dumps(there.asked[3].body)


@each
def test_it_continues_where_it_ended(dialect: str, tmp_path: Path) -> None:
    with provider(calling("cd /; echo one"), DONE, DONE) as there:
        place = Place(tmp_path, there.address, dialect, PTB_CONTINUE_FILE=str(tmp_path / "more.md"))
        place.run()
        (tmp_path / "more.md").write_text("Three hours are left.")
        code, events, _ = place.run("--continue")
    assert (code, kinds(events)) == (0, ["start", "assistant", "end"])
    asked = json.dumps(there.asked[2].body)
    assert [words in asked for words in ("Post-train", "echo one", "All done.", "Three hours are left.")] == [True] * 4
    assert asked.count("Post-train the model.") == 1


def test_with_nothing_to_continue_it_begins(tmp_path: Path) -> None:
    with provider(DONE) as there:
        place = Place(tmp_path, there.address)
        (place.home / ".mini").mkdir()
        (place.home / ".mini" / "conversation.json").write_text('{"messages": [{"role"')
        assert place.run("--continue")[0] == 0
    assert "Post-train the model." in json.dumps(there.asked[0].body)


@each
def test_throttled_killed_in_the_middle_of_a_command_and_continued_it_comes_to_its_end(
    dialect: str, tmp_path: Path
) -> None:
    parallel = ["echo 2 > b; touch begun; sleep 300", "touch never"]
    steps = [
        scripted.Step(run=["echo 1 > a", "ls"], text="Look around.", think="Where am I?"),
        scripted.Step(run=parallel, think="Two at once."),
        scripted.Step(run=["cat a b > final"]),
        scripted.Step(text="All done."),
    ]
    busy = scripted.Fault(cause="rate_limit", status=429, retry_after=0.1, first=2)
    with scripted.Provider(scripted.Script(steps=steps, faults=[busy]), tmp_path / "log.jsonl") as there:
        place = Place(tmp_path, there.url, dialect, MINI_KEY=scripted.KEY)
        with place.start() as process:
            wait_for(place.workspace / "begun")
            process.kill()
            first, _ = process.communicate(timeout=30)
        end_leftovers(place)
        code, events, _ = place.run("--continue")
        events = [json.loads(line) for line in first.splitlines()] + events
        lines, used = there.lines(), there.used()
    assert (code, kinds(events)[-1], events[-1]["reason"]) == (0, "end", "done")
    assert (place.workspace / "final").read_text() == "1\n2\n"
    assert not (place.workspace / "never").exists()
    assert [line["status"] for line in lines] == [200, 429, 200, 200, 200]
    assert json.dumps(lines[3]["body"]).count("interrupted from outside") == 2
    assert "The session goes on" in json.dumps(lines[3]["body"])
    usage = [event["usage"] for event in events if event["type"] == "assistant"]
    assert {kind: sum(one[kind] for one in usage) for kind in usage[0]} == msgspec.to_builtins(used)


def test_asked_to_end_it_ends_with_what_it_runs(tmp_path: Path) -> None:
    with provider(calling("echo $$ > begun; sleep 300")) as there:
        place = Place(tmp_path, there.address)
        with place.start() as process:
            wait_for(place.workspace / "begun")
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=30)
    shell = int((place.workspace / "begun").read_text())
    assert (process.returncode, json.loads(out.splitlines()[-1])["reason"]) == (143, "terminated")
    assert not Path(f"/proc/{shell}").exists()


def test_a_model_that_calls_nonsense_is_told_so(tmp_path: Path) -> None:
    nonsense = (("c0", "launch", "{}"), ("c1", "bash", "{}"), ("c2", "bash", '{"command": 3, "timeout": "x"}'))
    with provider(Turn(calls=nonsense), DONE) as there:
        _, events, _ = Place(tmp_path, there.address).run()
    assert outputs(events) == [
        "[there is no tool 'launch', only bash]",
        *["[nothing was run: the arguments must be an object with a text `command`]"] * 2,
    ]


def test_a_model_that_says_nothing_is_nudged_but_not_for_ever(tmp_path: Path) -> None:
    with provider(*[Turn()] * 4) as there:
        code, events, _ = Place(tmp_path, there.address).run()
    assert (code, events[-1]["reason"], len(there.asked)) == (0, "silent", 4)
    assert json.dumps(there.asked[3].body).count("Your answer was empty") == 3


def test_its_folder_says_what_the_program_does() -> None:
    agent = open_catalog({}).agents()["mini"].value
    assert f'VERSION = "{agent.version}"' in MAIN.read_text()
    assert agent.api is not None
    for variant in agent.variants.values():
        api = variant.api or agent.api
        assert (variant.env or agent.env)["MINI_DIALECT"] == api.dialect


def test_each_of_its_models_has_a_price() -> None:
    pytest.importorskip("genai_prices", reason="genai-prices is not installed")
    agent = open_catalog({}).agents()["mini"].value
    assert agent.api is not None
    for name, variant in agent.variants.items():
        api = variant.api or agent.api
        price = llm.cost(llm.Model(api.dialect, variant.model or api.model), llm.Usage(input=10**6, output=10**6))
        assert price is not None, name
        assert price > 0, name


def test_the_train_image_holds_its_sdks_at_versions_that_the_judge_takes_too() -> None:
    pinned = dict(line.split("==") for line in images.pins().train)
    project = tomllib.loads((bundled() / "pyproject.toml").read_text())["project"]
    for line in project["optional-dependencies"]["judge"]:
        name, _, least = line.partition(">=")
        assert [int(part) for part in pinned[name].split(".")] >= [int(part) for part in least.split(".")]


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def end_leftovers(place: Place) -> None:
    """What the sandbox's end does to the processes in it."""
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == place.workspace:
                os.kill(int(link.parent.name), signal.SIGKILL)
        except OSError:
            continue
