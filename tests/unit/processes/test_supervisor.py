"""A supervisor of real processes: it starts them, replaces one that dies or hangs, and ends them."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from federation.errors import Unavailable
from federation.processes import worker
from federation.processes.supervisor import Supervisor
from hsm import Pin
from tests.waiting import until, until_async

PROGRAM = Path(__file__).with_name("worker_program.py")
LISTEN = ("127.0.0.1:4711", "[::1]:4712")
PIN = "a pin of 17 signs"

pytestmark = pytest.mark.timeout(170)


@dataclass
class Run:
    """A supervisor that runs in the test's event loop."""

    directory: Path
    supervisor: Supervisor
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    ready: list[dict] = field(default_factory=list)

    async def said(self, name: str) -> str:
        """Wait for a file of a process."""
        path = self.directory / name
        await until_async(lambda: path.exists() and path.read_text())
        return path.read_text()

    async def process(self, name: str) -> int:
        return int((await self.said(name)).split()[0])


def is_gone(process: int) -> bool:
    return not Path(f"/proc/{process}").exists()


@asynccontextmanager
async def running(
    directory: Path, way: str = "serves", processes: int = 2, pin: Pin | None = None
) -> AsyncIterator[Run]:
    """Run until the block ends, which sees it end well."""
    command = [sys.executable, str(PROGRAM), way, str(directory)]
    run = Run(directory, Supervisor(command, processes, LISTEN, timedelta(seconds=1), pin))
    serving = asyncio.create_task(run.supervisor.serve(run.stop, run.leave, run.ready.append))
    try:
        await until_async(lambda: run.ready or serving.done())
        yield run
    finally:
        run.stop.set()
        async with asyncio.timeout(60):
            await serving


def test_processes_are_told_their_numbers_and_addresses_and_end_with_the_supervisor(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, processes=3) as run:
            workers = [await run.process(f"{number}.0") for number in range(3)]
            (ready,) = run.ready
            assert ready == {"listen": list(LISTEN), "pin": "", "workers": workers}
        assert all(map(is_gone, workers))
        assert {await run.said(f"{number}.ended") for number in range(3)} == {"stopped"}

    asyncio.run(main())


def test_process_that_is_killed_is_started_again_after_pauses_that_grow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with running(tmp_path) as run:
            other = await run.process("0.0")
            for restarts in range(3):
                os.kill(await run.process(f"1.{restarts}"), signal.SIGKILL)
            await run.said("1.3")
            assert not is_gone(other)
            assert len(run.ready) == 1

    logging.getLogger("medunion.operations").propagate = True
    with caplog.at_level(logging.WARNING, "medunion.operations"):
        asyncio.run(main())
    ends = [record.fields for record in caplog.records if record.message == "process-ended"]
    assert [(end["process"], end["code"], end["again_in_seconds"]) for end in ends] == [
        (1, -signal.SIGKILL, pause) for pause in (0.5, 1.0, 2.0)
    ]


def test_process_that_hangs_is_killed_and_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LONGEST_SILENCE", timedelta(seconds=7))

    async def main() -> None:
        async with running(tmp_path, "hangs", processes=1) as run:
            hung = await run.process("0.0")
            await run.said("0.1")
            assert is_gone(hung)

    asyncio.run(main())


def test_server_whose_process_does_not_come_up_ends_whole(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(Unavailable, match="process 1 of this server ended before it took calls"):
            async with running(tmp_path, "fails") as run:
                pass
        assert is_gone(await run.process("0.0"))

    asyncio.run(main())


def test_processes_leave_when_another_server_takes_over_and_the_supervisor_ends_with_the_last(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as run:
            workers = [await run.process(f"{number}.0") for number in range(2)]
            run.leave.set()
            await until_async(lambda: all(map(is_gone, workers)))
            assert {await run.said(f"{number}.ended") for number in range(2)} == {"left"}

    asyncio.run(main())


def test_pin_reaches_a_process_by_a_pipe_and_no_command_line_shows_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, pin=Pin(PIN)) as run:
            assert run.ready[0]["pin"] == PIN
            os.kill(await run.process("1.0"), signal.SIGKILL)
            for name in ("0.0", "1.0", "1.1"):
                said = await run.said(name)
                assert "--pin-fd" in said
                assert PIN not in said

    asyncio.run(main())


def test_processes_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from datetime import timedelta; from federation.processes.supervisor import Supervisor;"
        "asyncio.run(Supervisor(sys.argv[1:], 2, ['127.0.0.1:1'], timedelta(seconds=1))"
        ".serve(asyncio.Event(), asyncio.Event(), lambda ready: print('ready', flush=True)))"
    )
    words = [sys.executable, "-c", program, sys.executable, str(PROGRAM), "serves", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as supervisor:
        assert supervisor.stdout.readline() == b"ready\n"
        workers = [int((tmp_path / f"{number}.0").read_text().split()[0]) for number in range(2)]
        supervisor.kill()
    until(lambda: all(map(is_gone, workers)))
