"""Which cards are fit for a session, from what a driver says. The driver is a script on PATH."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from posttrainbench.errors import InfrastructureError
from posttrainbench.sandbox import preflight
from posttrainbench.sandbox.preflight import Card, Preflight, Product, Xid

FINE = Card(
    uuid="GPU-1",
    name="H100",
    driver="580.1",
    bus="00000000:17:00.0",
    memory_mb=81559.0,
    free_mb=81000.0,
    uncorrected_errors=0.0,
    remapping_pending=False,
    remapping_failed=False,
    processes=[],
)
RIGHT = 'noise\nPRODUCTS [{"device": "cuda:0", "error": 1e-7, "seconds": 0.1}]\n'
Tools = Callable[[str, str], None]


@pytest.fixture
def tool(tmp_path: Path) -> Tools:
    """Puts a shell script on PATH."""
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{tmp_path}:{before}"

    def put(name: str, script: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    yield put
    os.environ["PATH"] = before


def examined(card: Card, said: str = RIGHT) -> Preflight:
    return preflight.judged(["GPU-1"], [card], [], said, pretended=False)


def test_a_card_in_order_is_recorded_and_passes() -> None:
    found = examined(FINE)
    assert found == Preflight(
        leased=["GPU-1"],
        cards=[FINE],
        xids=[],
        products=[Product(device="cuda:0", error=1e-7, seconds=0.1)],
        failures=[],
    )
    preflight.check(found, "run")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"uuid": "GPU-2"}, "GPU-1 is not among the cards that the driver lists"),
        ({"processes": [7, 8]}, "processes 7, 8 compute on GPU-1"),
        ({"free_mb": 70000.0}, "GPU-1 has 70000 of 81559 MB free"),
        ({"uncorrected_errors": 2.0}, "GPU-1 has 2 uncorrected memory errors since its last reset"),
        ({"remapping_pending": True}, "GPU-1 waits for a reset to remap its memory"),
        ({"remapping_failed": True}, "GPU-1 could not remap its memory"),
    ],
)
def test_what_makes_a_card_unfit(changes: dict[str, object], sentence: str) -> None:
    found = examined(msgspec.structs.replace(FINE, **changes))
    assert found.failures == [sentence]
    with pytest.raises(InfrastructureError, match=f"{sentence}. The agent was not started.*ptb resume run"):
        preflight.check(found, "run")


def test_what_a_kind_of_card_does_not_tell_is_no_failure() -> None:
    silent = {"memory_mb": None, "free_mb": None, "uncorrected_errors": None}
    silent |= {"remapping_pending": None, "remapping_failed": None}
    assert examined(msgspec.structs.replace(FINE, **silent)).failures == []


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (RIGHT.replace("1e-7", "0.5"), "the matrix product on cuda:0 is wrong by 0.5 of its largest entry"),
        ("Error: CUDA\nno device", "the matrix product was not made on every card: no device"),
        ("", "the matrix product was not made on every card: nothing was printed"),
        ("PRODUCTS [1]", "the matrix product was not made on every card: PRODUCTS [1]"),
    ],
)
def test_a_card_that_computes_wrongly_or_not_at_all_is_unfit(said: str, sentence: str) -> None:
    assert examined(FINE, said).failures == [sentence]


def test_a_processor_in_the_place_of_a_card_is_unfit() -> None:
    said = RIGHT.replace("cuda:0", "cpu")
    assert examined(FINE, said).failures[0].startswith("the matrix product was not made on every card")
    assert preflight.judged(["GPU-x"], [FINE], None, said, pretended=True).failures == []


def test_the_driver_s_words_are_read(tool: Tools) -> None:
    tool(
        "nvidia-smi",
        """case "$1" in
        --query-compute-apps*) echo "GPU-1, 4242" ;;
        *) echo "GPU-1, NVIDIA H100 80GB HBM3, 580.1, 00000000:17:00.0, 81559, 81000, 0, No, No"
           echo "GPU-2, Tesla T4, 580.1, 00000000:65:00.0, 15360, 15000, [N/A], [N/A], [N/A]"
           echo "Unable to determine the device handle" ;;
        esac""",
    )
    tool("dmesg", 'echo "<3>[5.1] NVRM: Xid (PCI:0000:17:00): 79, GPU has fallen off the bus."; echo "<6>[6.0] usb"')
    nothing = {"uncorrected_errors": None, "remapping_pending": None, "remapping_failed": None}
    other = {"uuid": "GPU-2", "name": "Tesla T4", "bus": "00000000:65:00.0", "memory_mb": 15360.0, "free_mb": 15000.0}
    assert preflight.cards() == [
        msgspec.structs.replace(FINE, name="NVIDIA H100 80GB HBM3", processes=[4242]),
        msgspec.structs.replace(FINE, **other, **nothing),
    ]
    assert preflight.xids() == [Xid(bus="0000:17:00", number=79, detail=", GPU has fallen off the bus.")]


@pytest.mark.parametrize("script", ["exit 9", "head -c 100 /dev/urandom; exit 0"])
def test_a_driver_that_fails_lists_no_card(script: str, tool: Tools) -> None:
    tool("nvidia-smi", script)
    tool("dmesg", "exit 1")
    assert (preflight.cards(), preflight.xids()) == ([], None)


def test_a_card_is_lost_when_it_is_gone_or_reports_a_fatal_error_that_is_new() -> None:
    old = Xid(bus="0000:17:00", number=79, detail=", old")
    before = msgspec.structs.replace(examined(FINE), xids=[old])
    new = [Xid(bus=bus, number=number, detail=", new") for bus, number in [("0000:17:00", 48), ("0000:17:00", 31)]]
    elsewhere = Xid(bus="0000:65:00", number=79, detail=", another card")
    assert preflight.lost(before, [FINE], [old]) == []
    assert preflight.lost(before, [FINE], [old, *new, elsewhere]) == ["GPU-1 reported Xid 48, new"]
    assert preflight.lost(before, [], None) == ["GPU-1 is no longer among the cards that the driver lists"]
