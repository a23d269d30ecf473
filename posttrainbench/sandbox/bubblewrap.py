"""The bubblewrap command line: which folders, devices and namespaces a process in the local sandbox gets.

Nothing of the host is visible but what stands here: the system's programs and libraries, the Python environment, and
the folders that the caller names. It does not protect against: a hole in the kernel, use of all memory or processors,
and other programs of the same user that listen on a socket in a folder that is mounted.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from posttrainbench.errors import UsageError

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# What programs need to resolve libraries, names and certificates. Nothing with a secret: no shadow, no keys, no hosts.
ETC = """
    alternatives ca-certificates crypto-policies group hosts host.conf ld.so.cache ld.so.conf ld.so.conf.d localtime
    magic mime.types nsswitch.conf passwd pki/tls pki/ca-trust protocols services ssl/certs ssl/openssl.cnf
"""
TMP = "/tmp"  # noqa: S108 - a name inside the sandbox, where a private folder takes its place.
# Processors and their memory, which numerical libraries read to choose their threads.
TOPOLOGY = "/sys/devices/system"


@cache
def usable() -> bool:
    """Whether bubblewrap is installed and may make the namespaces that we ask for; tried once a process."""
    if shutil.which("bwrap") is None:
        return False
    command = [*_namespaces(), *_system(gpus=0), "--", "true"]
    try:
        return subprocess.run(command, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def command_line(
    *, read: Iterable[str], write: Iterable[str], tmp: str, cwd: str, held: bool, gpus: int, private: Iterable[str]
) -> list[str]:
    """The words to put before a command. Folders keep their paths; `tmp` lies where `tmp_inside` says. `private` are
    folders that no mount may reveal: raises UsageError if one lies inside a folder of `read` or `write`, or in the
    Python environment. `held`: the command waits until `{block_fd}` is closed. There is no network but an own
    loopback."""
    shown, own_tmp = [*python_folders(), *read], tmp_inside(tmp, [*read, *write])
    for folder in private:
        for outer in [*shown, *write]:
            if Path(folder).resolve().is_relative_to(Path(outer).resolve()):
                raise UsageError(
                    f"{folder} must stay hidden from what runs in the sandbox, but lies inside {outer}, which is shown "
                    "to it. Choose another place with --runs-dir or PTB_CACHE."
                )
    words = [*_namespaces(), *_system(gpus), *(["--block-fd", "{block_fd}"] if held else [])]
    words += ["--bind", tmp, TMP] if own_tmp == TMP else ["--perms", "1777", "--tmpfs", TMP, "--bind", tmp, tmp]
    # Outer folders first, so that a mount is not covered by a later one.
    mounts = dict.fromkeys(shown, "--ro-bind") | dict.fromkeys(write, "--bind")
    for path in sorted(mounts, key=lambda path: len(Path(path).parts)):
        words += [mounts[path], path, path]
    return [*words, "--remount-ro", "/", "--chdir", cwd, "--json-status-fd", "{status_fd}", "--"]


def tmp_inside(tmp: str, shown: Iterable[str]) -> str:
    """Where a private folder for temporary files lies inside: at /tmp, since a path of a socket must be short, but at
    its own place when something that is shown lies below /tmp: its mount points would be made in the private folder,
    where what runs could put links in their way."""
    below = any(Path(path).is_relative_to(TMP) for path in [*python_folders(), *shown])
    return tmp if below else TMP


def python_folders() -> list[str]:
    """What the running interpreter needs outside /usr: its environment, the installation below it, and each link on
    the way from one to the other."""
    paths = [sys.prefix, sys.base_prefix]
    link = sys.executable
    while link:
        paths.append(link)
        link = os.path.join(os.path.dirname(link), os.readlink(link)) if os.path.islink(link) else ""
    paths += [os.path.realpath(sys.base_prefix), os.path.realpath(sys.executable)]
    kept: list[str] = []
    for path in dict.fromkeys(map(os.path.normpath, paths)):
        if not any(Path(path).is_relative_to(known) for known in (*SYSTEM, *kept)):
            kept.append(path)
    return kept


def _namespaces() -> list[str]:
    """Own users (so that root on the host has no power over it), network, processes, messages and host name. Dies with
    what started it, by the kernel's hand."""
    # Its whole path, since the agent's PATH holds when it is started.
    words = [
        shutil.which("bwrap") or "bwrap",
        "--unshare-user",
        "--cap-drop",
        "ALL",
        "--unshare-net",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
    ]
    return [*words, "--unshare-cgroup-try", "--hostname", "sandbox", "--die-with-parent", "--new-session"]


def _system(gpus: int) -> list[str]:
    words = ["--proc", "/proc", "--dev", "/dev"]
    for path in SYSTEM:
        if Path(path).is_symlink():
            words += ["--symlink", os.readlink(path), path]
        elif Path(path).is_dir():
            words += ["--ro-bind", path, path]
    for name in ETC.split():
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    words += ["--ro-bind", str(Path(__file__).with_name("hosts")), "/etc/hosts"]
    if gpus:
        words += ["--ro-bind-try", "/sys", "/sys"]
        for device in sorted(map(str, Path("/dev").glob("nvidia*"))):
            words += ["--dev-bind-try", device, device]
    else:
        words += ["--ro-bind-try", TOPOLOGY, TOPOLOGY]
    return words
