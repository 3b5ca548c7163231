"""How far a run has come, and the learning rate there."""

import math
import time

WARM_UP = 0.05
FLOOR = 0.01


def rate(progress: float) -> float:
    """Share of the peak learning rate: a linear warm-up, then half a cosine down to the floor."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, FLOOR)
    fall = (min(progress, 1.0) - WARM_UP) / (1.0 - WARM_UP)
    return FLOOR + (1.0 - FLOOR) * 0.5 * (1.0 + math.cos(math.pi * fall))


class Clock:
    """Progress 0..1, by steps (a repeatable run) or by minutes of training.

    By minutes the rate follows the clock itself, not a speed measured once: on a machine that others use too the
    schedule still ends on time. Time spent before a resume counts, time between the two runs does not.
    """

    def __init__(self, steps: int | None, minutes: float | None, spent: float = 0.0):
        self.steps, self.minutes = steps, minutes
        self.began = time.monotonic() - spent

    def spent(self) -> float:
        """Seconds of this run so far, those before a resume included."""
        return time.monotonic() - self.began

    def progress(self, step: int) -> float:
        if self.minutes is not None:
            return self.spent() / (60.0 * self.minutes)
        return step / self.steps if self.steps else 1.0
