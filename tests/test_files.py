"""Reading and writing files, pipes, devices and standard streams."""

import io
import os
import pty
import sys
import threading
from pathlib import Path

import pytest

from pragmaspec.files import is_standard_output, is_stream, read_stream, write_stream


def test_regular_files_are_not_streams(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    os.mkfifo(tmp_path / "pipe")
    assert not is_stream(tmp_path / "file")
    assert not is_stream(tmp_path)
    assert not is_stream(tmp_path / "absent")
    assert is_stream(tmp_path / "pipe")
    assert is_stream(Path("/dev/null"))
    assert is_standard_output("-")
    assert not is_standard_output("x")
    assert read_stream(str(tmp_path / "file"), 4) == b"xxxx"
    with pytest.raises(IsADirectoryError):
        read_stream(str(tmp_path), 4)


def test_data_passes_through_a_pipe_unchanged(tmp_path: Path) -> None:
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    data = bytes(range(256)) * 10_000
    writer = threading.Thread(target=write_stream, args=(path, data))
    writer.start()
    assert read_stream(path, 2**30) == data
    writer.join()
    assert read_stream("/dev/null", 10) == b""
    assert read_stream("/dev/zero", 10) == bytes(10)


def test_waiting_for_the_other_end_of_a_pipe_times_out(tmp_path: Path) -> None:
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    with pytest.raises(OSError, match="pipe without a writer"):
        read_stream(path, 10, timeout_s=0.0)
    with pytest.raises(OSError, match="pipe without a reader"):
        write_stream(path, b"x", timeout_s=0.06)
    with pytest.raises(FileNotFoundError):
        write_stream(str(tmp_path / "absent"), b"x")
    with pytest.raises(OSError, match="No space left"):
        write_stream("/dev/full", b"x")


def test_reading_from_a_terminal_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    primary, secondary = pty.openpty()
    with os.fdopen(primary, "rb"), os.fdopen(secondary, encoding="utf-8") as terminal:
        with pytest.raises(OSError, match="it is a terminal"):
            read_stream(os.ttyname(secondary), 10)
        monkeypatch.setattr(sys, "stdin", terminal)
        with pytest.raises(OSError, match="it is a terminal"):
            read_stream("-", 10)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped")))
    assert read_stream("-", 4) == b"pipe"
