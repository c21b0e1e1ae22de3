"""Ending a call from beside it."""

import asyncio

import pytest

from federation.wire.cutting import cuttable


def test_what_no_task_serves_is_not_cuttable() -> None:
    async def main() -> None:
        loop, entered = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

        def beside_all_tasks() -> None:
            try:
                with cuttable():
                    entered.set_result(None)
            except RuntimeError as error:
                entered.set_exception(error)

        loop.call_soon(beside_all_tasks)
        with pytest.raises(RuntimeError, match="a task of its own"):
            await entered

    asyncio.run(main())
