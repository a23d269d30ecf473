"""What a leased card was like before a session: what the driver says of it, and a matrix product that came out right.

A card that fails costs no agent its hours: the run does not start, and it is never a score. Errors of the past (Xid
lines of the kernel's log) are recorded and not judged; what a card can do now is. Not seen: errors that come later (see
`lost`), and those that a product of this size does not meet. Where the kernel's log may not be read, `xids` is null.
"""

import contextlib
import re
import shutil
import subprocess
from collections.abc import Sequence

import msgspec

from posttrainbench.errors import InfrastructureError
from posttrainbench.strict import Value

FIELDS = (
    "uuid,name,driver_version,pci.bus_id,memory.total,memory.free,"
    "ecc.errors.uncorrected.volatile.total,remapped_rows.pending,remapped_rows.failure"
)
FILE = "preflight.json"
"""In the session's folder."""
QUERY_SECONDS = 30
PRODUCT_SECONDS = 180.0
FREE_SHARE = 0.9
"""Of a card's memory; less is free only when something else is on it."""
TOLERANCE = 1e-3
FATAL = frozenset({48, 64, 74, 79, 95, 119, 120, 140, 143})
"""Xids after which a card computes no more, or wrongly; others are mostly a program's own mistakes."""
XID = re.compile(r"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)(.*)")
MAX_XIDS = 50
PRODUCT = """
import json, time, torch
torch.manual_seed(0)
devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]
a, b = torch.randn(768, 768), torch.randn(768, 768)
right = a.double() @ b.double()
found = []
for device in devices:
    begin = time.monotonic()
    made = (a.to(device) @ b.to(device)).cpu().double()
    error = ((made - right).abs().max() / right.abs().max()).item()
    found.append({"device": device, "error": error, "seconds": time.monotonic() - begin})
print("PRODUCTS " + json.dumps(found))
"""
"""Runs in the train image, with the session's cards and no others."""


class Xid(Value, frozen=True, kw_only=True):
    """An error that the driver reported to the kernel's log."""

    bus: str
    number: int
    detail: str


class Card(Value, frozen=True, kw_only=True):
    """A card as the driver describes it; None for what it does not say of this kind of card."""

    uuid: str
    name: str
    driver: str
    bus: str
    memory_mb: float | None
    free_mb: float | None
    uncorrected_errors: float | None
    remapping_pending: bool | None
    remapping_failed: bool | None
    processes: list[int]
    """Those that compute on it."""


class Product(Value, frozen=True, kw_only=True):
    """A matrix product on one device. error: the largest deviation, as a share of the largest entry."""

    device: str
    error: float
    seconds: float


class Preflight(Value, frozen=True, kw_only=True):
    """All that was looked at, and what is wrong with it, a sentence each."""

    leased: list[str]
    cards: list[Card]
    xids: list[Xid] | None
    products: list[Product]
    failures: list[str]


def judged(
    leased: Sequence[str], cards: Sequence[Card], xids: list[Xid] | None, said: str, *, pretended: bool
) -> Preflight:
    """The verdict on what the driver says and on what the product's program printed (`said`). Pretended cards need not
    be known to a driver, and their product comes from a processor."""
    products = _products(said)
    known = {card.uuid: card for card in cards}
    failures = [sentence for uuid in leased if uuid in known for sentence in _failures(known[uuid])]
    failures += [f"{uuid} is not among the cards that the driver lists" for uuid in leased if uuid not in known]
    if pretended:
        failures = [failure for failure in failures if "is not among" not in failure]
    if len(products) < (1 if pretended else len(leased)) or (
        not pretended and any(p.device == "cpu" for p in products)
    ):
        failures.append(f"the matrix product was not made on every card: {_last_line(said)}")
    failures += [
        f"the matrix product on {product.device} is wrong by {product.error:.1g} of its largest entry"
        for product in products
        if not product.error <= TOLERANCE  # Not a number is an error too.
    ]
    return Preflight(
        leased=list(leased),
        cards=[card for card in cards if card.uuid in leased],
        xids=xids,
        products=products,
        failures=failures,
    )


def check(found: Preflight, run: str) -> None:
    """Raise InfrastructureError with what is wrong."""
    if found.failures:
        raise InfrastructureError(
            f"A GPU failed the check before the session: {'; '.join(found.failures)}. The agent was not started. Free, "
            f"reset or replace the card, then `ptb resume {run}`."
        )


def lost(before: Preflight, cards: Sequence[Card], xids: list[Xid] | None) -> list[str]:
    """What became of the session's cards since: a sentence for each that is gone or reported a fatal error."""
    known = {card.uuid for card in cards}
    gone = [card.uuid for card in before.cards if card.uuid not in known]
    buses = {card.bus: card.uuid for card in before.cards}
    fresh = [xid for xid in xids or [] if xid.number in FATAL and xid not in (before.xids or [])]
    reported = [(uuid, xid) for xid in fresh if (uuid := _at(xid.bus, buses))]
    return [
        *(f"{uuid} is no longer among the cards that the driver lists" for uuid in gone),
        *(f"{uuid} reported Xid {xid.number}{xid.detail}" for uuid, xid in reported),
    ]


def cards() -> list[Card]:
    """What the driver says of this host's cards; none where there is no driver, or where it does not answer."""
    processes: dict[str, list[int]] = {}
    for line in _ask("nvidia-smi", "--query-compute-apps=gpu_uuid,pid", "--format=csv,noheader,nounits"):
        uuid, _, pid = (word.strip() for word in line.partition(","))
        if pid.isdigit():
            processes.setdefault(uuid, []).append(int(pid))
    found = []
    for line in _ask("nvidia-smi", f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits"):
        words = [word.strip() for word in line.split(",")]
        if len(words) != len(FIELDS.split(",")):
            continue
        uuid, name, driver, bus, memory, free, errors, pending, failed = words
        found.append(
            Card(
                uuid=uuid,
                name=name,
                driver=driver,
                bus=bus,
                memory_mb=_number(memory),
                free_mb=_number(free),
                uncorrected_errors=_number(errors),
                remapping_pending=_yes(pending),
                remapping_failed=_yes(failed),
                processes=processes.get(uuid, []),
            )
        )
    return found


def xids() -> list[Xid] | None:
    """The newest Xid lines of the kernel's log; None where it may not be read."""
    lines = _ask("dmesg", "--raw")
    if not lines:
        return None
    found = [XID.search(line) for line in lines]
    return [Xid(bus=m[1].lower(), number=int(m[2]), detail=m[3][:200].rstrip()) for m in found if m][-MAX_XIDS:]


def _failures(card: Card) -> list[str]:
    said = []
    if card.processes:
        said.append(f"processes {', '.join(map(str, card.processes))} compute on {card.uuid}")
    if card.memory_mb and card.free_mb is not None and card.free_mb < FREE_SHARE * card.memory_mb:
        said.append(f"{card.uuid} has {card.free_mb:.0f} of {card.memory_mb:.0f} MB free")
    if card.uncorrected_errors:
        said.append(f"{card.uuid} has {card.uncorrected_errors:.0f} uncorrected memory errors since its last reset")
    if card.remapping_pending:
        said.append(f"{card.uuid} waits for a reset to remap its memory")
    if card.remapping_failed:
        said.append(f"{card.uuid} could not remap its memory")
    return said


def _products(said: str) -> list[Product]:
    for line in reversed(said.splitlines()):
        if line.startswith("PRODUCTS "):
            with contextlib.suppress(msgspec.DecodeError):
                return msgspec.json.decode(line.removeprefix("PRODUCTS "), type=list[Product])
    return []


def _last_line(said: str) -> str:
    return (said.strip().splitlines() or ["nothing was printed"])[-1][:300]


def _at(bus: str, buses: dict[str, str]) -> str:
    """The card at a bus: the driver writes 00000000:17:00.0 where the kernel's log has 0000:17:00."""
    return next((uuid for known, uuid in buses.items() if known.lower().partition(".")[0].endswith(bus)), "")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _yes(text: str) -> bool | None:
    return {"yes": True, "no": False, "1": True, "0": False}.get(text.lower())


def _ask(tool: str, *words: str) -> list[str]:
    """Lines that a tool prints; none if it is absent, fails or hangs."""
    path = shutil.which(tool)
    if path is None:
        return []
    try:
        process = subprocess.Popen([path, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return []
    try:
        said, _ = process.communicate(timeout=QUERY_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()  # Not waited for: a driver that hangs keeps it beyond the reach of SIGKILL.
        return []
    return said.decode("utf-8", "replace").splitlines() if process.returncode == 0 else []
