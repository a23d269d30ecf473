"""Runs in the agent's place: looks everywhere for a key and for a way out, and prints what it finds, as JSON."""

import base64
import errno
import json
import os
import shutil
import socket
import stat
import sys
import urllib.error
import urllib.request

KEY = sys.argv[1][::-1].encode()  # Reversed on the command line, so that the search does not find itself.
GATEWAY = "http://127.0.0.1:8787"
SKIPPED = ("/sys", "/usr/lib", "/usr/share", "/opt/venv/lib", "/lib", "/proc/kcore")
TARGETS = ("example.org:443", "127.0.0.1:22", "169.254.169.254:80")
LARGEST = 20_000_000


def holding(path: str) -> bool:
    """Whether a file holds the key; what cannot be read holds nothing."""
    try:
        with open(path, "rb") as file:
            return KEY in file.read(LARGEST)
    except OSError:
        return False


def keys() -> list[str]:
    """Where the key is: files, environments and command lines of processes."""
    found = []
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in SKIPPED and name != "task"]
        for name in files:
            path = os.path.join(folder, name)
            in_proc = path.startswith("/proc/")
            if in_proc and name not in ("environ", "cmdline"):
                continue
            try:
                regular = stat.S_ISREG(os.lstat(path).st_mode)
            except OSError:
                continue
            if regular and holding(path):
                found.append(path)
    return found


def sockets() -> list[str]:
    """Sockets in the file system."""
    found = []
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in (*SKIPPED, "/proc")]
        for name in files:
            path = os.path.join(folder, name)
            try:
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    found.append(path)
            except OSError:
                continue
    return sorted(found)


def reached(family: int, address: str, port: int) -> bool:
    """Whether a connection comes about within two seconds."""
    with socket.socket(family) as out:
        out.settimeout(2)
        return out.connect_ex((address, port)) == 0


def listening() -> list[int]:
    """Ports of the loopback on which something listens."""
    found = []
    for port in range(1, 65536):
        with socket.socket() as out:
            if out.connect_ex(("127.0.0.1", port)) not in (errno.ECONNREFUSED, errno.EADDRNOTAVAIL):
                # A port may be drawn for this very connection, which then meets itself.
                found += [port] if out.getsockname() != out.getpeername() else []
    return found


def asked(method: str, path: str, body: object = None, **headers: str) -> int:
    """Status of an answer of the gateway."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(GATEWAY + path, data, headers, method=method)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def proxied(target: str, secret: str) -> int:
    """Status of a CONNECT at the proxy."""
    basic = base64.b64encode(f"run:{secret}".encode()).decode()
    with socket.create_connection(("127.0.0.1", 8788), 20) as out:
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {basic}\r\n\r\n"
        out.sendall(head.encode())
        return int(out.recv(100).split()[1])


def main() -> None:
    """Look, print, and leave the base model as the checkpoint."""
    secret = {"x-api-key": os.environ["SECRET"], "content-type": "application/json"}
    message = {"model": "big-1", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    addresses = [*sys.argv[2:], "192.0.2.1", "169.254.169.254", "10.0.0.1", "172.17.0.1"]
    try:
        named = socket.gethostbyname("example.org")
    except OSError:
        named = ""
    found = {
        "keys": keys(),
        "sockets": sockets(),
        "listening": listening(),
        "reached": [a for a in addresses if reached(socket.AF_INET, a, 80) or reached(socket.AF_INET, a, 443)]
        + [a for a in ("2001:db8::1", "fd00::1") if reached(socket.AF_INET6, a, 443)],
        "named": named,
        "model": asked("POST", "/anthropic/v1/messages", message, **secret),
        "wrong secret": asked("POST", "/anthropic/v1/messages", message, **secret | {"x-api-key": "guess"}),
        "other model": asked("POST", "/anthropic/v1/messages", message | {"model": "other"}, **secret),
        "other provider": asked("POST", "/openai/v1/chat/completions", {"model": "big-1"}, **secret),
        "hub": asked("GET", "/hub/api/models/org/name"),
        "index": asked("GET", "/pypi/simple/numpy/"),
        "proxy": [proxied(target, secret["x-api-key"]) for target in TARGETS] + [proxied(TARGETS[0], "guess")],
    }
    print("FOUND " + json.dumps(found), flush=True)
    shutil.copytree(os.environ["PTB_MODEL"], "final_model")


main()
