"""Health: each change of a dependency is told once, a probe that hangs is a loss, and no watcher is in another's way."""

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from federation.errors import NotFound
from federation.store.errors import StoreFull
from federation.wire import operations
from federation.wire.health import Dependency, Health, watch

SHORT = timedelta(milliseconds=20)
NOT_SERVING, SERVING, UNKNOWN = (
    HealthCheckResponse.NOT_SERVING,
    HealthCheckResponse.SERVING,
    HealthCheckResponse.SERVICE_UNKNOWN,
)


def told_of(probe: Callable[[], bool], number: int) -> list[bool]:
    """Watch until so many changes were told."""
    told: list[bool] = []

    async def main() -> None:
        enough = asyncio.Event()

        def tell(name: str, healthy: bool) -> None:
            assert name == "thing"
            told.append(healthy)
            if len(told) == number:
                enough.set()

        watching = asyncio.create_task(watch(Dependency("thing", probe, SHORT, SHORT * 10), tell))
        await asyncio.wait_for(enough.wait(), 20)
        watching.cancel()

    asyncio.run(main())
    return told


def test_each_change_is_told_once() -> None:
    answers = iter([True, True, False, False, False, True, True, False])
    assert told_of(lambda: next(answers, False), 4) == [True, False, True, False]


def test_probe_that_hangs_is_a_loss_until_it_answers() -> None:
    answer, asked = threading.Event(), []

    def hang() -> bool:
        asked.append(1)
        if len(asked) == 2:
            threading.Timer(1, answer.set).start()
            answer.wait(20)
        return True

    assert told_of(hang, 3) == [True, False, True]


def test_probe_that_raises_is_a_loss() -> None:
    answers = iter([True, OSError("the disk is gone"), True])

    def probe() -> bool:
        answer = next(answers, True)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert told_of(probe, 3) == [True, False, True]


def test_watcher_that_takes_nothing_holds_up_nobody_and_one_that_leaves_deafens_nobody() -> None:
    async def main() -> None:
        health = Health()
        request = HealthCheckRequest(service="token")
        slow, gone, quick = (health.Watch(request, None) for _ in range(3))
        assert [(await anext(stream)).status for stream in (slow, gone, quick)] == [UNKNOWN] * 3
        await gone.aclose()
        for healthy, status in ((True, SERVING), (False, NOT_SERVING), (True, SERVING)):
            health.tell("token", healthy)
            assert (await asyncio.wait_for(anext(quick), 5)).status == status
        assert (await anext(slow)).status == SERVING
        await slow.aclose()
        await quick.aclose()

    asyncio.run(main())


def test_stopping_server_is_not_serving_and_lets_its_watchers_go() -> None:
    async def main() -> None:
        health = Health()
        health.tell("", healthy=True)
        watched = health.Watch(HealthCheckRequest(), None)
        assert (await anext(watched)).status == SERVING
        health.close()
        health.tell("", healthy=True)
        assert [answer.status async for answer in watched] == [NOT_SERVING]
        assert (await health.Check(HealthCheckRequest(), None)).status == NOT_SERVING

    asyncio.run(main())


def test_health_of_what_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound):
        asyncio.run(Health().Check(HealthCheckRequest(service="nothing"), None))


Lines = list[tuple[str, dict[str, str]]]


def lines_of(dependency: Dependency, number: int, caplog: pytest.LogCaptureFixture) -> Lines:
    """Watch a dependency until so many lines were logged, and give them."""
    lines: Lines = []
    enough: list[Callable[[], None]] = []
    handler = logging.Handler()

    def emit(record: logging.LogRecord) -> None:
        lines.append((record.msg, record.fields))  # type: ignore[attr-defined]
        if len(lines) >= number:
            enough[0]()

    handler.emit = emit  # type: ignore[method-assign]

    async def main() -> None:
        done, loop = asyncio.Event(), asyncio.get_running_loop()
        enough.append(lambda: loop.call_soon_threadsafe(done.set))
        watching = asyncio.create_task(watch(dependency, lambda _name, _healthy: None))
        await asyncio.wait_for(done.wait(), 20)
        watching.cancel()

    with caplog.at_level(logging.INFO, "medunion.operations"), operations.also(handler):
        asyncio.run(main())
    return lines[:number]


def test_one_of_several_is_told_by_which_it_is_and_why(caplog: pytest.LogCaptureFixture) -> None:
    answers = iter([True, False])
    one = Dependency(
        "token-2", lambda: next(answers, True), SHORT, SHORT * 10, kind="token-member", reason=lambda: "KEYS_DIFFER"
    )
    assert lines_of(one, 2, caplog) == [
        ("token-member-lost", {"which": "token-2", "reason": "KEYS_DIFFER"}),
        ("token-member-back", {"which": "token-2"}),
    ]


def test_loss_names_its_cause_and_says_nothing_of_an_error_that_is_not_ours(caplog: pytest.LogCaptureFixture) -> None:
    def failing(error: Exception) -> Dependency:
        def probe() -> bool:
            raise error

        return Dependency("database", probe, SHORT, SHORT * 100)

    full = StoreFull("the database refuses: database or\x1b[2J disk is full")
    why = {"reason": "STORE_FULL", "cause": "the database refuses: database or [2J disk is full"}
    assert lines_of(failing(full), 2, caplog) == [("database-probe-failed", why), ("database-lost", why)]
    foreign = ValueError("P:somebody")
    assert lines_of(failing(foreign), 2, caplog)[1] == ("database-lost", {"reason": "ValueError"})


def test_loss_of_what_does_not_answer_says_so(caplog: pytest.LogCaptureFixture) -> None:
    answer = threading.Event()
    hanging = Dependency("database", lambda: answer.wait(20), SHORT, SHORT)
    try:
        ((event, why),) = lines_of(hanging, 1, caplog)
    finally:
        answer.set()
    assert (event, why) == ("database-lost", {"reason": "UNAVAILABLE", "cause": "the probe has not come back"})
