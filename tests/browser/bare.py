"""Requests as no browser makes them: every byte of the head is the test's."""

import re
import socket
from dataclasses import dataclass

from federation.pages.guard import COOKIE
from federation.pages.serve import Agent

TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    status: int
    head: str
    body: str

    @property
    def reason(self) -> str:
        """Return the reason that a refusal names."""
        found = re.search(r"<code>(\w+)</code>", self.body)
        return found[1] if found else ""


def enter(agent: Agent) -> str:
    """Enter, and return the cookie's value."""
    return agent.entrance.enter(agent.entrance.new_ticket())


def own_head(agent: Agent, cookie: str = "") -> list[tuple[str, str]]:
    """Return the headers that a browser sends from the agent's own page."""
    head = [("Host", agent.place.authority), ("Sec-Fetch-Site", "same-origin"), ("Connection", "close")]
    return [*head, ("Cookie", f"{COOKIE}={cookie}")] if cookie else head


def ask(agent: Agent, head: list[tuple[str, str]], target: str = "/count", address: str = "127.0.0.1") -> Answer:
    """Get a page with these headers."""
    return send(agent, "GET", target, head, b"", address)


def post(agent: Agent, head: list[tuple[str, str]], target: str, body: bytes, kind: str = "") -> Answer:
    """Post a body with these headers."""
    kind = kind or "application/x-www-form-urlencoded"
    return send(agent, "POST", target, [*head, ("Content-Type", kind), ("Content-Length", str(len(body)))], body)


def proof(agent: Agent, seen: int | None = None) -> bytes:
    """Return the hidden fields of a form of the page that is shown."""
    seen = agent.side.stage.snapshot.number if seen is None else seen
    return f"csrf={agent.entrance.form_proof(seen)}&seen={seen}".encode()


def send(
    agent: Agent, method: str, target: str, head: list[tuple[str, str]], body: bytes, address: str = "127.0.0.1"
) -> Answer:
    """Send a request, and return what comes."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in head)]
    with socket.create_connection((address, agent.place.port), TIMEOUT_SECONDS) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    text = received.decode()
    head_text, _, body_text = text.partition("\r\n\r\n")
    return Answer(int(text.split()[1]), head_text, body_text)
