from pathlib import Path

from tests.guest_images.tiny import build_tiny


def test_the_tiny_guest_is_reproducible_and_built_once(tmp_path: Path) -> None:
    first, second = build_tiny(tmp_path / "first"), build_tiny(tmp_path / "second")
    for name in ("vmlinuz", "initrd", "disk"):
        assert getattr(first, name).read_bytes() == getattr(second, name).read_bytes()
    built = first.initrd.stat()
    again = build_tiny(tmp_path / "first").initrd.stat()
    assert (built.st_ino, built.st_mtime_ns) == (again.st_ino, again.st_mtime_ns)
