"""What the probe found out about KVM, kept per site: a probe costs seconds, and the answer changes only with the machine."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pragmaspec.paths import cache_home

KvmResult = Literal["kvm", "qemu", "watched"]
"""``watched``: KVM kept a first machine running, but no kernel has shown that it works."""


def verdict_file(site_id: str) -> Path:
    """``$XDG_CACHE_HOME/pragmaspec/virt-type-<id>.json``; remove it to have the site probed again."""
    return cache_home() / "pragmaspec" / f"virt-type-{site_id}.json"


def recorded_verdict(site_id: str) -> KvmResult | None:
    """What was found out before; None when nothing readable is recorded."""
    with suppress(OSError, ValueError):
        match json.loads(verdict_file(site_id).read_text(encoding="utf-8")):
            case {"virt_type": "kvm"}:
                return "kvm"
            case {"virt_type": "qemu"}:
                return "qemu"
            case {"virt_type": "watched"}:
                return "watched"
            case _:
                return None
    return None


def record_verdict(site_id: str, verdict: KvmResult) -> None:
    """Keep ``verdict``. A cache that cannot be written costs the next run a probe, no more."""
    file = verdict_file(site_id)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps({"virt_type": verdict}) + "\n", encoding="utf-8")
        part.replace(file)
