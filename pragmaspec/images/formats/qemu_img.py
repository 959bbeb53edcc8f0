"""``qemu-img`` under limits: it reads files of strangers, so it gets no network, no environment, and not more than it needs.

The format is always given and names are always absolute paths behind ``--``: otherwise a name such as ``nbd:host`` chooses a
protocol, and a guessed format is the oldest hole of all.
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
"""A conversion that is slower than this has hung."""
_PERCENT = re.compile(r"\(([0-9.]+)/100%\)")
_OVERLAY_BYTES = 2**30
"""More than the tables of an empty overlay ever take."""
_DRIVERS = {"vhd": "vpc"}
"""QEMU's names of formats where they are not ours."""
_LEAKS = 3
"""Exit status of ``qemu-img check`` when all it found is space that nothing uses."""


def driver_name(format_: str) -> str:
    """QEMU's name of a format."""
    return _DRIVERS.get(format_, format_)


def info(file: Path, format_: str) -> dict[str, Any]:
    """What qemu-img says of a file of this format. Raises ImageError when it does not accept it."""
    said = _run(["info", "--output=json", *_source(file, format_)], Limits(cpu_s=INFO_CPU_S), "looked at")
    try:
        told: dict[str, Any] = json.loads(said)
    except ValueError:
        raise _failed("looked at", said[-200:]) from None
    return told


def verify_format(file: Path, format_: str, virtual_size_bytes: int) -> None:
    """Make sure that qemu-img sees the same disk as our own inspector, and no other file. Raises ImageError."""
    told = info(file, format_)
    specific = told.get("format-specific", {}).get("data", {})
    reasons = [
        text
        for wrong, text in (
            (told.get("format") != driver_name(format_), f"it takes it for {told.get('format')}"),
            (told.get("virtual-size") != virtual_size_bytes, f"it sees {told.get('virtual-size')} bytes"),
            ("backing-filename" in told or "full-backing-filename" in told, "it sees a backing file"),
            ("data-file" in specific, "it sees another file with the data"),
            (bool(told.get("encrypted")), "it sees it as encrypted"),
            (any(_protocol(child) != "file" for child in told.get("children", ())), "it sees other files behind it"),
        )
        if wrong
    ]
    if reasons:
        raise ImageError(
            "Image refused",
            f"By its header it is {format_} of {virtual_size_bytes} bytes, but qemu-img says: {', '.join(reasons)}.",
        )


def verify_qcow2(file: Path, virtual_size_bytes: int) -> None:
    """Let qemu-img say what it thinks of a file that we take for a qcow2 of this size. Raises ImageError."""
    verify_format(file, "qcow2", virtual_size_bytes)
    check(file)


def check(file: Path) -> None:
    """Make sure that a qcow2 file is whole. Raises ImageError. Unused space in it is no fault."""
    seconds = INFO_CPU_S + file.stat().st_size // MIN_BYTES_PER_S
    _run(["check", "-q", *_source(file, "qcow2")], Limits(cpu_s=seconds), "checked", accepted=frozenset({0, _LEAKS}))


def convert(
    file: Path,
    format_: str,
    target: Path,
    to: str,
    *,
    most_bytes: int,
    options: str = "",
    counted: Callable[[int], None] | None = None,
) -> None:
    """Convert ``file`` to the new file ``target``, of at most ``most_bytes``. ``counted`` is told percents. Raises ImageError."""
    chosen = ["-o", options] if options else []
    limits = Limits(cpu_s=INFO_CPU_S + most_bytes // MIN_BYTES_PER_S, file_bytes=most_bytes)
    *how, _, name = _source(file, format_)
    _run(
        ["convert", "-p", *how, "-O", driver_name(to), *chosen, "--", name, str(target.absolute())],
        limits,
        "converted",
        heard=lambda said: _count(said, counted),
    )


def create_overlay(overlay: Path, base: Path, format_: str, size_bytes: int) -> None:
    """Make ``overlay`` an empty qcow2 file of ``size_bytes`` that stands on ``base``. Raises ImageError."""
    overlay.unlink(missing_ok=True)
    how = ["-q", "-f", "qcow2", "-F", driver_name(format_), "-b", str(base.absolute())]
    limits = Limits(cpu_s=INFO_CPU_S, file_bytes=_OVERLAY_BYTES)
    _run(["create", *how, "--", str(overlay.absolute()), str(size_bytes)], limits, "stood on")


def set_backing_path(overlay: Path, path: str, format_: str) -> None:
    """Let the header of ``overlay`` say that it stands on ``path``, which need not exist here. Raises ImageError."""
    limits = Limits(cpu_s=INFO_CPU_S, file_bytes=max(_OVERLAY_BYTES, 2 * overlay.stat().st_size))
    how = ["-q", "-u", "-f", "qcow2", "-F", driver_name(format_), "-b", path]
    _run(["rebase", *how, "--", str(overlay.absolute())], limits, "named")


def _count(said: str, counted: Callable[[int], None] | None) -> None:
    """Tell the newest of the percents in ``    (12.34/100%)``."""
    percent = _PERCENT.findall(said)
    if percent and counted:
        counted(int(float(percent[-1])))


def _source(file: Path, format_: str) -> list[str]:
    """How a file is named. The size of a VHD is what its footer says, never what its geometry rounds it to."""
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
    doing: str,
    *,
    accepted: frozenset[int] = frozenset({0}),
    heard: Callable[[str], None] | None = None,
) -> str:
    ended = run_sandboxed("qemu-img", arguments, limits, heard)
    if ended.status not in accepted:
        raise _failed(doing, ended.said.rpartition("\r")[2])
    return ended.said


def _failed(doing: str, said: str) -> ImageError:
    words = " ".join(said.split())[-400:] or "it gave no reason, and may have met a limit on time, memory or size"
    return ImageError("Image refused", f"It cannot be {doing} by qemu-img: {words}")
