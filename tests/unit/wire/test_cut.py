"""The end of one call from beside it: with one error, the first, and not where its caller has gone too."""

import asyncio
from collections.abc import Callable

import pytest

from federation.errors import FederationError, Overdue, SilentStream
from federation.wire.cut import Cut, cut_of_this_call, serving_task


def _ended_by(cutting: Callable[[Cut, "asyncio.Task[object]"], object]) -> BaseException | None:
    """Return what ends a task that waits for ever, when this was done to its cut from beside it."""

    async def serve() -> None:
        with Cut(serving_task()) as cut:
            asyncio.get_running_loop().call_soon(cutting, cut, serving_task())
            await asyncio.Event().wait()

    async def main() -> BaseException | None:
        done, _ = await asyncio.wait({asyncio.create_task(serve())})
        task = done.pop()
        return asyncio.CancelledError() if task.cancelled() else task.exception()

    return asyncio.run(main())


def test_call_that_is_cut_twice_ends_with_the_first_error() -> None:
    def twice(cut: Cut, _: object) -> None:
        cut.because_of(SilentStream("first"))
        cut.because_of(Overdue("second"))

    assert isinstance(_ended_by(twice), SilentStream)


def test_cause_of_the_error_is_kept() -> None:
    error = FederationError("told")
    error.__cause__ = cause = ValueError("precise")
    assert _ended_by(lambda cut, _: cut.because_of(error)) is error
    assert error.__cause__ is cause


def test_call_ends_with_the_error_of_its_timer() -> None:
    assert isinstance(_ended_by(lambda cut, _: cut.after(0, lambda: Overdue("now"))), Overdue)


def test_timer_that_was_cancelled_ends_nothing() -> None:
    def one_of_two(cut: Cut, _: object) -> None:
        cut.after(0, lambda: Overdue("never")).cancel()
        cut.after(0.01, lambda: SilentStream("then"))

    assert isinstance(_ended_by(one_of_two), SilentStream)


@pytest.mark.parametrize("is_gone_first", [True, False])
def test_call_that_is_cut_and_whose_caller_has_gone_stays_cancelled(is_gone_first: bool) -> None:
    def both(cut: Cut, task: "asyncio.Task[object]") -> None:
        if is_gone_first:
            task.cancel()
        cut.because_of(Overdue("too late"))
        if not is_gone_first:
            task.cancel()

    assert isinstance(_ended_by(both), asyncio.CancelledError)


def test_other_error_of_a_call_that_is_cut_stands() -> None:
    async def main() -> None:
        with Cut(serving_task()) as cut:
            cut.because_of(Overdue("now"))
            raise FederationError("its own")

    with pytest.raises(FederationError, match="its own"):
        asyncio.run(main())


def test_cut_is_the_calls_own_until_its_block_ends() -> None:
    async def main() -> None:
        with Cut(serving_task()) as cut:
            assert cut_of_this_call() is cut
        with pytest.raises(LookupError):
            cut_of_this_call()

    asyncio.run(main())


def test_what_no_task_serves_can_not_be_cut() -> None:
    async def main() -> None:
        loop, entered = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

        def beside_all_tasks() -> None:
            try:
                entered.set_result(serving_task())
            except RuntimeError as error:
                entered.set_exception(error)

        loop.call_soon(beside_all_tasks)
        with pytest.raises(RuntimeError, match="a task of its own"):
            await entered

    asyncio.run(main())
