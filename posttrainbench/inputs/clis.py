"""The program of an agent, installed from the npm registry into the cache.

Everything comes by the `package-lock.json` in the agent's folder: `npm ci` installs what stands there and nothing else,
and refuses a package whose SHA-512 differs. No script of any package runs, neither here nor later by ours; a program
starts only inside a sandbox. The folder can be mounted anywhere and read by any user.

It does not protect against what a pinned package itself holds, nor against npm, which is the host's.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from posttrainbench.catalog import Npm
from posttrainbench.errors import (
    ConfigError,
    DigestError,
    InfrastructureError,
    MissingError,
    PtbError,
    StorageError,
)
from posttrainbench.inputs.cached import Say, cached
from posttrainbench.strict import Value, digest_bytes, digest_value

MANIFEST, LOCK = "package.json", "package-lock.json"
CI = ["ci", "--ignore-scripts", "--no-bin-links", "--no-audit", "--no-fund", "--no-update-notifier", "--omit=dev"]
SECONDS = 900.0
MARKS = ("npm error ", "npm ERR! ")
OFFLINE = {"ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH"}
OFFLINE |= {"ERR_SOCKET_TIMEOUT", "FETCH_ERROR", "ENOTCACHED", "EPROTO"}


class Installed(Value, frozen=True, kw_only=True):
    """A program that is ready to be mounted."""

    folder: Path
    digest: str
    """Of every file in it, wherever it was installed from."""


def obtain(agent_folder: Path, install: Npm, cache: Path, say: Say) -> Installed:
    """Install the agent's program, or find it as it was installed before."""
    for problem in problems(agent_folder, install):
        raise ConfigError(f"{agent_folder}: {problem}")
    lock = digest_bytes((agent_folder / LOCK).read_bytes()).removeprefix("sha256:")[:12]
    folder = cache.resolve() / "clis" / f"{agent_folder.name}-{install.version}-{lock}"

    def make(target: Path) -> None:
        say(f"installing {install.package} {install.version} (once)")
        for name in (MANIFEST, LOCK):
            shutil.copyfile(agent_folder / name, target / name)
        npm(CI, target, install.package)
        # npm's note of where it fetched from would make the digest a matter of the registry's address.
        (target / "node_modules" / ".package-lock.json").unlink(missing_ok=True)
        program = target / install.program
        if not (program.is_file() and (program.suffix == ".js" or os.access(program, os.X_OK))):
            raise MissingError(
                f"The packages of {install.package} {install.version} hold no program {install.program} for this "
                f"machine ({platform.system()} on {platform.machine()})."
            )

    made = cached(folder, make, say)
    return Installed(folder=folder, digest=digest_value({name: file.digest for name, file in made.files.items()}))


def problems(agent_folder: Path, install: Npm) -> Iterator[str]:
    """What is wrong with the files that pin the program, a sentence each."""
    for name in (MANIFEST, LOCK):
        if not (agent_folder / name).is_file():
            yield f"[install] needs a {name} beside agent.toml (docs/adding-an-agent.md)."
            return
    try:
        lock = msgspec.json.decode((agent_folder / LOCK).read_bytes(), type=dict[str, Any])
        packages = msgspec.convert(lock.get("packages"), dict[str, dict[str, Any]])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        yield f"{LOCK} is not a lock file of npm 7 or later: {error}."
        return
    for name, package in packages.items():
        if name and not str(package.get("integrity", "")).startswith("sha512-"):
            yield f"{LOCK} pins {name} without a sha512 integrity hash; make the lock again with npm 7 or later."
    holder = max((name for name in packages if name and install.program.startswith(f"{name}/")), key=len, default="")
    version = str(packages.get(holder, {}).get("version", "none"))
    if version != install.version and not version.startswith(f"{install.version}-"):
        yield (
            f"[install] says version {install.version}, and {LOCK} pins {version} for {install.program}; change one "
            "of them."
        )


def npm(words: Sequence[str], cwd: Path, package: str) -> str:
    """What npm answers on stdout; its failures become sentences about that package."""
    program = shutil.which("npm")
    if program is None:
        raise MissingError(
            f"npm is not installed, and {package} comes from the npm registry. Install Node.js 20 or later."
        )
    try:
        done = subprocess.run(
            [program, *words],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise MissingError(f"npm did not come to an end within {SECONDS:g} seconds for {package}.") from None
    if done.returncode:
        raise _failure(done.stderr, package)
    return done.stdout


def _failure(stderr: str, package: str) -> PtbError:
    said = [line.removeprefix(mark) for line in stderr.splitlines() for mark in MARKS if line.startswith(mark)]
    code = next((line.removeprefix("code ") for line in said if line.startswith("code ")), "no code")
    reason = next(
        (line for line in said if line and not line.startswith(("code ", "A complete log"))), "it said nothing"
    )
    here = f"{platform.system()} on {platform.machine()}"
    if code in OFFLINE:
        return MissingError(
            f"The npm registry cannot be reached ({code}), and {package} comes from there. Check the network."
        )
    match code:
        case "EINTEGRITY":
            return DigestError(f"The registry serves another file than {package} pins: {reason} Do not use it.")
        case "E404" | "ETARGET":
            return MissingError(f"The npm registry does not have all that {package} needs: {reason}")
        case "EBADPLATFORM":
            return MissingError(f"{package} is pinned for other machines than this one, which is {here}.")
        case "EUSAGE":
            return ConfigError(f"{MANIFEST} and {LOCK} of {package} contradict each other; make the lock again.")
        case "ENOSPC" | "EROFS" | "EACCES" | "EPERM":
            return StorageError(f"npm could not write what {package} needs ({code}): {reason}")
        case _:
            return InfrastructureError(f"npm failed for {package} ({code}): {reason}")
