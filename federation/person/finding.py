"""Asking the public cloud where a patient's records are, page by page (eq. 25-32): doctors by consent, patients their own.

And patients who asked for them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from federation.clock import Clock
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.person.evidence import EvidenceBook
from federation.protocol import exhibits
from federation.protocol.search import Answer, Question, RecordLocation
from federation.protocol.shown import Shown
from federation.v1.statement_pb2 import RIGHT_LOG

MOST_PAGES = 128
"""Of one search, hundreds of locations each: every page is kept as evidence. Hospitals stand on them in turn."""

OnMore = Callable[[], None]
"""Told that a search has more pages than were read."""

OnAnswer = Callable[[Answer], None]
"""Told of a page that the public cloud answered."""


class RecordFinder:
    """Finds records for one asker, and keeps what was asked and answered as evidence."""

    def __init__(self, member: Member, cloud: CloudClient, book: EvidenceBook, clock: Clock) -> None:
        """Ask this cloud."""
        self._member = member
        self._cloud = cloud
        self._book = book
        self._clock = clock

    def find(
        self,
        shown: Shown,
        classes: Sequence[str],
        reference: bytes,
        on_more: OnMore,
        on_answer: OnAnswer = lambda _answer: None,
    ) -> list[RecordLocation]:
        """Return where records of these classes are, every page; none yet is an empty list.

        `reference` names in the evidence what the search belongs to; `on_more` is told of one that has more pages than are read,
        `on_answer` of each page.
        Raises Authorization for what is wrong with what is shown, Rejected for a false answer.
        """
        found: list[RecordLocation] = []
        for name in classes:
            for answer in self._pages(Question(shown, name), reference, on_more, MOST_PAGES):
                on_answer(answer)
                found.extend(answer.locations)
        return found

    def log(
        self,
        shown: Shown,
        reference: bytes,
        on_more: OnMore,
        known_size: Callable[[], int],
        *,
        most_pages: int | None = None,
    ) -> Iterator[Answer]:
        """Yield what the public cloud's log has of a patient, the newest first, page by page, so many. Raises as `find`.

        Each page is asked for with the size of the head that is remembered by then: check one before the next is asked for.
        """
        question = Question(shown, right=RIGHT_LOG)
        return self._pages(question, reference, on_more, most_pages or MOST_PAGES, known_size)

    def _pages(
        self,
        question: Question,
        reference: bytes,
        on_more: OnMore,
        most_pages: int,
        known_size: Callable[[], int] = lambda: 0,
    ) -> Iterator[Answer]:
        for _ in range(most_pages):
            answer = self._cloud.search(self._member, replace(question, known_size=known_size()))
            now = self._clock()
            for exhibit in exhibits.of_answer(answer, self._member.anchors.cloud_id):
                self._book.keep(exhibit, reference, now=now)
            yield answer
            if not answer.next:
                return
            question = replace(question, after=answer.next)
        on_more()
