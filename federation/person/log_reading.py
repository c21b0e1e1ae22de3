"""Reading what logs have of a patient, page by page, each checked when it comes: the public cloud's, a hospital's."""

from collections.abc import Callable
from dataclasses import replace

from federation.clock import Clock
from federation.party.member import Member
from federation.person.finding import MOST_PAGES, OnMore, RecordFinder
from federation.person.known_logs import LogAnswer, LogChecker
from federation.person.records import RecordFetcher
from federation.protocol.parties import Entropy
from federation.protocol.search import Answer
from federation.protocol.shown import Shown
from federation.protocol.told_log import LogAuthor, ToldLog
from keystore.identities import HospitalId

OnPage = Callable[[ToldLog], None]
"""Told, at each page, what a log told so far."""


def no_page(_told: ToldLog) -> None:
    """Say nothing of a page."""


class LogReader:
    """Reads logs for one patient, or a deputy. All pages of a look are proved below the head of the first."""

    def __init__(
        self,
        member: Member,
        finder: RecordFinder,
        fetcher: RecordFetcher,
        checker: LogChecker,
        *,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """Ask the public cloud by this finder and hospitals by this fetcher, and check by what this device remembers."""
        self._member = member
        self._finder = finder
        self._fetcher = fetcher
        self._checker = checker
        self._clock = clock
        self._entropy = entropy

    def at_cloud(self, shown: Shown, on_more: OnMore, most_pages: int | None = None) -> ToldLog:
        """Read the public cloud's, so many pages. Raises as `RecordFinder.log`, and as `LogChecker.checked`."""
        asked_at, cloud_id = self._clock(), self._member.anchors.cloud_id
        pages: list[ToldLog] = []

        def known_size() -> int:
            return self._known_size(cloud_id, pages[-1] if pages else None)

        for answer in self._finder.log(shown, self._entropy(16), on_more, known_size, most_pages=most_pages):
            before = pages[-1] if pages else None
            pages.append(
                self._checker.checked(self._said_by_cloud(answer), shown.patient_id, before, now=self._clock())
            )
        return replace(pages[-1], asked_at=asked_at)

    def at_hospital(
        self,
        shown: Shown,
        hospital_id: HospitalId,
        address: str,
        on_page: OnPage = no_page,
        most_pages: int = MOST_PAGES,
        before: ToldLog | None = None,
    ) -> ToldLog:
        """Read a hospital's at this address, so many pages; older ones than `before`, where there is some.

        Raises as `RecordFetcher.log`, and as `LogChecker.checked`.
        """
        told = self._page(shown, hospital_id, address, before)
        on_page(told)
        for _ in range(1, most_pages):
            if told.older is None:
                break
            told = self._page(shown, hospital_id, address, told)
            on_page(told)
        return told

    def _page(self, shown: Shown, hospital_id: HospitalId, address: str, before: ToldLog | None) -> ToldLog:
        asked_at, leaf = (self._clock(), None) if before is None else (before.asked_at, before.older)
        known_size = self._known_size(hospital_id, before)
        manifest, hospital = self._fetcher.log(shown, hospital_id, address, known_size, leaf)
        said = LogAnswer(
            manifest.accesses,
            manifest.log_head if manifest.HasField("log_head") else None,
            LogAuthor(self._member.anchors.realm, hospital_id, hospital.key),
            hospital.key_statement,
            manifest.next if manifest.HasField("next") else None,
        )
        return replace(self._checker.checked(said, shown.patient_id, before, now=self._clock()), asked_at=asked_at)

    def _known_size(self, party_id: str, before: ToldLog | None) -> int:
        """Return of which size the head is that a page is to follow; for a further page it is to be that one."""
        return self._checker.known_size(party_id) if before is None else before.head.head.size

    def _said_by_cloud(self, answer: Answer) -> LogAnswer:
        anchors = self._member.anchors
        author = LogAuthor(anchors.realm, anchors.cloud_id, answer.cloud_key)
        # Where the next page begins the cloud alone reads: behind the last entry, by what is proved of it.
        is_cut = bool(answer.next and answer.accesses)
        older = answer.accesses[-1].leaf_index if is_cut else None
        return LogAnswer(answer.accesses, answer.log_head, author, None, older)
