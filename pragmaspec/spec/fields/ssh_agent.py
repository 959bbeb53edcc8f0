"""The public keys of a running ssh agent (draft-miller-ssh-agent, section 4.4; OpenSSH's ``PROTOCOL.agent``)."""

import socket
import time
from base64 import b64encode

TIMEOUT_S = 2.0
"""For the whole answer: an agent is on this machine, or behind a forwarded connection that may be dead."""
_ANSWER_BYTES_MAX = 256 * 2**10
_REQUEST_IDENTITIES = 11
_IDENTITIES_ANSWER = 12


def agent_keys(path: str, timeout_s: float = TIMEOUT_S) -> tuple[str, ...]:
    """The public key lines of the agent at the Unix socket ``path``, in its order; none when it does not answer as an agent."""
    if not path:
        return ()
    try:
        with socket.socket(socket.AF_UNIX) as link:
            until = time.monotonic() + timeout_s
            link.settimeout(timeout_s)
            link.connect(path)
            link.sendall((1).to_bytes(4) + bytes([_REQUEST_IDENTITIES]))
            length = int.from_bytes(_read(link, 4, until))
            if not 0 < length <= _ANSWER_BYTES_MAX:
                return ()
            return _identities(_read(link, length, until))
    except (OSError, ValueError):  # ValueError: a path with a null character, or an answer that ends early
        return ()


def _identities(answer: bytes) -> tuple[str, ...]:
    if answer[0] != _IDENTITIES_ANSWER:
        return ()
    rest, found = answer[5:], []
    for _ in range(int.from_bytes(answer[1:5])):
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


def _read(link: socket.socket, length: int, until: float) -> bytes:
    data = b""
    while len(data) < length:
        link.settimeout(max(until - time.monotonic(), 0.001))
        piece = link.recv(length - len(data))
        if not piece:
            raise ValueError(length)
        data += piece
    return data
