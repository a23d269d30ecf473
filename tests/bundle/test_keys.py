"""Keys in files: found with their place and without their text; what only resembles one is let through."""

from pathlib import Path

import pytest

from posttrainbench.bundle import keys

BODY = "Ab3dEf6hIj9lMn2pQr5tUv8xYz0B3dEf6hIj9lMn2pQr5tUv8xYz"
KEYS = [
    f"sk-ant-api03-{BODY}",
    f"sk-{BODY[:48]}",
    f"sk-proj-{BODY}",
    f"sk-or-v1-{BODY}",
    f"AIza{BODY[:35]}",
    f"ya29.{BODY}",
    f"hf_{BODY[:34]}",
    f"ghp_{BODY[:36]}",
    f"github_pat_{BODY}",
    f"npm_{BODY[:36]}",
    f"pypi-AgE{BODY}",
    f"xoxb-{BODY}",
    "AKIAABCDEFGHIJ234567",
    f"Authorization: Bearer {BODY}",
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----",
    f"http://run:{BODY}@127.0.0.1:8788",
]
HARMLESS = [
    "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "task-Ab3dEf6hIj9lMn2pQr5tUv8xYz0B3dEf6hIj9lMn2pQr",
    "sk-learn and scikit-learn-contrib",
    "hf_hub_download(repo_id)",
    "Bearer [redacted]",
    "Bearer <YOUR_TOKEN>",
    "the bearer of this letter is a friend",
    "http://user:pass@localhost",
    "https://example.org/a:b/c@d",
    "sha256:5f2f0e6c3bd1aa2f9cf4b1de9f6d0c9a5f2f0e6c3bd1aa2f9cf4b1de9f6d0c9a",
    "ghp_",
    "AKIA",
]


def found(folder: Path, content: bytes, *secrets: str) -> list[keys.Leak]:
    (folder / "log").write_bytes(content)
    return list(keys.scan({"a/log": folder / "log"}, secrets))


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_found_with_its_place_and_not_repeated(key: str, tmp_path: Path) -> None:
    (leak,) = found(tmp_path, b"first\nsecond\n" + b'{"k": "' + key.encode() + b'"}\n')
    assert (leak.file, leak.line) == ("a/log", 3)
    assert 20 <= leak.offset <= 20 + len("Authorization: ")
    assert BODY[:20] not in str(leak)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_key_is_let_through(text: str, tmp_path: Path) -> None:
    assert found(tmp_path, text.encode()) == []


@pytest.mark.parametrize("before", [keys.CHUNK - 20, keys.CHUNK - keys.OVERLAP - 20, keys.CHUNK - 1, keys.CHUNK])
def test_a_key_on_a_border_between_two_chunks_is_found_once(before: int, tmp_path: Path) -> None:
    content = b"\n" + b" " * (before - 1) + f"hf_{BODY[:34]}".encode() + b"\n" + b" " * keys.CHUNK
    (leak,) = found(tmp_path, content)
    assert (leak.line, leak.offset) == (2, before)


def test_a_known_secret_is_found_as_json_and_urls_write_it(tmp_path: Path) -> None:
    secret = 'ab/cd"ef ghi'
    for form in (secret.encode(), b'ab/cd\\"ef ghi', b"ab%2Fcd%22ef%20ghi"):
        (leak,) = found(tmp_path, b"x" + form + b"y", secret)
        assert leak.offset == 1
    assert found(tmp_path, b"nothing", secret) == []
