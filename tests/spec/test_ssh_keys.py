from base64 import b64encode

import pytest

from pragmaspec.spec.ssh_keys import is_key, is_path


def line(kind: str, inner: str | None = None, size: int = 64) -> str:
    name = (inner or kind).encode()
    return f"{kind} {b64encode(len(name).to_bytes(4, 'big') + name + bytes(size)).decode()}"


@pytest.mark.parametrize(
    "kind",
    ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com"],
)
def test_keys(kind: str) -> None:
    assert is_key(line(kind))
    assert is_key(line(kind) + " ada@example.org, her laptop")
    assert not is_path(line(kind) + " my.pub")


@pytest.mark.parametrize(
    "text",
    [
        "",
        line("ssh-dss"),
        line("ssh-rsa", "ssh-ed25519"),
        line("ssh-rsa") + "\nssh-rsa x",
        line("ssh-rsa") + " caf\u00e9",
        "ssh-rsa " + "A" * 21,
        f'command="reboot" {line("ssh-rsa")}',
    ],
)
def test_what_is_no_key(text: str) -> None:
    assert not is_key(text)
