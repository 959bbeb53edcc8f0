import pytest

from pragmaspec.spec.quantity import AmountError, bytes_of, format_size, milliseconds_of


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1 GiB", 2**30),
        ("512MiB", 2**29),
        ("20 GB", 20 * 10**9),
        ("1.5 KiB", 1536),
        ("0.1 KiB", 103),
        ("7 B", 7),
        ("1 TB", 10**12),
    ],
)
def test_bytes(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize(
    ("text", "length"), [("90 s", 90_000), ("10min", 600_000), ("1.5 h", 5_400_000), ("20 ms", 20), ("0.0001 s", 1)]
)
def test_milliseconds(text: str, length: int) -> None:
    assert milliseconds_of(text) == length


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("1024", "write 1024 MiB"),
        ("2", "write 2 GiB"),
        ("1 gib", "write 1 GiB"),
        ("1G", "write 1 GiB"),
        ("1 Kb", "write 1 kB"),
        ("1 parsec", "write a number and one of the units B, kB, KiB, MB, MiB, GB, GiB, TB, TiB, such as 2 GiB or 512 MiB"),
        ("much", "write a number and a unit, such as 2 GiB or 512 MiB"),
        ("1  GiB", "write a number and a unit, such as 2 GiB or 512 MiB"),
    ],
)
def test_invalid_sizes_are_rejected_with_advice(text: str, advice: str) -> None:
    with pytest.raises(AmountError) as caught:
        bytes_of(text)
    assert caught.value.args == (advice,)


def test_invalid_durations_are_rejected_with_advice() -> None:
    with pytest.raises(AmountError, match="write 90 s"):
        milliseconds_of("90")
    with pytest.raises(AmountError, match="write 5 min"):
        milliseconds_of("5 Minutes")


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (2**31, "2 GiB"),
        (2**31 + 1, "2.001 GiB"),
        (1540 * 2**30, "1.504 TiB"),
        (2**40 - 1, "1024 GiB"),
        (2**54, "16384 TiB"),
    ],
)
def test_format_size_rounds_up(size: int, words: str) -> None:
    assert format_size(size) == words
    assert size < 1024 or bytes_of(words) >= size
