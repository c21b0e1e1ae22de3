"""Asking the public cloud where a patient's records are, page by page (eq. 25-32): doctors by consent, patients their own.

And patients who asked for them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from federation.clock import Clock
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.person import exhibits
from federation.person.evidence import EvidenceBook
from federation.protocol.search import Answer, Question, RecordLocation
from federation.protocol.shown import Shown
from federation.v1.access_pb2 import AccessEntry
from federation.v1.statement_pb2 import RIGHT_LOG

MOST_PAGES = 128
"""Of one search, 8 locations each: every page that is asked for is kept as evidence. Hospitals stand on them in turn."""

OnMore = Callable[[int], None]
"""Told how many pages of a search were not read."""


class RecordFinder:
    """Finds records for one asker, and keeps what was asked and answered as evidence."""

    def __init__(self, member: Member, cloud: CloudClient, book: EvidenceBook, clock: Clock) -> None:
        """Ask this cloud."""
        self._member = member
        self._cloud = cloud
        self._book = book
        self._clock = clock

    def find(self, shown: Shown, classes: Sequence[str], reference: bytes, on_more: OnMore) -> list[RecordLocation]:
        """Return where records of these classes are, every page; none yet is an empty list.

        `reference` names in the evidence what the search belongs to; `on_more` is told of one that has more pages than are read.
        Raises Authorization for what is wrong with what is shown, Rejected for a false answer.
        """
        return [location for name in classes for location in self._of_class(shown, name, reference, on_more)]

    def log(
        self, shown: Shown, reference: bytes, on_more: OnMore, *, most_pages: int | None = None
    ) -> list[AccessEntry]:
        """Return what the public cloud's log has of a patient, the newest first, so many pages. Raises as `find`."""
        pages = self._pages(Question(shown, right=RIGHT_LOG), reference, on_more, most_pages or MOST_PAGES)
        # What is written meanwhile pushes entries on to the next page, where they come again.
        numbered = {entry.number: entry for answer in pages for entry in answer.accesses}
        return [numbered[number] for number in sorted(numbered, reverse=True)]

    def _of_class(
        self, shown: Shown, department_class: str, reference: bytes, on_more: OnMore
    ) -> Iterator[RecordLocation]:
        for answer in self._pages(Question(shown, department_class), reference, on_more, MOST_PAGES):
            yield from answer.locations

    def _pages(self, question: Question, reference: bytes, on_more: OnMore, most_pages: int) -> Iterator[Answer]:
        pages, page = 1, 0
        while page < min(pages, most_pages):
            answer = self._cloud.search(self._member, replace(question, page=page))
            now = self._clock()
            for exhibit in exhibits.of_answer(answer, self._member.anchors.cloud_id):
                self._book.keep(exhibit, reference, now=now)
            yield answer
            page, pages = page + 1, answer.pages
        if pages > most_pages:
            on_more(pages - most_pages)
