"""What a patient may ask for when it consents: few choices, and the narrowest when none is made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from federation.person.consents import NewGrant
from federation.person.room_view import RoomView
from federation.protocol import access
from federation.protocol.access import (
    DEPARTMENTS_LIFE,
    DOCTORS_LIFE,
    HOSPITALS_LIFE,
    Grantee,
    ToDepartment,
    ToDoctor,
    ToHospital,
)
from federation.protocol.consent import Terms
from federation.v1 import statement_pb2 as pb
from federation.v1.access_pb2 import Deputyship
from keystore.identities import ANY

HERE, EVERYWHERE = "here", "everywhere"
DOCTOR, DEPARTMENT, HOSPITAL = "doctor", "department", "hospital"
LIVES = {DOCTOR: DOCTORS_LIFE, DEPARTMENT: DEPARTMENTS_LIFE, HOSPITAL: HOSPITALS_LIFE}

ChooseClass = Callable[[Sequence[str]], str]
"""Choose one of the departments where a doctor is on duty: of several, or of none."""


@dataclass(frozen=True)
class Asked:
    """What a patient asks for. `read` are places, `life` None for what is usual of whom it is for.

    With `only_find`, it may be found at these places that there are records, and none is read.
    """

    whom: str = DOCTOR
    whom_class: str | None = None
    keep: bool = True
    read: Sequence[str] = ()
    departments: Sequence[str] = ()
    restricted: bool = False
    life: timedelta | None = None
    purpose: str = Terms.purpose
    only_find: bool = False

    @property
    def is_usual(self) -> bool:
        """Return whether the patient asks for nothing of its own."""
        return self == Asked()

    @property
    def is_nothing(self) -> bool:
        """Return whether nothing is consented to beyond the visit."""
        return not self.keep and not self.read

    def unpublished(self, published: frozenset[str]) -> list[str]:
        """Return the department classes in it that the federation has not: a consent to them would open nothing."""
        named = [*self.departments, *([self.whom_class] if self.whom_class else [])]
        return sorted(set(named) - published)

    def grant_for(self, view: RoomView, deputyship: Deputyship | None, choose_class: ChooseClass) -> NewGrant:
        """Return the consent for the doctor of this room; raise what choosing among its departments raises."""
        return NewGrant(self._grantee(view, choose_class), self._terms(view.duty), deputyship)

    def _grantee(self, view: RoomView, choose_class: ChooseClass) -> Grantee:
        duty = view.duty
        if self.whom == HOSPITAL:
            return ToHospital(duty.hospital_id)
        if self.whom == DEPARTMENT:
            classes = list(duty.department_classes)
            only = classes[0] if len(classes) == 1 else None
            return ToDepartment(duty.hospital_id, self.whom_class or only or choose_class(classes))
        return ToDoctor(view.doctor.doctor_id, view.authority_id)

    def _terms(self, duty: access.Duty) -> Terms:
        reading = () if not self.read else (pb.RIGHT_INDEX,) if self.only_find else (pb.RIGHT_INDEX, pb.RIGHT_READ)
        return Terms(
            hospitals=self._hospitals(duty),
            department_classes=self._classes(duty),
            rights=(*reading, *((pb.RIGHT_WRITE,) if self.keep else ())),
            highest_sensitivity=pb.SENSITIVITY_RESTRICTED if self.restricted else pb.SENSITIVITY_NORMAL,
            purpose=self.purpose,
            life=self.life or LIVES[self.whom],
        )

    def _hospitals(self, duty: access.Duty) -> Sequence[str]:
        if EVERYWHERE in self.read:
            return (ANY,)
        here = [duty.hospital_id] if self.keep or HERE in self.read else []
        return tuple(dict.fromkeys([*here, *(place for place in self.read if place != HERE)]))

    def _classes(self, duty: access.Duty) -> Sequence[str]:
        # What is only kept stays in the departments where the doctor works; who lets records be read means those of all.
        usual = (ANY,) if self.read else tuple(duty.department_classes)
        return tuple(self.departments) or usual or (ANY,)
