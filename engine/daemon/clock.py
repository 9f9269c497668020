"""Read the machine's clocks, clock_gettime(2)."""

import time


class KernelClock:
    """One clock for people, one for durations."""

    def wall_ns(self) -> int:
        """CLOCK_REALTIME: it may jump."""
        return time.time_ns()

    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME: since the machine started, suspended time included; it never jumps."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
