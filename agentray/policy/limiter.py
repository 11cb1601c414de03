"""Adaptive concurrency for one endpoint: as many requests at once as raise its throughput, and no more.

Nobody knows how many requests an endpoint takes, and it changes while a run goes on. The limit climbs a hill:
it grows while throughput grows with it, steps back where requests only take longer, and shrinks when the
endpoint is overloaded. Throughput is measured in windows of about `limit` replies.

    slow start   double until that no longer pays
    hold         some windows, then a trial: a step up, or down after a failed step up
    trial        keep the step and try another, or undo it and hold
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

_WINDOW_S = 0.05
"""Shortest window: decisions more often would cost more than they bring."""
_WINDOW_CALLS = 32
"""Fewest completions of a window, except where four times the limit is less: few latencies say little."""
_FULL = 0.8
"""Share of the limit that must be in flight on average for a window to say anything about the limit."""
_STEP = 1.25
_DOUBLING_PAYS = 1.05
"""Ratio of throughputs from which slow start goes on."""
_STEP_PAYS = 1.03
"""Ratio of throughputs from which a step up is kept; at 1.0 noise alone would carry the limit up."""
_STEP_COSTS = 0.985
"""Ratio of throughputs from which a step down is kept."""
_SLUMP = 0.67
"""Ratio of throughputs at an unchanged limit that means risen latency: the next trial is a step down."""
_HOLD_WINDOWS = 8
_SHRINK = 0.7
_OVERLOADED = 0.2
"""Share of overloads from which the limit shrinks. A few in a hundred are no lack of room: shrinking for each
would end at a limit of 1, and every one is asked again anyway."""
_MEMORY = 1 / 64
"""Weight of one request in that share."""


class Limiter:
    """Lets a varying number of requests through, first come, first served.

    Args:
        most: Highest limit ever.
        start: First limit; slow start doubles it per window while that pays.
        clock: Seconds, monotonic.
        adaptive: False keeps the limit where it starts.
    """

    def __init__(
        self,
        most: int,
        start: int = 16,
        clock: Callable[[], float] = time.monotonic,
        adaptive: bool = True,
    ) -> None:
        self._most = most
        self._limit = min(start, most)
        self._clock = clock
        self._adaptive = adaptive
        self._in_flight = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._slow_start = True
        self._doubted = False  # whether the last window spoke against going on with slow start
        self._upward = True  # direction of the next trial
        self._trial_from: int | None = None  # the limit before the trial that is running
        self._settling = False  # the running window still holds replies from before the step
        self._rate: float | None = None  # replies per second that a trial is measured against
        self._held = 0  # windows at this limit since the last trial
        self._round_trip_s = 0.0
        self._overloads = 0.0  # share of the recent requests
        self._shrunk_at = float("-inf")
        self._open_window(clock())

    @property
    def limit(self) -> int:
        """How many requests may be in flight now."""
        return self._limit

    @property
    def in_flight(self) -> int:
        """How many requests are; above `limit` for a while after it shrank."""
        return self._in_flight

    async def acquire(self) -> None:
        """Wait for a slot; whoever gets one calls `release` once."""
        if self._in_flight < self._limit:  # then nobody waits: `release` has let all in that fit
            self._in_flight += 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # the slot was given in the same turn of the loop
                self._in_flight -= 1
                self._let_in()
            raise

    def release(self, latency_s: float | None, *, overloaded: bool) -> None:
        """Give a slot back.

        Args:
            latency_s: How long the request took; None when that says nothing (it was cancelled, or failed).
            overloaded: The endpoint had too much to do: status 429, or no answer in time.
        """
        if self._adaptive and latency_s is not None:
            if overloaded:
                self._shrink(latency_s)
            else:
                if self._count >= self._window_calls:
                    self._close_window()
                self._count += 1
                self._latency_sum_s += latency_s
                self._in_flight_sum += self._in_flight
                self._overloads -= self._overloads * _MEMORY
        self._in_flight -= 1
        if self._waiters:
            self._let_in()

    def _let_in(self) -> None:
        while self._waiters and self._in_flight < self._limit:
            waiter = self._waiters.popleft()
            if not waiter.done():  # done: its caller was cancelled
                self._in_flight += 1
                waiter.set_result(None)

    def _open_window(self, now: float) -> None:
        self._opened_at = now
        self._last_at: float | None = None  # time of the last completion, once the window may end
        self._window_calls = max(self._limit, min(_WINDOW_CALLS, 4 * self._limit))
        if self._trial_from is not None and not self._slow_start and not self._settling:
            self._window_calls *= 2  # one window decides here, where holding averages several
        self._count = 0
        self._latency_sum_s = 0.0
        self._in_flight_sum = 0

    def _close_window(self) -> None:
        """Learn from the window before this completion, unless it was short or the callers had little to do.

        Replies to requests that began together end together. A window must not cut through such a burst, so
        it ends before a pause of at least half the mean.
        """
        now, last = self._clock(), self._last_at
        self._last_at = now
        if last is None:
            return
        elapsed_s = last - self._opened_at
        if elapsed_s < _WINDOW_S or (now - last) * self._count < 0.5 * elapsed_s:
            return
        self._round_trip_s = self._latency_sum_s / self._count
        if self._in_flight_sum >= _FULL * self._limit * self._count:
            rate = self._count / elapsed_s
            if self._settling:
                self._settling = False
            elif self._trial_from is None:
                self._hold(rate)
            else:
                self._judge(self._trial_from, rate)
        self._open_window(last)

    def _hold(self, rate: float) -> None:
        """Average the throughput at this limit, and start a trial when it is time."""
        if self._rate is None or rate < _SLUMP * self._rate:
            self._upward = self._upward and self._rate is None
            self._rate, self._held = rate, 0
        self._held += 1
        self._rate += (rate - self._rate) / self._held
        if self._slow_start or self._held >= _HOLD_WINDOWS:
            self._try()

    def _try(self) -> None:
        """Change the limit for a trial, where there is room in that direction."""
        before = self._limit
        if self._slow_start:
            after = before * 2
        elif self._upward:
            after = max(before + 1, int(before * _STEP))
        else:
            after = int(before / _STEP)
        after = max(1, min(after, self._most))
        if after == before:
            self._settle_at(before)
            return
        self._trial_from, self._limit = before, after
        self._settling = not self._slow_start

    def _judge(self, before: int, rate: float) -> None:
        """Keep or undo the trial's limit; what was kept is followed by a trial in the same direction."""
        assert self._rate is not None
        up = self._limit > before
        pays = _DOUBLING_PAYS if self._slow_start else _STEP_PAYS if up else _STEP_COSTS
        if rate >= pays * self._rate:
            if up:  # else the first rate stays the measure: going down, small losses must not add up
                self._rate = rate
            self._doubted = False
            self._try()
        elif self._slow_start and not self._doubted:
            self._doubted = True  # leaving slow start for a moment's noise would cost many small steps
        else:
            self._upward = not up
            self._settle_at(before)

    def _settle_at(self, limit: int) -> None:
        """Hold a limit, and measure anew what it yields."""
        self._settling = limit != self._limit
        self._limit = limit
        self._slow_start = self._doubted = False
        self._trial_from = self._rate = None
        self._held = 0

    def _shrink(self, latency_s: float) -> None:
        """Shrink when overloads are frequent, at most once per round trip."""
        now = self._clock()
        since_s = now - self._shrunk_at
        if latency_s > since_s:  # sent before the limit shrank
            return
        self._overloads += (1 - self._overloads) * _MEMORY
        if self._overloads < _OVERLOADED or since_s < self._round_trip_s:
            return
        self._shrunk_at, self._overloads = now, 0.0
        self._upward = True
        self._settle_at(max(1, int(self._limit * _SHRINK)))
        self._open_window(now)
