"""The operational log: one JSON object a line, whoever warns, and no sentence that might name somebody."""

import io
import json
import logging

from federation.wire import operations


def lines(log: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def fail() -> None:
    raise ValueError("somebody's name")


def test_event_is_one_line_with_its_fields(log: io.StringIO) -> None:
    operations.info("call", method="/a/b", milliseconds=1.5)
    (line,) = lines(log)
    assert line.pop("at").endswith("+00:00")
    assert line == {"level": "INFO", "event": "call", "method": "/a/b", "milliseconds": 1.5}


def test_fault_is_told_with_where_it_arose_and_without_its_sentence(log: io.StringIO) -> None:
    try:
        fail()
    except ValueError as error:
        operations.failure("internal-error", error)
    (line,) = lines(log)
    assert line["trace"][0] == "ValueError"
    assert "test_operations.py" in line["trace"][1]
    assert "somebody" not in log.getvalue()


def test_warning_of_a_library_is_told_in_the_same_form_without_its_sentence(log: io.StringIO) -> None:
    logging.getLogger("a.library").warning("%s came", "somebody")
    logging.getLogger("a.library").info("not told")
    (line,) = lines(log)
    assert line["event"] == "library-warned"
    assert line["logger"] == "a.library"
    assert "test_operations.py:" in line["where"]
    assert "somebody" not in log.getvalue()


def test_exception_that_a_library_logs_is_told_by_its_frames(log: io.StringIO) -> None:
    try:
        fail()
    except ValueError:
        logging.getLogger("asyncio").exception("a task failed")
    (line,) = lines(log)
    assert line["trace"][0] == "ValueError"
    assert "somebody" not in log.getvalue()


def test_configured_twice_it_tells_once(log: io.StringIO) -> None:
    operations.configure(log)
    logging.getLogger("a.library").warning("x")
    assert len(lines(log)) == 1


def test_line_of_our_own_that_reaches_the_root_is_told_once(log: io.StringIO) -> None:
    logging.getLogger("medunion.operations").propagate = True
    operations.warning("process-ended")
    (line,) = lines(log)
    assert line["event"] == "process-ended"
