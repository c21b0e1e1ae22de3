"""What the agent refuses its browser, and why. `reason` is the name that the page, docs/pages.md and the tests give it."""

from typing import ClassVar

from federation.errors import FederationError


class PageRefused(FederationError):
    """A request that the agent does not answer; never raised itself."""

    to_do = "Open the page from the program: press Enter where it runs."
    status: ClassVar[int] = 403
    """The HTTP status of the answer."""
    tone: ClassVar[str] = "bad"
    """How the page shows it: "bad", or "warn" where nothing is wrong."""


class HeaderDoubled(PageRefused):
    """A header stands twice that decides who asks: two readers of the request could choose different ones."""

    reason = "HEADER_DOUBLED"
    in_words = "This request is not one that a browser makes."


class HostUnknown(PageRefused):
    """The request is for another name than this run's own: somebody else's name leads to this port."""

    reason = "HOST_UNKNOWN"
    in_words = "The program is not at this address. Open the page from the program."


class OtherUser(PageRefused):
    """The connection belongs to another user of this computer."""

    reason = "OTHER_USER"
    in_words = "This page belongs to another user of this computer."


class CrossSite(PageRefused):
    """Another site's page made the browser ask, or the browser is too old to say."""

    reason = "CROSS_SITE"
    in_words = "Another page led here. Open the page from the program."


class OriginUnknown(PageRefused):
    """A form that was sent from another page than ours."""

    reason = "ORIGIN_UNKNOWN"
    in_words = "What was sent did not come from this program's own page."


class NotEntered(PageRefused):
    """The browser has no cookie of this run, or another browser was let in since."""

    reason = "NOT_ENTERED"
    in_words = "This browser was not let in, or another one was since. Open the page from the program."


class Locked(PageRefused):
    """Nobody was at the page for a while, or somebody locked it."""

    reason = "LOCKED"
    tone = "warn"
    in_words = "The page is locked. Unlock it where the program runs: press Enter there."


class TicketInvalid(PageRefused):
    """The ticket was used already, is too old, or was never one."""

    reason = "TICKET_INVALID"
    in_words = "This way in was used already, or it is too old. Press Enter where the program runs, to open the page."


class FormForged(PageRefused):
    """The form does not carry the proof that this run's page holds."""

    reason = "FORM_FORGED"
    in_words = "This form is from before the page was locked, or from another page. Look again."


class FormInvalid(PageRefused):
    """The form has a field that it does not have, has one twice, or is no form."""

    reason = "FORM_INVALID"
    status = 400
    in_words = "What was sent could not be read."


class BodyTooLarge(PageRefused):
    """More was sent than this form may hold."""

    reason = "BODY_TOO_LARGE"
    status = 413
    in_words = "That is more than may be sent here."


class NoSuchPage(PageRefused):
    """There is no page at this address, or it takes no such request."""

    reason = "NO_SUCH_PAGE"
    status = 404
    in_words = "There is no such page."


class MovedOn(PageRefused):
    """The page that sent a command has been overtaken."""

    reason = "MOVED_ON"
    tone = "warn"
    status = 409
    in_words = "This moved on. Something else happened after this page was made, perhaps your own first click."


class PageFault(PageRefused):
    """The agent itself failed."""

    reason = "INTERNAL"
    status = 500
    in_words = "Something went wrong in the program. Where it runs, it says more."
