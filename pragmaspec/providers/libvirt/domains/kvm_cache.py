"""The cached result of the KVM probe, per site: a probe takes seconds, and the result changes only with the machine."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pragmaspec.paths import cache_home

KvmResult = Literal["kvm", "qemu", "watched"]
"""``watched``: a first machine kept running under KVM, but no kernel has shown that KVM works."""


def cache_file(site_id: str) -> Path:
    """``$XDG_CACHE_HOME/pragmaspec/virt-type-<id>.json``; remove it to have the site probed again."""
    return cache_home() / "pragmaspec" / f"virt-type-{site_id}.json"


def cached_result(site_id: str) -> KvmResult | None:
    """The cached result; None when no valid one is cached."""
    with suppress(OSError, ValueError):
        match json.loads(cache_file(site_id).read_text(encoding="utf-8")):
            case {"virt_type": "kvm"}:
                return "kvm"
            case {"virt_type": "qemu"}:
                return "qemu"
            case {"virt_type": "watched"}:
                return "watched"
            case _:
                return None
    return None


def cache_result(site_id: str, result: KvmResult) -> None:
    """Cache ``result``. If the cache cannot be written, the next run probes again."""
    file = cache_file(site_id)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = file.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({"virt_type": result}) + "\n", encoding="utf-8")
        temporary.replace(file)
