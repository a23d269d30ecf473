"""The name that a TLS client asks for, read from its first message without decrypting anything.

What it does not protect against: the host that a request names inside the encrypted connection (domain fronting by the
Host header) where one server answers for several.
"""

import struct

LARGEST = 64 * 1024
RECORD, MAJOR = b"\x16", b"\x03"
"""First bytes of a handshake record."""
CLIENT_HELLO = 1
SERVER_NAME, ENCRYPTED_HELLO = 0, 0xFE0D
UNRECOGNIZED_NAME = bytes([21, 3, 3, 0, 2, 2, 112])
"""A fatal TLS alert that says so."""


class NotTlsError(Exception):
    """The bytes are no TLS client's, with the reason as a sentence."""


def server_name(content: bytes) -> str | None:
    """The server name in lower case, empty if the client names none, or None if more bytes are needed.

    Raises NotTlsError for what is no ClientHello, or hides the name (encrypted ClientHello)."""
    message = _handshake(content)
    if message is None:
        if len(content) >= LARGEST:
            raise NotTlsError("its first TLS message is larger than 64 KiB")
        return None
    try:
        return _name(message)
    except (struct.error, IndexError, UnicodeDecodeError):
        raise NotTlsError("its first TLS message is broken") from None


def _handshake(content: bytes) -> bytes | None:
    """The first handshake message, put together from its records; None if it is not all there."""
    message, rest = b"", content
    while True:
        if message and message[0] != CLIENT_HELLO:
            raise NotTlsError("its first TLS message is no ClientHello")
        if len(message) >= 4 and len(message) >= (end := 4 + int.from_bytes(message[1:4], "big")):
            return message[4:end]
        if rest[:1] not in (b"", RECORD) or rest[1:2] not in (b"", MAJOR):
            raise NotTlsError("what follows CONNECT is not TLS")
        if len(rest) < 5 or len(rest) < (end := 5 + int.from_bytes(rest[3:5], "big")):
            return None
        if end == 5:
            raise NotTlsError("its first TLS message is broken")
        message, rest = message + rest[5:end], rest[end:]


def _name(hello: bytes) -> str:
    position = 34  # version and random
    position += 1 + hello[position]  # session
    position += 2 + struct.unpack_from(">H", hello, position)[0]  # cipher suites
    position += 1 + hello[position]  # compressions
    if position == len(hello):
        return ""
    end = position + 2 + struct.unpack_from(">H", hello, position)[0]
    position += 2
    found = ""
    while position < end:
        kind, size = struct.unpack_from(">HH", hello, position)
        body = hello[position + 4 : position + 4 + size]
        position += 4 + size
        if kind == ENCRYPTED_HELLO:
            raise NotTlsError("its ClientHello is encrypted, which hides the host")
        if kind == SERVER_NAME:
            length = struct.unpack_from(">H", body, 3)[0]
            if body[2] != 0 or len(body) != 5 + length or found:
                raise NotTlsError("its ClientHello names other than one host")
            found = body[5 : 5 + length].decode("ascii").lower()
    return found
