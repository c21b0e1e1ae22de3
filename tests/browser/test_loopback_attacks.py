"""Attacks on the agent's port, by real Chromium and by another user of the computer.

What stops an attack is a set of checks. It works against an agent without any of them, so the attack is real; and with each
of them alone it fails, so none is there for show. The switches are the tests', not the product's.
"""

import errno
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from federation.pages import guard, serve
from federation.pages.entrance import Entrance
from federation.pages.guard import CHECKS, COOKIE
from federation.pages.serve import Agent
from tests.browser import bare
from tests.browser.browsing import Visitor, visiting
from tests.browser.conftest import OTHER_UID
from tests.browser.counter import Counter

SAME_SITE_COOKIE, FORM_PROOF = "SameSite=Strict", "the form's proof"
"""Switches of what is no check of the guard."""


class OtherSite:
    """A server of somebody else's on this computer: it shows pages and keeps what it is asked."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.pages: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                site.asked.append((self.path, self.headers.get("Cookie", "")))
                page = site.pages.get(path, "<!doctype html><title>other</title>").encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self.port = self._server.server_port

    @contextmanager
    def serving(self) -> Iterator["OtherSite"]:
        thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


@pytest.fixture
def other_site() -> Iterator[OtherSite]:
    with OtherSite().serving() as site:
        yield site


@dataclass
class Attacked:
    """An agent that lacks some of its checks, and somebody's browser that was let in."""

    agent: Agent
    counter: Counter
    visitor: Visitor

    @property
    def counted(self) -> int:
        return self.counter.worked

    def go(self, address: str) -> Page:
        """Have the victim's browser open an address."""
        page = self.visitor.context.new_page()
        page.goto(address)
        return page


@pytest.fixture
def attack(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Give a way to make an agent without some of what protects it, and to visit it."""

    @contextmanager
    def make(off: set[object]) -> Iterator[Attacked]:
        if FORM_PROOF in off:
            monkeypatch.setattr(Entrance, "require_form_proof", lambda *_args: None)
        if SAME_SITE_COOKIE in off:
            _set_any_site_cookies(monkeypatch)
        counter = Counter()
        agent = Agent(counter, tmp_path, checks=[check for check in CHECKS if check not in off])
        with agent.running(), visiting(browser, agent.new_entrance()) as visitor:
            visitor.allow("")  # an attacker's pages have faults
            visitor.elsewhere("http:/")
            yield Attacked(agent, counter, visitor)

    return make


def _set_any_site_cookies(monkeypatch: pytest.MonkeyPatch) -> None:
    set_cookie = serve.HTMLResponse.set_cookie

    def lax(self: object, *args: str, **options: object) -> None:
        # Chromium sends a cookie without SameSite with another site's post for two minutes ("Lax+POST").
        set_cookie(self, *args, **{**options, "samesite": None})

    monkeypatch.setattr(serve.HTMLResponse, "set_cookie", lax)


def combinations(*stops: object) -> list[tuple[set[object], str]]:
    """Return what to take away: all of what stops an attack, and then all but each."""
    return [(set(stops), "")] + [(set(stops) - {stop}, str(getattr(stop, "__name__", stop))) for stop in stops]


def named(value: object) -> str:
    return "" if isinstance(value, set) else f"with {value} alone" if value else "without any check"


REBINDING = combinations(guard.host_is_ours, guard.browser_was_let_in)


@pytest.mark.parametrize(("off", "check"), REBINDING, ids=named)
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "evil.localhost"])
def test_page_under_another_name_that_leads_to_the_port(attack: Callable, off: set, check: str, name: str) -> None:
    with attack(off) as attacked:
        page = attacked.go(f"http://{name}:{attacked.agent.place.port}/count")
        page.bring_to_front()
        assert (page.title() == "0 counted") is not bool(check)


FORM = """<!doctype html><form id="f" method="post" action="{target}"><input name="csrf" value="0"><input name="seen" value="1"
></form><script>document.getElementById("f").submit()</script>"""
FORGERY = combinations(guard.site_is_ours, guard.origin_is_ours, SAME_SITE_COOKIE, FORM_PROOF)


@pytest.mark.parametrize(("off", "check"), FORGERY, ids=named)
def test_form_that_another_site_sends(attack: Callable, other_site: OtherSite, off: set, check: str) -> None:
    with attack(off) as attacked:
        other_site.pages["/"] = FORM.format(target=f"{attacked.agent.place.origin}/count/up")
        page = attacked.go(f"http://evil.localhost:{other_site.port}/")
        page.wait_for_url(f"{attacked.agent.place.origin}/count**")
        assert attacked.counted == (0 if check else 1)


SAME_SITE = combinations(guard.site_is_ours, guard.origin_is_ours, FORM_PROOF)


@pytest.mark.parametrize(("off", "check"), SAME_SITE, ids=named)
def test_form_that_a_name_below_ours_sends(attack: Callable, other_site: OtherSite, off: set, check: str) -> None:
    """To a browser x.desk-1.localhost is the same site as desk-1.localhost, whoever's port it is: it sends the strict cookie."""
    with attack(off) as attacked:
        other_site.pages["/"] = FORM.format(target=f"{attacked.agent.place.origin}/count/up")
        page = attacked.go(f"http://x.{attacked.agent.place.host}:{other_site.port}/")
        page.wait_for_url(f"{attacked.agent.place.origin}/count**")
        assert attacked.counted == (0 if check else 1)


def test_cookie_is_not_sent_to_another_port_of_this_computer(attack: Callable, other_site: OtherSite) -> None:
    """Cookies don't tell ports apart: only the name of its own keeps it from other users' servers."""
    with attack(set()) as attacked:
        attacked.go(f"http://{attacked.agent.place.host}:{other_site.port}/leaks")
        for name in ("127.0.0.1", "localhost", "desk.localhost", "desk-0000000000000000.localhost"):
            attacked.go(f"http://{name}:{other_site.port}/safe")
        leaked = {urlsplit(path).path for path, cookie in other_site.asked if f"{COOKIE}=" in cookie}
        assert leaked - {"/favicon.ico"} == {"/leaks"}


@pytest.mark.parametrize("let_in", [True, False], ids=["the victim's browser", "another"])
def test_browser_without_the_cookie(attack: Callable, browser: Browser, let_in: bool) -> None:
    with attack(set()) as attacked:
        context = attacked.visitor.context if let_in else browser.new_context()
        page = context.new_page()
        page.goto(f"{attacked.agent.place.origin}/count")
        assert ("NOT_ENTERED" in page.content()) is not let_in
        assert (page.title() == "0 counted") is let_in
        page.close()
        if not let_in:
            context.close()


def test_browser_without_the_cookie_sees_everything_where_nothing_asks_for_it(
    attack: Callable, browser: Browser
) -> None:
    with attack({guard.browser_was_let_in}) as attacked:
        page = browser.new_page()
        page.goto(f"{attacked.agent.place.origin}/count")
        assert page.title() == "0 counted"
        page.close()


def test_ticket_used_twice(attack: Callable, browser: Browser, tmp_path: Path) -> None:
    with attack(set()) as attacked:
        file = attacked.agent.new_entrance()
        stolen = file.read_text()
        attacked.visitor.page.goto(file.as_uri())
        expect(attacked.visitor.page).to_have_title("0 counted")
        assert not file.exists()
        copy = tmp_path / "copy.html"
        copy.write_text(stolen)
        page = browser.new_page()
        page.goto(copy.as_uri())
        page.wait_for_url(f"{attacked.agent.place.origin}/enter**")
        expect(page.locator("code")).to_have_text("TICKET_INVALID")
        page.close()


def test_ticket_stolen_before_it_is_used_shuts_its_owner_out_and_is_seen(attack: Callable, browser: Browser) -> None:
    """A thief with the ticket would have to be this user; the victim sees it, and Enter puts the thief out."""
    with attack(set()) as attacked:
        thief = browser.new_page()
        thief.goto(attacked.agent.new_entrance().as_uri())
        expect(thief).to_have_title("0 counted")
        attacked.visitor.page.reload()
        expect(attacked.visitor.page.locator("code")).to_have_text("NOT_ENTERED")
        attacked.visitor.page.goto(attacked.agent.new_entrance().as_uri())
        expect(attacked.visitor.page).to_have_title("0 counted")
        thief.reload()
        expect(thief.locator("code")).to_have_text("NOT_ENTERED")
        thief.close()


def as_other_user(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Run a program as another user of the computer."""
    user = [f"--reuid={OTHER_UID}", f"--regid={OTHER_UID}", "--clear-groups"]
    return subprocess.Popen(
        ["setpriv", *user, sys.executable, "-I", "-c", program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
    )


GET = textwrap.dedent("""
    import socket, sys
    address, port, head = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    with socket.create_connection((address, port), 60) as connection:
        connection.sendall(head.encode())
        while piece := connection.recv(65536):
            sys.stdout.write(piece.decode())
""")


@pytest.mark.other_user
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("off", [{guard.peer_is_this_user}, set()], ids=["without the check", "with it"])
def test_another_user_who_has_the_cookie(tmp_path: Path, off: set, address: str) -> None:
    agent = Agent(Counter(), tmp_path, checks=[check for check in CHECKS if check not in off])
    with agent.running():
        head = bare.own_head(agent, bare.enter(agent))
        request = "GET /count HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in head) + "\r\n"
        said, _ = as_other_user(GET, address, str(agent.place.port), request).communicate(timeout=60)
        assert ("OTHER_USER" in said) is not bool(off), said
        assert ("0 counted" in said) is bool(off), said


LISTEN = textwrap.dedent("""
    import socket, sys
    try:
        server = socket.create_server((sys.argv[1], int(sys.argv[2])), family=int(sys.argv[3]))
    except OSError as error:
        print("refused:", error.errno, flush=True)
        sys.exit()
    print("listening", flush=True)
    connection, _ = server.accept()
    print("stolen:", connection.recv(65536).decode().split()[1], flush=True)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
""")


@pytest.mark.other_user
@pytest.mark.parametrize("guarded", [False, True], ids=["without our listening there", "with it"])
def test_another_user_who_listens_at_the_other_loopback_address(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """Chromium tries ::1 first for a name under .localhost."""
    if not guarded:
        monkeypatch.setattr(serve, "loopback_sockets", lambda: [serve.socket.create_server(("127.0.0.1", 0))])
    agent = Agent(Counter(), tmp_path)
    with agent.running():
        thief = as_other_user(LISTEN, "::1", str(agent.place.port), str(int(serve.socket.AF_INET6)))
        said = thief.stdout.readline()
        assert said == (f"refused: {errno.EADDRINUSE}\n" if guarded else "listening\n")
        page = browser.new_page()
        page.goto(agent.new_entrance().as_uri())
        if guarded:
            expect(page).to_have_title("0 counted")
        else:
            assert thief.stdout.readline().startswith("stolen: /enter?t=")
        page.close()
        thief.communicate(timeout=60)


@pytest.mark.other_user
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::"])
def test_another_user_cannot_share_the_port(tmp_path: Path, address: str) -> None:
    agent = Agent(Counter(), tmp_path)
    family = serve.socket.AF_INET6 if ":" in address else serve.socket.AF_INET
    with agent.running():
        thief = as_other_user(LISTEN, address, str(agent.place.port), str(int(family)))
        assert thief.communicate(timeout=60)[0] == f"refused: {errno.EADDRINUSE}\n"


@pytest.mark.other_user
def test_another_user_cannot_read_the_ticket(tmp_path: Path) -> None:
    agent = Agent(Counter(), tmp_path)
    with agent.running():
        file = agent.new_entrance()
        for directory in (tmp_path, *tmp_path.parents[:3]):
            directory.chmod(0o755)  # the profile's own is 0700, too: the file's mode alone has to be enough
        said, _ = as_other_user(f"print(open({str(file)!r}).read())").communicate(timeout=60)
        assert "PermissionError" in said
        assert "/enter" not in said


HOSTILE = (
    "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"><b style='color:red'>bold</b>"
)


@pytest.mark.parametrize("guarded", [False, True], ids=["without the policy", "with it"])
def test_markup_that_slipped_into_a_page(attack: Callable, monkeypatch: pytest.MonkeyPatch, guarded: bool) -> None:
    """Escaping is what keeps it out; the policy is for the day when somebody forgets."""
    if not guarded:
        _without(monkeypatch, "content-security-policy")
    with attack(set()) as attacked:
        attacked.counter.unescaped = HOSTILE
        page = attacked.go(f"{attacked.agent.place.origin}/count")
        assert (page.title() == "taken") is not guarded


@pytest.mark.parametrize("guarded", [False, True], ids=["without the policy", "with it"])
def test_script_that_makes_markup_out_of_text(attack: Callable, monkeypatch: pytest.MonkeyPatch, guarded: bool) -> None:
    if not guarded:
        _without(monkeypatch, "content-security-policy")
    with attack(set()) as attacked:
        page = attacked.go(f"{attacked.agent.place.origin}/count")
        done = page.evaluate(MAKE_MARKUP)
        assert done == ("TypeError" if guarded else "made")


MAKE_MARKUP = """() => {
  try { document.querySelector("h1").innerHTML = "<i>x</i>"; return "made"; } catch (error) { return error.name; }
}"""
FRAME = """<!doctype html><title>evil</title><iframe src="{target}"></iframe>"""
FRAMING = combinations(guard.site_is_ours, "frame-ancestors", "x-frame-options", SAME_SITE_COOKIE)


@pytest.mark.parametrize(("off", "check"), FRAMING, ids=named)
def test_frame_around_our_page(
    attack: Callable, other_site: OtherSite, monkeypatch: pytest.MonkeyPatch, off: set, check: str
) -> None:
    if "frame-ancestors" in off:
        _without(monkeypatch, "content-security-policy")
    if "x-frame-options" in off:
        _without(monkeypatch, "x-frame-options")
    with attack(off) as attacked:
        # A third party's frame gets no cookie, whatever it says: a name below ours is no third party.
        name = f"x.{attacked.agent.place.host}" if SAME_SITE_COOKIE in off else "evil.localhost"
        other_site.pages["/"] = FRAME.format(target=f"{attacked.agent.place.origin}/count")
        page = attacked.go(f"http://{name}:{other_site.port}/")
        page.wait_for_load_state("networkidle")
        shown = any("0 counted" in _title(frame) for frame in page.frames[1:])
        assert shown is not bool(check)


def _title(frame: object) -> str:
    try:
        return frame.title()
    except Exception as error:  # noqa: BLE001 - a frame that was refused has no page
        return type(error).__name__


def _without(monkeypatch: pytest.MonkeyPatch, header: str) -> None:
    monkeypatch.setattr(guard, "_OURS", {name: value for name, value in guard._OURS.items() if name != header.encode()})
