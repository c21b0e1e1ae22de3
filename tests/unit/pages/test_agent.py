"""The agent asked as no browser asks: each check by itself, forms, bounds, headers, faults."""

import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from federation.pages.forms import MOST_BYTES
from federation.pages.guard import HEADERS, uid_of_peer
from federation.pages.serve import Agent, loopback_sockets
from tests.browser.bare import Answer, ask, enter, own_head, post, proof, send
from tests.browser.counter import Count, Counter

Head = list[tuple[str, str]]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def agent(tmp_path: Path, said: list[str]) -> Iterator[Agent]:
    agent = Agent(Counter(), tmp_path, say=said.append)
    with agent.running():
        yield agent


@pytest.fixture
def head(agent: Agent) -> Head:
    return own_head(agent, enter(agent))


@pytest.fixture
def own_post(agent: Agent, head: Head) -> Head:
    return [*head, ("Origin", agent.place.origin)]


def without(head: Head, name: str) -> Head:
    return [pair for pair in head if pair[0] != name]


def refused(answer: Answer, reason: str, status: int = 403) -> None:
    assert (answer.status, answer.reason) == (status, reason)
    for name, value in HEADERS.items():
        assert f"\r\n{name}: {value}" in answer.head


def test_own_page_is_answered_with_every_header_once(agent: Agent, head: Head) -> None:
    answer = ask(agent, head)
    assert answer.status == 200
    lines = answer.head.lower().split("\r\n")
    for name, value in HEADERS.items():
        assert [line for line in lines if line.startswith(f"{name}:")] == [f"{name}: {value}".lower()]
    assert not [line for line in lines if line.startswith(("server:", "access-control"))]


@pytest.mark.parametrize("name", ["Cookie", "Sec-Fetch-Site", "Origin"])
def test_header_that_stands_twice_is_refused(agent: Agent, own_post: Head, name: str) -> None:
    again = next(pair for pair in own_post if pair[0] == name)
    refused(ask(agent, [*own_post, again]), "HEADER_DOUBLED")
    refused(ask(agent, [*own_post, (name, "other")]), "HEADER_DOUBLED")


def test_host_that_stands_twice_is_no_request(agent: Agent, head: Head) -> None:
    assert ask(agent, [*head, ("Host", "evil.example")]).status == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "evil.example", "", "{}.", "x.{}"])
def test_another_host_is_refused(agent: Agent, head: Head, host: str) -> None:
    name = f"{host.format(agent.place.host)}:{agent.place.port}"
    refused(ask(agent, [("Host", name), *without(head, "Host")]), "HOST_UNKNOWN")


def test_own_host_at_another_port_is_refused(agent: Agent, head: Head) -> None:
    refused(ask(agent, [("Host", f"{agent.place.host}:80"), *without(head, "Host")]), "HOST_UNKNOWN")
    refused(ask(agent, [("Host", agent.place.host), *without(head, "Host")]), "HOST_UNKNOWN")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "none, same-origin"])
def test_what_another_site_asks_for_is_refused(agent: Agent, head: Head, site: str) -> None:
    for target in ("/count", "/", "/static/common.css"):
        refused(ask(agent, [*without(head, "Sec-Fetch-Site"), ("Sec-Fetch-Site", site)], target), "CROSS_SITE")


def test_browser_that_does_not_say_who_asks_is_refused(agent: Agent, head: Head) -> None:
    refused(ask(agent, without(head, "Sec-Fetch-Site")), "CROSS_SITE")


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://{}", "https://{}:{}", "http://x.{}:{}", ""])
def test_post_from_another_origin_is_refused(agent: Agent, head: Head, origin: str) -> None:
    given = origin.format(agent.place.host, agent.place.port)
    refused(post(agent, [*head, ("Origin", given)], "/count/up", proof(agent)), "ORIGIN_UNKNOWN")


def test_post_that_names_no_origin_is_refused(agent: Agent, head: Head) -> None:
    refused(post(agent, head, "/count/up", proof(agent)), "ORIGIN_UNKNOWN")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_any_method_but_get_and_head_needs_the_origin(agent: Agent, head: Head, method: str) -> None:
    refused(send(agent, method, "/count", head, b""), "ORIGIN_UNKNOWN")


@pytest.mark.parametrize(
    "cookie", ["", "medunion=", "medunion=x", "desk={}", "medunion={}; medunion={}", "medunion=x; medunion={}", "=;;"]
)
def test_browser_without_the_cookie_is_refused(agent: Agent, head: Head, cookie: str) -> None:
    value = next(value for name, value in head if name == "Cookie").partition("=")[2]
    answer = ask(agent, [*without(head, "Cookie"), ("Cookie", cookie.format(value, value))])
    refused(answer, "NOT_ENTERED")


@pytest.mark.parametrize(
    "target",
    ["/", "/count", "/events?seen=1", "/absent", "/static/../count", "/static/%2e%2e/count", "//enter", "/enter/"],
)
def test_no_page_is_given_without_the_cookie(agent: Agent, target: str) -> None:
    answer = ask(agent, own_head(agent), target)
    assert (answer.status, answer.reason) in {(403, "NOT_ENTERED"), (404, "NO_SUCH_PAGE")}
    assert "Count up" not in answer.body


@pytest.mark.parametrize("target", ["/enter", "/enter?t=", "/enter?t=x", "/enter?t=%00"])
def test_nobody_enters_without_the_ticket(agent: Agent, target: str) -> None:
    agent.new_entrance()
    refused(ask(agent, own_head(agent), target), "TICKET_INVALID")


def test_cookie_is_for_this_host_this_session_and_no_script(agent: Agent) -> None:
    answer = ask(agent, own_head(agent), f"/enter?t={agent.entrance.new_ticket()}")
    cookie = next(line for line in answer.head.split("\r\n") if line.lower().startswith("set-cookie:"))
    given = {part.strip().partition("=")[0].lower() for part in cookie.partition(":")[2].split(";")}
    assert given == {"medunion", "httponly", "samesite", "path"}
    assert "samesite=strict" in cookie.lower()


def test_form_is_taken_and_leads_home(agent: Agent, own_post: Head) -> None:
    answer = post(agent, own_post, "/count/up", proof(agent))
    assert answer.status == 303
    assert "\r\nlocation: /\r\n" in answer.head + "\r\n"
    assert agent.side.stage.snapshot.state == Count(1)


@pytest.mark.parametrize(
    "body", [b"", b"csrf=&seen=1", b"csrf={}&seen=2", b"csrf={}", b"csrf={}&seen=", b"csrf={}&seen=1e3"]
)
def test_form_without_its_proof_is_refused(agent: Agent, own_post: Head, body: bytes) -> None:
    body = body.replace(b"{}", agent.entrance.form_proof(1).encode())
    refused(post(agent, own_post, "/count/up", body), "FORM_FORGED")
    assert agent.side.stage.snapshot.number == 1


def test_form_of_an_overtaken_page_is_refused(agent: Agent, own_post: Head) -> None:
    before = proof(agent)
    assert post(agent, own_post, "/count/up", before).status == 303
    refused(post(agent, own_post, "/count/up", before), "MOVED_ON", 409)
    assert agent.side.stage.snapshot.state == Count(1)


@pytest.mark.parametrize("more", [b"&other=1", b"&words=1&words=2", b"&seen=1", b"&words=%ff", b"&words=\xff"])
def test_form_with_a_field_that_it_does_not_have_or_has_once_is_refused(
    agent: Agent, own_post: Head, more: bytes
) -> None:
    refused(post(agent, own_post, "/count/words", proof(agent) + more), "FORM_INVALID", 400)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/json", "multipart/form-data", "multipart/form-data; boundary=x"]
)
def test_body_that_is_no_form_is_refused(agent: Agent, own_post: Head, kind: str) -> None:
    refused(post(agent, own_post, "/count/words", proof(agent), kind), "FORM_INVALID", 400)


def test_form_as_long_as_it_may_be_is_taken(agent: Agent, own_post: Head) -> None:
    fields = proof(agent) + b"&words="
    body = fields + b"a" * (MOST_BYTES - len(fields))
    assert post(agent, own_post, "/count/words", body).status == 303
    refused(post(agent, own_post, "/count/words", body + b"a"), "BODY_TOO_LARGE", 413)


def test_long_body_is_refused_without_being_held(agent: Agent, own_post: Head) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    piece = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    head = [*own_post, ("Content-Type", "application/x-www-form-urlencoded"), ("Transfer-Encoding", "chunked")]
    # What is sent is not held by the test either: the agent reads while it is written.
    assert send_pieces(agent, head, (piece for _ in range(3200))) == "BODY_TOO_LARGE"  # 200 MiB
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 64 * 1024


def send_pieces(agent: Agent, head: Head, pieces: Iterator[bytes]) -> str:
    with socket.create_connection(("127.0.0.1", agent.place.port), 60) as connection:
        lines = ["POST /count/words HTTP/1.1", *(f"{name}: {value}" for name, value in head)]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        for piece in pieces:
            connection.sendall(piece)
        connection.sendall(b"0\r\n\r\n")
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return Answer(0, "", received.decode()).reason


def test_upload_is_never_written_to_a_temporary_file(
    agent: Agent, own_post: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rollover(_self: object) -> None:
        raise AssertionError("written to a temporary file")

    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", rollover)
    photo = b"\xff" * 3_000_000
    seen = agent.side.stage.snapshot.number
    parts = [
        ("csrf", agent.entrance.form_proof(seen).encode(), ""),
        ("seen", str(seen).encode(), ""),
        ("photo", photo, "a.jpg"),
    ]
    body = (
        b"".join(
            b'--x\r\nContent-Disposition: form-data; name="'
            + name.encode()
            + b'"'
            + (f'; filename="{file}"'.encode() if file else b"")
            + b"\r\n\r\n"
            + value
            + b"\r\n"
            for name, value, file in parts
        )
        + b"--x--\r\n"
    )
    assert post(agent, own_post, "/count/photo", body, "multipart/form-data; boundary=x").status == 303
    assert agent.side.stage.snapshot.state.words == "a.jpg: 3000000"


def test_absent_page_and_wrong_method_are_told(agent: Agent, head: Head, own_post: Head) -> None:
    refused(ask(agent, head, "/absent"), "NO_SUCH_PAGE", 404)
    refused(ask(agent, head, "/count/up"), "NO_SUCH_PAGE", 404)
    refused(post(agent, own_post, "/count", proof(agent)), "NO_SUCH_PAGE", 404)
    refused(ask(agent, head, "/events"), "NO_SUCH_PAGE", 404)


def test_fault_of_ours_shows_nothing_of_itself(agent: Agent, head: Head, caplog: pytest.LogCaptureFixture) -> None:
    answer = ask(agent, head, "/count/broken")
    refused(answer, "INTERNAL", 500)
    assert "4711" not in answer.body + answer.head
    assert "RuntimeError" not in answer.body
    assert "RuntimeError" in caplog.text  # for whoever looks where the program runs


def test_lock_shuts_the_page_at_once_and_calls_the_side(agent: Agent, own_post: Head, said: list[str]) -> None:
    answer = post(agent, own_post, "/lock", proof(agent))
    assert answer.status == 303
    refused(ask(agent, own_post), "LOCKED")
    agent.unlock()
    assert agent.side.locked == 1
    refused(ask(agent, own_post), "LOCKED")  # until there is a new ticket, and then it is another cookie
    head = own_head(agent, enter(agent))
    assert ask(agent, head).status == 200
    refused(ask(agent, own_post), "NOT_ENTERED")
    assert said == ["The page is locked. Press Enter to unlock it."]


def test_page_that_listens_keeps_nobody_awake(agent: Agent, head: Head, own_post: Head) -> None:
    before = agent.entrance._last_seen
    ask(agent, head)
    ask(agent, head, "/static/common.css")
    assert agent.entrance._last_seen == before
    ask(agent, [*head, ("Sec-Fetch-User", "?1")])
    by_a_link = agent.entrance._last_seen
    assert by_a_link > before
    assert post(agent, own_post, "/awake", proof(agent)).status == 204
    assert agent.entrance._last_seen > by_a_link


def test_refused_request_keeps_nobody_awake(agent: Agent, own_post: Head) -> None:
    before = agent.entrance._last_seen
    refused(post(agent, without(own_post, "Cookie"), "/awake", proof(agent)), "NOT_ENTERED")
    assert agent.entrance._last_seen == before


def test_both_loopback_addresses_are_ours() -> None:
    sockets = loopback_sockets()
    try:
        assert [each.getsockname()[0] for each in sockets] == ["127.0.0.1", "::1"]
        assert len({each.getsockname()[1] for each in sockets}) == 1
    finally:
        for each in sockets:
            each.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_page_is_answered_on_both(agent: Agent, head: Head, address: str) -> None:
    assert ask(agent, head, address=address).status == 200


def test_connection_that_nobody_has_is_nobodys(agent: Agent) -> None:
    assert uid_of_peer(("127.0.0.1", 1), agent.place.port) is None
    assert uid_of_peer(("::1", 1), agent.place.port) is None
    assert uid_of_peer(("192.0.2.1", 1), agent.place.port) is None
