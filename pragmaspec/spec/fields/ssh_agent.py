"""A client of the ssh agent that lists public keys (draft-miller-ssh-agent, section 4.4; OpenSSH's ``PROTOCOL.agent``)."""

import socket
import time
from base64 import b64encode

TIMEOUT_S = 2.0
"""Timeout of the whole response: the agent is local, or behind a forwarded connection that may be dead."""
_RESPONSE_BYTES_MAX = 256 * 2**10
_REQUEST_IDENTITIES = 11
_IDENTITIES_ANSWER = 12


def agent_keys(path: str, timeout_s: float = TIMEOUT_S) -> tuple[str, ...]:
    """Return the public key lines of the agent at the Unix socket ``path``; none if there is no valid response."""
    if not path:
        return ()
    try:
        with socket.socket(socket.AF_UNIX) as link:
            deadline = time.monotonic() + timeout_s
            link.settimeout(timeout_s)
            link.connect(path)
            link.sendall((1).to_bytes(4) + bytes([_REQUEST_IDENTITIES]))
            length = int.from_bytes(_read(link, 4, deadline))
            if not 0 < length <= _RESPONSE_BYTES_MAX:
                return ()
            return _identities(_read(link, length, deadline))
    except (OSError, ValueError):  # ValueError: a path with a null character, or a truncated response
        return ()


def _identities(response: bytes) -> tuple[str, ...]:
    if response[0] != _IDENTITIES_ANSWER:
        return ()
    rest, found = response[5:], []
    for _ in range(int.from_bytes(response[1:5])):
        blob, rest = _string(rest)
        comment, rest = _string(rest)
        words = (_string(blob)[0], b64encode(blob), comment)
        found.append(" ".join(word.decode(errors="replace") for word in words))
    return tuple(found)


def _string(data: bytes) -> tuple[bytes, bytes]:
    end = 4 + int.from_bytes(data[:4])
    if len(data) < end:
        raise ValueError(end)
    return data[4:end], data[end:]


def _read(link: socket.socket, length: int, deadline: float) -> bytes:
    data = b""
    while len(data) < length:
        link.settimeout(max(deadline - time.monotonic(), 0.001))
        chunk = link.recv(length - len(data))
        if not chunk:
            raise ValueError(length)
        data += chunk
    return data
