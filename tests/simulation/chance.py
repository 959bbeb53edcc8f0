"""What may go wrong, drawn from a seed: the same seed, the same story."""

from random import Random

RATES = (0.02, 0.1, 0.2, 0.4)
"""How likely a fault is at each place where one can happen; a whole story has one of them."""


class Crash(BaseException):
    """The process died here. Nothing of it runs any more."""


class Chance:
    """Dice, and whether the process has crashed. ``calm`` ends all faults."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)  # noqa: S311 - it must be the same for the same seed
        self.rate = self.dice.choice(RATES)
        self.crash_rate = self.dice.choice((0.0, 0.005, 0.02, 0.05))
        self.crashed = False
        self.calm = False

    def fault(self, share: float = 1.0) -> bool:
        """Whether something goes wrong here; ``share``: where less goes wrong than elsewhere."""
        return not self.calm and self.dice.random() < self.rate * share

    def may_crash(self) -> None:
        """Perhaps die here."""
        if not self.calm and self.dice.random() < self.crash_rate:
            self.crash()

    def crash(self) -> None:
        """Die here. Whoever catches this by mistake is found out by ``crashed``."""
        self.crashed = True
        raise Crash

    def check_alive(self) -> None:
        """Die again if something caught it."""
        if self.crashed:
            raise Crash
