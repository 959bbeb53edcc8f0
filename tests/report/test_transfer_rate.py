from pragmaspec.report.transfer_rate import TransferRate

MIB = 2**20


def test_rate_and_remaining_time() -> None:
    pace = TransferRate()
    assert pace.text(None, None, 0) == ""
    assert pace.text(None, 100 * MIB, 0) == "100 MiB"
    assert pace.text(10 * MIB, 100 * MIB, 0) == "10 MiB of 100 MiB"
    assert pace.text(12 * MIB, 100 * MIB, 1) == "12 MiB of 100 MiB"
    assert pace.text(20 * MIB, 100 * MIB, 5) == "20 MiB of 100 MiB, 2 MiB/s, 40 s left"
    assert pace.text(100 * MIB, 100 * MIB, 45) == "100 MiB of 100 MiB"


def test_no_remaining_time_without_a_total() -> None:
    pace = TransferRate()
    assert pace.text(MIB, None, 0) == "1 MiB"
    assert pace.text(11 * MIB, None, 10) == "11 MiB, 1 MiB/s"


def test_rate_uses_recent_samples() -> None:
    pace = TransferRate()
    pace.text(1 * MIB, 1000 * MIB, 0)
    for second in range(1, 101):
        pace.text((100 + second) * MIB, 1000 * MIB, 100 + second)
    assert pace.text(201 * MIB, 1000 * MIB, 201) == "201 MiB of 1000 MiB, 1 MiB/s, 13 min 19 s left"


def test_restarted_transfer_has_no_rate() -> None:
    pace = TransferRate()
    pace.text(90 * MIB, 100 * MIB, 0)
    assert pace.text(1 * MIB, 100 * MIB, 10) == "1 MiB of 100 MiB"
