"""What patients hide, as the public cloud and every hospital keep it: sealed, under an HMAC of ID_P, verified before.

patient key = HMAC(W, T("restriction")), W = HMAC(index key, T("identity", ID_P))

Whoever asks about a patient must not learn by the time that it takes whether there is a restriction: what is looked up, opened
and read is as much where there is none. So a patient's restriction, and the decoy in its place, are a batch of their own: the
token is asked for the one as for the other, and what a process remembers of it, for who asks alone, is the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from federation.errors import Corrupt, FederationError, RestrictionSuperseded
from federation.party.reencryption import Steps, sealed_under
from federation.protocol.restriction import Restriction, peek_restriction
from federation.store.errors import AlreadyStored, StoreError
from federation.store.restrictions import Restrictions
from federation.store.rows import Act, Deliveries, StoredRestriction
from federation.v1 import statement_pb2 as pb
from federation.v1.restrictions_pb2 import DueRestriction, HeldRestriction, ShownRestriction
from federation.v1.statement_pb2 import SignedStatement
from federation.wire import operations
from keystore.errors import SealBroken
from keystore.identities import ANY, HospitalId, PatientId
from keystore.keyring import Indexing, Sealing, Together
from keystore.transcript import transcript


@dataclass(frozen=True)
class RestrictionBook:
    """The restrictions in a store, under these keys of the token; and who asks now."""

    store: Restrictions
    index: Indexing
    sealing: Sealing
    asker: str = ""

    def asked_by(self, asker: str) -> "RestrictionBook":
        """Return the same, for a party that was proved to ask: what the token gave is remembered for it alone."""
        return replace(self, asker=asker)

    def of(self, patient_id: PatientId) -> Restriction:
        """Return what a patient hides. Raises Corrupt: what does not open hides everything."""
        shown, is_kept = self._looked_up(patient_id)
        restriction = peek_restriction(shown)
        return restriction if is_kept else Restriction(patient_id)

    def shown_of(self, patient_id: PatientId) -> ShownRestriction | None:
        """Return what stands of a patient, with what it is checked by. Raises Corrupt."""
        shown, is_kept = self._looked_up(patient_id)
        return shown if is_kept else None

    def keep(
        self, patient_id: PatientId, number: int, shown: ShownRestriction, *, follows: int | None = None, act: Act
    ) -> None:
        """Keep a verified restriction in place of the one before.

        Raises RestrictionSuperseded unless its number is above that one's, and where it is said what it follows, that stands.
        """
        (generation, key), *older = self._keys(patient_id)
        sealed = self._sealed(shown.SerializeToString(deterministic=True), key)
        row = StoredRestriction(key, number, sealed, generation)
        try:
            self.store.put(row, older=[it for _, it in older], follows=follows, act=act)
        except AlreadyStored as error:
            # rst.9
            raise RestrictionSuperseded("what stands is as new, newer, or not what this one follows") from error

    def let_have(self, patient_id: PatientId, hospital_ids: Sequence[HospitalId], *, again: bool = False) -> None:
        """Let what a patient hides, if anything, be due at these hospitals; `again` also where it was delivered."""
        keys = [key for _, key in self._keys(patient_id)]
        # Few patients hide anything: who publishes for the others writes nothing more.
        if self.store.of(keys) is not None:
            self.store.is_due_at(hospital_ids, keys, again=again)

    def deliveries(self, patient_id: PatientId) -> Deliveries:
        """Count the hospitals that have what a patient hides, and that lack it."""
        return self.store.deliveries([key for _, key in self._keys(patient_id)])

    def delivered(self, hospital_id: HospitalId, held: Sequence[HeldRestriction]) -> None:
        """Note what a hospital has taken."""
        self.store.delivered(hospital_id, [(one.reference, one.number) for one in held])

    def forget_hospital(self, hospital_id: HospitalId) -> int:
        """Forget what a hospital that leaves has, or is to have; say of how many patients."""
        return self.store.forget_hospital(hospital_id)

    def due_at(self, hospital_id: HospitalId, *, now: int, limit: int) -> Sequence[DueRestriction]:
        """Hand out some of what is due at a hospital. One that does not open is told to the operator, and stays due."""
        due = []
        for row in self.store.due_at(hospital_id, now=now, limit=limit):
            try:
                due.append(DueRestriction(reference=row.patient_key, shown=self._opened(row.sealed, row.patient_key)))
            except Corrupt as error:
                operations.failure("restriction-not-handed-out", error)
        return due

    def reseal(self) -> Steps:
        """Seal the restrictions anew. One that does not open stays as it is, and is told to the operator."""
        for row in self.store.walk():
            yield _passing("restriction-not-sealed-anew", self._reseal, row)

    def name_anew(self) -> Steps:
        """Name by the active index key the restrictions that an older one names."""
        for row in self.store.walk():
            yield _passing("restriction-not-named-anew", self._name_anew, row)

    def count_under(self, generation: int) -> int:
        """Count the restrictions that a sealing generation sealed."""
        return sealed_under((row.sealed for row in self.store.walk()), self.sealing, generation)

    def _looked_up(self, patient_id: PatientId) -> tuple[ShownRestriction, bool]:
        keys = [key for _, key in self._keys(patient_id)]
        row = self.store.of(keys)
        shown = self._opened(
            *((row.sealed, row.patient_key) if row is not None else (self._sealed(_DECOY, keys[0]), keys[0]))
        )
        if row is not None and peek_restriction(shown).patient_id != patient_id:
            raise Corrupt("a restriction is not of whom the store says")
        return shown, row is not None

    def _keys(self, patient_id: PatientId) -> Sequence[tuple[int, bytes]]:
        return self.index.names("restriction", patient_id, asker=self.asker)

    def _opened(self, sealed: bytes, patient_key: bytes) -> ShownRestriction:
        try:
            return ShownRestriction.FromString(
                self.sealing.open(sealed, _context(patient_key), self._together(patient_key))
            )
        except SealBroken as error:
            raise Corrupt("a restriction does not open under this party's token") from error

    def _sealed(self, shown: bytes, patient_key: bytes) -> bytes:
        return self.sealing.seal(shown, _context(patient_key), self._together(patient_key))

    def _together(self, patient_key: bytes) -> Together:
        return Together(patient_key, self.asker)

    def _reseal(self, row: StoredRestriction) -> bool:
        anew = self.sealing.reseal(row.sealed, _context(row.patient_key), self._together(row.patient_key))
        return anew != row.sealed and self.store.reseal(row, anew)

    def _name_anew(self, row: StoredRestriction) -> bool:
        if row.generation == self.index.generation:
            return False
        shown = self._opened(row.sealed, row.patient_key)
        (generation, key), *_ = self._keys(peek_restriction(shown).patient_id)
        sealed = self._sealed(shown.SerializeToString(deterministic=True), key)
        return self.store.move(row, StoredRestriction(key, row.number, sealed, generation))


_DECOY = ShownRestriction(
    restriction=SignedStatement(
        statement=pb.Restriction(
            patient_id="P:nobody",
            signer_id="P:nobody",
            signer_serial=bytes(16),
            number=1,
            hidden=[pb.HiddenRecords(hospital=ANY, department_class=ANY)],
            emergency_overrides=False,
            stated_at=1,
        ).SerializeToString(),
        signature=bytes(64),
    ),
    key_statement=SignedStatement(statement=bytes(384), signature=bytes(64)),
).SerializeToString()
"""What is opened where there is none: as large as one is."""


def _context(patient_key: bytes) -> bytes:
    return transcript("restriction-value", patient_key)


def _passing(event: str, step: Callable[[StoredRestriction], bool], row: StoredRestriction) -> bool:
    try:
        return step(row)
    except (FederationError, SealBroken, StoreError) as error:
        operations.failure(event, error)
        return False
