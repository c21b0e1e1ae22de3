"""What a patient may ask for when it consents, the narrowest when it asks for nothing, and how that is said."""

from datetime import timedelta

import click
import pytest
from click.testing import CliRunner

from federation.cli.consent_options import choose_class, consent_options, require_published
from federation.person.asked import Asked
from federation.person.consent_words import and_list, grantee_words, power_words, right_sentences
from federation.person.consents import NewGrant
from federation.person.room_view import RoomView
from federation.protocol.access import Duty, ToDepartment, ToDoctor, ToHospital, Validity
from federation.protocol.consent import Terms
from federation.protocol.consultation import check_room
from federation.v1 import statement_pb2 as pb
from tests.simulator import Federation

HERE = "H:alpha"


@pytest.fixture
def view(federation: Federation) -> RoomView:
    """A room of D:chen, who is on duty in cardiology at H:alpha."""
    return room_view(federation, "cardiology")


def room_view(federation: Federation, *classes: str) -> RoomView:
    duty = Duty(bytes(16), HERE, "D:chen", classes, Validity(0, 1))
    room, code = federation.room()
    peer = check_room(room, code, federation.patient.verifier(), now=federation.clock.now)
    return RoomView(None, peer, duty)


def asked(*words: str) -> Asked:
    """What these words of a command line ask for."""
    found: list[Asked] = []

    @click.command()
    @consent_options
    def command(asked: Asked) -> None:
        found.append(asked)

    result = CliRunner().invoke(command, words, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return found[0]


def granted(view: RoomView, *words: str) -> NewGrant:
    return asked(*words).grant_for(view, None, choose_class)


def sentences(terms: Terms) -> list[str]:
    return list(right_sentences(terms, "your"))


def test_nothing_asked_for_lets_this_hospital_keep_the_visit_for_a_day_and_nobody_read(view: RoomView) -> None:
    new = granted(view)
    assert new.grantee == ToDoctor("D:chen", "M:chamber")
    assert new.terms == Terms((HERE,), ("cardiology",), (pb.RIGHT_WRITE,), life=timedelta(hours=24))
    assert sentences(new.terms) == ["Keep the record of a visit at H:alpha, in cardiology."]


@pytest.mark.parametrize(
    ("words", "hospitals", "classes", "said"),
    [
        (("--read", "here"), (HERE,), ("*",), "Find and read your records at H:alpha, of every department."),
        (
            ("--read", "everywhere", "--department", "cardiology"),
            ("*",),
            ("cardiology",),
            "Find and read your records at every hospital, of cardiology.",
        ),
        (
            ("--read", "H:beta", "--restricted"),
            (HERE, "H:beta"),
            ("*",),
            "Find and read your records at H:alpha and H:beta, of every department, restricted ones too.",
        ),
        (
            ("--no-keep", "--read", "H:beta"),
            ("H:beta",),
            ("*",),
            "Find and read your records at H:beta, of every department.",
        ),
    ],
)
def test_reading_is_where_it_is_asked_for(
    view: RoomView, words: tuple[str, ...], hospitals: tuple[str, ...], classes: tuple[str, ...], said: str
) -> None:
    terms = granted(view, *words).terms
    assert (terms.hospitals, terms.department_classes) == (hospitals, classes)
    assert set(terms.rights) >= {pb.RIGHT_INDEX, pb.RIGHT_READ}
    assert (pb.RIGHT_WRITE in terms.rights) == ("--no-keep" not in words)
    assert sentences(terms)[-1] == said


def test_neither_keeping_nor_reading_is_no_consent() -> None:
    assert asked("--no-keep").is_nothing
    assert not asked().is_nothing


@pytest.mark.parametrize(
    ("words", "grantee", "life"),
    [
        (("--for", "doctor"), ToDoctor("D:chen", "M:chamber"), timedelta(hours=24)),
        (("--for", "department"), ToDepartment(HERE, "cardiology"), timedelta(days=30)),
        (("--for", "department:neurology"), ToDepartment(HERE, "neurology"), timedelta(days=30)),
        (("--for", "hospital"), ToHospital(HERE), timedelta(days=90)),
        (("--for", "hospital", "--hours", "2"), ToHospital(HERE), timedelta(hours=2)),
        (("--days", "366"), ToDoctor("D:chen", "M:chamber"), timedelta(days=366)),
    ],
)
def test_whom_it_is_for_says_how_long(view: RoomView, words: tuple[str, ...], grantee: object, life: timedelta) -> None:
    new = granted(view, *words)
    assert (new.grantee, new.terms.life) == (grantee, life)


def test_department_has_to_be_named_where_the_doctor_is_on_duty_in_several_or_none(federation: Federation) -> None:
    with pytest.raises(click.BadParameter, match="of which department"):
        granted(room_view(federation, "cardiology", "neurology"), "--for", "department")
    with pytest.raises(click.BadParameter, match="in no department"):
        granted(room_view(federation), "--for", "department")


@pytest.mark.parametrize(
    "words",
    [
        ("--for", "nobody"),
        ("--for", "doctor:cardiology"),
        ("--for", "department:No Class"),
        ("--read", "there"),
        ("--department", "*"),
        ("--hours", "0"),
        ("--hours", "nan"),
        ("--days", "367"),
        ("--hours", "1", "--days", "1"),
    ],
)
def test_what_no_consent_can_say_is_wrong_usage(words: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError):
        asked(*words)


def test_class_that_the_federation_has_not_is_named() -> None:
    with pytest.raises(click.BadParameter, match="the federation publishes cardiology"):
        require_published(asked("--for", "department:oncology"), frozenset({"cardiology"}))


def test_every_right_is_said_and_nothing_is_said_of_what_is_not_given() -> None:
    everything = Terms(("*",), ("*",), (pb.RIGHT_INDEX, pb.RIGHT_READ, pb.RIGHT_WRITE))
    assert len(sentences(everything)) == 2
    assert sentences(Terms(("*",), ("*",), (pb.RIGHT_READ,))) == [
        "Read your records at every hospital, of every department."
    ]
    assert sentences(Terms(("*",), ("cardiology",), (pb.RIGHT_INDEX,))) == [
        "See at which hospitals your records of cardiology are, and read none."
    ]
    assert sentences(Terms()) == []


def test_whom_is_named_in_words() -> None:
    assert grantee_words(ToDoctor("D:chen", "M:board")) == "D:chen (certified by M:board)"
    assert grantee_words(ToDepartment(HERE, "neurology")) == "every doctor on duty in neurology at H:alpha"
    assert grantee_words(ToHospital(HERE)) == "every doctor on duty at H:alpha"
    assert grantee_words(None) == "nobody that is known here"


def test_powers_and_names_are_listed_as_a_sentence_has_them() -> None:
    assert power_words([pb.POWER_GRANT, pb.POWER_READ]) == "find and read the records and consent in the patient's name"
    assert power_words([]) == "nothing"
    assert [and_list(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
