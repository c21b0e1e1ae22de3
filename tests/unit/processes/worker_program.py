"""A process of a supervisor's: `worker_program.py WAY DIRECTORY --worker-fd N [--pin-fd N]`. It does as WAY says."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from federation.processes.worker import WorkerChannel, tell_ready


async def main(way: str, directory: Path, channel: WorkerChannel, pin: str) -> None:
    slot, stop = channel.slot, asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with channel.attended(slot, stop) as writer:
        if way == "fails" and slot.number == 1:
            while not (directory / "0.0").exists():  # or the other is ended before it can say its number
                await asyncio.sleep(0.02)
            sys.exit(3)
        (directory / f"{slot.number}.{slot.restarts}").write_text(f"{os.getpid()} {' '.join(sys.argv)}")
        tell_ready(writer, {"listen": slot.listen, "pin": pin})
        if way == "hangs" and not slot.restarts:
            await asyncio.sleep(0.1)
            time.sleep(60)
        waits = [asyncio.create_task(event.wait()) for event in (stop, slot.leave)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        (directory / f"{slot.number}.ended").write_text("left" if slot.leave.is_set() else "stopped")


def value_of(option: str) -> int:
    return int(sys.argv[sys.argv.index(option) + 1]) if option in sys.argv else -1


if __name__ == "__main__":
    pin_fd = value_of("--pin-fd")
    given = ""
    if pin_fd >= 0:
        with os.fdopen(pin_fd) as file:
            given = file.read()
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), WorkerChannel(value_of("--worker-fd")), given))
