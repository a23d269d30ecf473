"""The site in a real Chromium: from a server, below a path and as files; with and without JavaScript."""

import functools
import http.server
import shutil
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hostility
import pytest
import siting

from posttrainbench.board import site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright, which drives Chromium, is not installed")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
PAGES = [
    *("index.html", "plots.html", "compare.html", "agents/index.html", "agents/good.html", "tasks/sums.html"),
    *(
        "models/tiny.html",
        "runs/index.html",
        "runs/good-tiny-0.html",
        "runs/poor-tiny-1.html",
        "rules.html",
        "scores.html",
    ),
    *("integrity.html", "changelog.html", "submit.html", "readers.html"),
]

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site below a path: `<folder>/deep/down/`."""
    folder = tmp_path_factory.mktemp("browser")
    siting.some(folder / "runs")
    site.build([folder / "runs"], folder / "web" / "deep" / "down", processes=1)
    return folder / "web" / "deep" / "down"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def served(built: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(built.parent.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/deep/down/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any) -> Generator[Open, None, None]:
    """Opens a page; anything that goes wrong on one fails the test at its end."""
    troubles: list[str] = []
    contexts = []

    def open_(address: str, **settings: Any) -> Any:
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda said: troubles.append(f"{address}: {said.text}") if said.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: troubles.append(f"{address}: {error}"))
        page.on("requestfailed", lambda asked: troubles.append(f"{address}: {asked.url}"))
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert troubles == []


def test_each_page_opens_from_a_server_below_a_path_and_as_a_file(built: Path, served: str, opened: Open) -> None:
    for name in PAGES:
        for address in (served + name, (built / name).as_uri()):
            page = opened(address)
            assert page.locator("h1").count() >= 1, name
            assert page.evaluate("getComputedStyle(document.querySelector('.brand')).fontWeight") == "600", name


def test_axe_finds_nothing_serious_in_light_and_dark(served: str, opened: Open) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe for Chromium is not installed")
    script = next(Path(axe.__file__).parent.rglob("axe.min.js")).read_text()
    for name in PAGES:
        for scheme in ("light", "dark"):
            page = opened(served + name, color_scheme=scheme, bypass_csp=True)
            page.evaluate(script)
            found = page.evaluate("axe.run()")["violations"]
            serious = [
                (one["id"], [node["target"] for node in one["nodes"]][:3], one["nodes"][0].get("failureSummary", ""))
                for one in found
                if one["impact"] in ("serious", "critical")
            ]
            assert serious == [], (name, scheme)


def test_no_page_is_wider_than_a_phone(served: str, opened: Open) -> None:
    for name in PAGES:
        page = opened(served + name, viewport={"width": 375, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= 376, name


def names(page: Any) -> list[str]:
    return [one.strip() for one in page.locator("#board tbody tr:not(.line):visible th a").all_inner_texts()]


@pytest.mark.parametrize("as_file", [False, True], ids=["served", "file"])
def test_the_board_sorts_and_filters(built: Path, served: str, opened: Open, as_file: bool) -> None:
    page = opened((built / "index.html").as_uri() if as_file else served)
    assert names(page) == ["good", "fair", "poor"]
    page.get_by_role("button", name="Agent").click()
    assert names(page) == ["fair", "good", "poor"]
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Agent")
    page.get_by_role("button", name="Agent").click()
    assert names(page) == ["poor", "good", "fair"]
    page.get_by_role("button", name="Agent").click()
    assert names(page) == ["good", "fair", "poor"]
    page.get_by_label("Agent", exact=True).fill("oo")
    assert names(page) == ["good", "poor"]
    assert page.locator("form output").inner_text() == "2 of 3 agents"
    page.get_by_label("Runs a cell").select_option("single")
    assert names(page) == []
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("document.querySelectorAll('#board tbody tr[hidden]').length === 0")
    page.get_by_label("Base model").select_option("tiny")
    assert page.locator("thead th.heat:visible").count() == 1
    page.get_by_label("Verdict").select_option("clean")
    assert names(page) == ["good", "fair", "poor"]


def test_a_filter_is_in_the_address_and_comes_back(served: str, opened: Open) -> None:
    page = opened(served)
    page.get_by_label("Agent", exact=True).fill("fair")
    page.wait_for_url("**#*agent=fair*")  # The driver hears of it a moment later.
    assert names(opened(page.url)) == ["fair"]


def test_two_agents_are_chosen_and_compared(served: str, opened: Open) -> None:
    page = opened(served + "compare.html")
    assert page.locator("section[data-a]:visible h2").all_inner_texts() == ["good 1 − fair 1"]
    page.locator("select[name=b]").select_option("poor 1")
    assert page.locator("section[data-a]:visible h2").all_inner_texts() == ["good 1 − poor 1"]
    page.locator("select[name=a]").select_option("poor 1")
    assert page.locator("section[data-a]:visible").count() == 0
    assert "two different" in page.locator("form[data-compare] output").inner_text()


def test_steps_are_linked_searched_and_unfolded(served: str, opened: Open) -> None:
    page = opened(served + "runs/good-tiny-0.html")
    page.locator(".recorder a[href$='#step-5']").click(force=True)
    page.wait_for_url("**#step-5")
    assert page.locator("#step-5").is_visible()
    page.get_by_label("Search these steps").fill("look around")
    assert page.locator(".steps > li:visible").count() == 1
    page.get_by_label("Search these steps").fill("")
    assert page.locator(".steps > li:visible").count() == 6
    fold = page.locator("#step-5 details")
    assert not fold.locator("pre").is_visible()
    fold.locator("summary").click()
    assert fold.locator("pre").is_visible()


def test_the_keyboard_alone_sorts(served: str, opened: Open) -> None:
    page = opened(served)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.get_by_role("button", name="Agent").focus()
    page.keyboard.press("Enter")
    assert names(page) == ["fair", "good", "poor"]


def test_all_is_readable_without_javascript(built: Path, opened: Open) -> None:
    for name in PAGES:
        page = opened((built / name).as_uri(), java_script_enabled=False)
        assert page.locator("form:visible").count() == 0, name
    page = opened((built / "index.html").as_uri(), java_script_enabled=False)
    assert names(page) == ["good", "fair", "poor"]
    page = opened((built / "compare.html").as_uri(), java_script_enabled=False)
    assert page.locator("section[data-a]:visible").count() == 3
    assert opened((built / "plots.html").as_uri(), java_script_enabled=False).locator("svg.chart:visible").count() >= 2


def test_no_hostile_transcript_runs_anything(opened: Open, tmp_path: Path) -> None:
    hostility.runs(tmp_path / "runs")
    site.build([tmp_path / "runs"], tmp_path / "site", processes=1)
    page = None
    for path in [tmp_path / "site" / "index.html", *sorted((tmp_path / "site").glob("runs/*.html"))[:80]]:
        page = page or opened(path.as_uri())
        page.goto(path.as_uri())
        assert page.evaluate("window.harmed") is None, path.name
        assert page.locator("footer").count() == 1, path.name
        assert page.locator("footer").is_visible(), path.name
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 1, path.name
