"""The serial console of a simulated machine at a real terminal: prints its output, echoes nothing, ends with Ctrl-]."""

from threading import Event

from pragmaspec.providers.terminal import raw, require_terminal, show, type_into


def attach_terminal(output: bytes) -> None:
    """Print the ``output`` of a console, and wait for Ctrl-]. Raises AccessError without a terminal."""
    source, target = require_terminal()

    def answer(keys: bytes) -> int:
        show(target, b"".join(b"\r\n" if key == ord("\r") else b"\a" for key in keys))
        return len(keys)

    with raw(source):
        show(target, output.replace(b"\n", b"\r\n"))
        type_into(answer, source, Event())
