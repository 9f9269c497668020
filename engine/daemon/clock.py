"""Read the machine's clocks, clock_gettime(2)."""

import time


class KernelClock:
    """Reads one clock for people and one for durations."""

    def wall_ns(self) -> int:
        """Read CLOCK_REALTIME, which may jump."""
        return time.time_ns()

    def boot_ns(self) -> int:
        """Read CLOCK_BOOTTIME, which counts since the machine started, suspended time included, and
        never jumps.
        """
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
