"""``qemu-img`` in a sandbox, because it reads untrusted files.

The format is always given, and names are absolute paths behind ``--``: otherwise a name such as ``nbd:host`` would choose a
protocol, and format probing is an old security hole.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pragmaspec.errors import ImageError
from pragmaspec.images.formats.sandbox import Limits, run_sandboxed

INFO_CPU_S = 30
MIN_BYTES_PER_S = 2 * 2**20
"""A slower conversion has hung."""
_PERCENT = re.compile(r"\(([0-9.]+)/100%\)")
_OVERLAY_BYTES = 2**30
"""More than the tables of an empty overlay take."""
_DRIVERS = {"vhd": "vpc"}
"""QEMU's names of formats that are called otherwise here."""
_LEAKS = 3
"""Exit status of ``qemu-img check`` if it found unused clusters only."""


def driver_name(format_: str) -> str:
    """Return QEMU's name of a format."""
    return _DRIVERS.get(format_, format_)


def info(file: Path, format_: str) -> dict[str, Any]:
    """Return the output of ``qemu-img info`` for a file of this format. Raises ImageError if it is not accepted."""
    output = _run(["info", "--output=json", *_source(file, format_)], Limits(cpu_s=INFO_CPU_S), "read")
    try:
        found: dict[str, Any] = json.loads(output)
    except ValueError:
        raise _failed("read", output[-200:]) from None
    return found


def verify_format(file: Path, format_: str, virtual_size_bytes: int) -> None:
    """Check that qemu-img sees the disk that our own inspector sees, and no other file. Raises ImageError."""
    seen = info(file, format_)
    specific = seen.get("format-specific", {}).get("data", {})
    reasons = [
        text
        for wrong, text in (
            (seen.get("format") != driver_name(format_), f"format {seen.get('format')}"),
            (seen.get("virtual-size") != virtual_size_bytes, f"{seen.get('virtual-size')} bytes"),
            ("backing-filename" in seen or "full-backing-filename" in seen, "a backing file"),
            ("data-file" in specific, "an external data file"),
            (bool(seen.get("encrypted")), "encryption"),
            (any(_protocol(child) != "file" for child in seen.get("children", ())), "other files behind it"),
        )
        if wrong
    ]
    if reasons:
        detail = f"By its header it is {format_} of {virtual_size_bytes} bytes, but qemu-img reports {', '.join(reasons)}."
        raise ImageError("Image refused", detail)


def verify_qcow2(file: Path, virtual_size_bytes: int) -> None:
    """Check with qemu-img that the file is an intact qcow2 of this size. Raises ImageError."""
    verify_format(file, "qcow2", virtual_size_bytes)
    check(file)


def check(file: Path) -> None:
    """Check that a qcow2 file is intact; unused clusters are accepted. Raises ImageError."""
    seconds = INFO_CPU_S + file.stat().st_size // MIN_BYTES_PER_S
    _run(["check", "-q", *_source(file, "qcow2")], Limits(cpu_s=seconds), "checked", accepted=frozenset({0, _LEAKS}))


def convert(
    file: Path,
    format_: str,
    target: Path,
    to: str,
    *,
    max_bytes: int,
    options: str = "",
    on_percent: Callable[[int], None] | None = None,
) -> None:
    """Convert ``file`` to the new file ``target``, of at most ``max_bytes``. Raises ImageError."""
    chosen = ["-o", options] if options else []
    limits = Limits(cpu_s=INFO_CPU_S + max_bytes // MIN_BYTES_PER_S, file_bytes=max_bytes)
    *flags, _, name = _source(file, format_)
    _run(
        ["convert", "-p", *flags, "-O", driver_name(to), *chosen, "--", name, str(target.absolute())],
        limits,
        "converted",
        on_output=lambda output: _report_percent(output, on_percent),
    )


def create_overlay(overlay: Path, base: Path, format_: str, size_bytes: int) -> None:
    """Create ``overlay``, an empty qcow2 file of ``size_bytes`` with ``base`` as its backing file. Raises ImageError."""
    overlay.unlink(missing_ok=True)
    flags = ["-q", "-f", "qcow2", "-F", driver_name(format_), "-b", str(base.absolute())]
    limits = Limits(cpu_s=INFO_CPU_S, file_bytes=_OVERLAY_BYTES)
    _run(["create", *flags, "--", str(overlay.absolute()), str(size_bytes)], limits, "used as a backing file")


def set_backing_path(overlay: Path, path: str, format_: str) -> None:
    """Set the path of the backing file in the header of ``overlay``; it need not exist here. Raises ImageError."""
    limits = Limits(cpu_s=INFO_CPU_S, file_bytes=max(_OVERLAY_BYTES, 2 * overlay.stat().st_size))
    flags = ["-q", "-u", "-f", "qcow2", "-F", driver_name(format_), "-b", path]
    _run(["rebase", *flags, "--", str(overlay.absolute())], limits, "rebased")


def _report_percent(output: str, on_percent: Callable[[int], None] | None) -> None:
    """Report the last percentage in output such as ``    (12.34/100%)``."""
    percent = _PERCENT.findall(output)
    if percent and on_percent:
        on_percent(int(float(percent[-1])))


def _source(file: Path, format_: str) -> list[str]:
    """Return the arguments for a source file. The size of a VHD is that of its footer, not the rounded one of its geometry."""
    path = str(file.absolute())
    if format_ == "vhd":
        quoted = path.replace(",", ",,")
        return ["--image-opts", "--", f"driver=vpc,force_size_calc=current_size,file.driver=file,file.filename={quoted}"]
    return ["-f", driver_name(format_), "--", path]


def _protocol(child: dict[str, Any]) -> str:
    return str(child.get("info", {}).get("format", "file")) if child.get("name") == "file" else "other"


def _run(
    arguments: list[str],
    limits: Limits,
    action: str,
    *,
    accepted: frozenset[int] = frozenset({0}),
    on_output: Callable[[str], None] | None = None,
) -> str:
    result = run_sandboxed("qemu-img", arguments, limits, on_output)
    if result.status not in accepted:
        raise _failed(action, result.output.rpartition("\r")[2])
    return result.output


def _failed(action: str, output: str) -> ImageError:
    reason = " ".join(output.split())[-400:] or "it gave no reason, and may have exceeded a limit on time, memory or size"
    return ImageError("Image refused", f"It cannot be {action} by qemu-img: {reason}")
