"""CPU time of this process and of others, from the operating system; wall time; bytes of messages."""

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import grpc

MICRO, MILLI = 1e6, 1e3


def cpu_seconds(processes: Iterable[int]) -> float:
    """Return the CPU time of other processes so far, all their threads, to the nanosecond (clock_getcpuclockid(3))."""
    return sum(time.clock_gettime((~process << 3) | 2) for process in processes)


def resident_mib(process: int) -> float:
    """Return the memory of a process that is in RAM."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def cpu_us(step: Callable[[], object], rounds: int, each: int = 1) -> list[float]:
    """Return the CPU microseconds of a step, so many rounds of so many runs; the first run is not counted."""
    step()
    return [taken * MICRO / each for taken in _taken(step, rounds, each, time.process_time)]


def cpu_ms(step: Callable[[], object], rounds: int, each: int = 1) -> list[float]:
    """Return the same in milliseconds."""
    return [taken / 1000 for taken in cpu_us(step, rounds, each)]


def in_turns(rounds: int, each: int, *steps: Callable[[], object]) -> list[list[float]]:
    """Return CPU microseconds of several steps, measured in turns, so that a slow moment is everybody's."""
    for step in steps:
        step()
    taken: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds):
        for place, step in enumerate(steps):
            taken[place] += [seconds * MICRO / each for seconds in _taken(step, 1, each, time.process_time)]
    return taken


def wall_ms(step: Callable[[], object], rounds: int) -> list[float]:
    """Return the milliseconds that pass in a step."""
    return [taken * MILLI for taken in _taken(step, rounds, 1, time.perf_counter)]


def served_ms(processes: Sequence[int], step: Callable[[], object], rounds: int, each: int = 1) -> list[float]:
    """Return the CPU milliseconds that servers spend on a step."""
    step()
    return [taken * MILLI / each for taken in _taken(step, rounds, each, lambda: cpu_seconds(processes))]


def _taken(step: Callable[[], object], rounds: int, each: int, clock: Callable[[], float]) -> Iterator[float]:
    gc.collect()
    for _ in range(rounds):
        began = clock()
        for _ in range(each):
            step()
        yield clock() - began


class Weighed:
    """Bytes of messages, serialised, that went over the channels opened while it was told of them."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.sent = self.received = self.messages = 0

    def of(self, step: Callable[[], object]) -> tuple[int, int, int]:
        """Return bytes sent, bytes received and messages, both ways, of a step."""
        self.sent = self.received = self.messages = 0
        step()
        return self.sent, self.received, self.messages

    @contextmanager
    def told(self) -> Iterator["Weighed"]:
        """Weigh what goes over channels that are opened in the block."""
        secure = grpc.secure_channel
        with patch.object(grpc, "secure_channel", lambda *words, **named: _Channel(secure(*words, **named), self)):
            yield self


class _Channel(grpc.Channel):  # type: ignore[misc]
    """A channel whose serialisers count."""

    def __init__(self, channel: grpc.Channel, weighed: Weighed) -> None:
        self._channel = channel
        self._weighed = weighed

    def __getattr__(self, name: str):
        return getattr(self._channel, name)

    def _counting(self, kind: str, method: str, out, back, named):
        def serialised(message):
            data = out(message)
            self._weighed.sent += len(data)
            self._weighed.messages += 1
            return data

        def read(data):
            self._weighed.received += len(data)
            self._weighed.messages += 1
            return back(data)

        return getattr(self._channel, kind)(method, serialised, read, **named)

    def unary_unary(self, method, request_serializer=None, response_deserializer=None, **named):
        return self._counting("unary_unary", method, request_serializer, response_deserializer, named)

    def unary_stream(self, method, request_serializer=None, response_deserializer=None, **named):
        return self._counting("unary_stream", method, request_serializer, response_deserializer, named)

    def stream_unary(self, method, request_serializer=None, response_deserializer=None, **named):
        return self._counting("stream_unary", method, request_serializer, response_deserializer, named)

    def stream_stream(self, method, request_serializer=None, response_deserializer=None, **named):
        return self._counting("stream_stream", method, request_serializer, response_deserializer, named)

    def subscribe(self, callback, try_to_connect=False):
        self._channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback):
        self._channel.unsubscribe(callback)

    def close(self):
        self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self.close()
