"""No JSON leads to anything but a result or a refusal of ours, whatever is asked of it."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.clinical.bundles import as_bundle
from federation.clinical.chart import Source, chart_of, text_of
from federation.clinical.drawing import svg
from federation.clinical.ecg import describe_ecg, leads_from_observation, observation_from_dicom, other_signals
from federation.clinical.encounter import encounter_bundle
from federation.clinical.errors import ClinicalError, NotJson
from federation.clinical.fhir import load_resource, validate_bundle
from federation.clinical.report import summarise
from federation.person.biosignals import describe_biosignal
from tests.unit.clinical.recordings import TWELVE, group, recording
from tests.unit.clinical.test_report import ISSUED, report

ECG = json.loads(observation_from_dicom(recording(group(TWELVE[:2], seconds=0.05)), subject="P:x"))
PERSON = {"resourceType": "Patient", "name": [{"family": "A", "given": ["B"]}], "birthDate": "1980-01-01"}
BUNDLE = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": PERSON}, {"resource": ECG}]}

WRITTEN = [
    *(
        "null",
        "true",
        "0",
        "-1",
        "1.5",
        "9" * 400,
        "1e308",
        '""',
        '" "',
        '"x"',
        '"2024-02-31"',
        '"P:x"',
        '"E"',
        '"\\u001b[2J"',
    ),
    *('"\\ud800"', "[]", "[null]", "{}", "[{}]", "[[]]", '{"id":"a"}', '[{"id":"a"}]', '{"value":"P:y"}'),
    *('{"identifier":{}}', '{"identifier":{"value":5}}', '{"identifier":{"value":"P:y"}}'),
]
VALUES = st.sampled_from(WRITTEN).map(json.loads)
ACTIONS = st.tuples(st.integers(0, 10_000), st.sampled_from(["replace", "remove", "underscore", "repeat"]), VALUES)


def places(value: object) -> list[tuple[object, object]]:
    """Every place in a document: what holds it, and its name or number there."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in list(inside) for place in [(value, key), *places(item)]]


def altered(document: object, actions: list[tuple[int, str, object]]) -> bytes:
    changed = json.loads(json.dumps(document))
    for number, action, value in actions:
        found = places(changed)
        if not found:
            break
        holder, key = found[number % len(found)]
        if action == "replace":
            holder[key] = value
        elif action == "remove":
            del holder[key]
        elif action == "underscore" and isinstance(holder, dict):
            holder[f"_{key}"] = holder.pop(key)
        elif action == "repeat" and isinstance(holder, list):
            holder.append(holder[key])
    return json.dumps(changed).encode()


def drawn(data: bytes) -> str:
    leads = leads_from_observation(data)
    return svg(leads, lines=[describe_ecg(leads, other_signals(data))])


def filed(data: bytes) -> bytes:
    return encounter_bundle(patient_id="P:x", observation=data, report=report("P:x"), recorded=ISSUED).content


def imported(data: bytes) -> str:
    summary = validate_bundle(as_bundle(data))
    return "".join([summary.words(), *summary.warnings("P:x")])


def charted(data: bytes) -> str:
    source = Source("H:a", "1", load_resource(data, "Bundle"))
    return "\n".join(text_of(chart_of([source], today=ISSUED.date(), patient_id="P:x")))


USES: list[tuple[object, Callable[[bytes], object]]] = [
    (BUNDLE, imported),
    (BUNDLE, charted),
    (ECG, drawn),
    (ECG, filed),
    (ECG, lambda data: describe_biosignal(data, "P:x")),
    (json.loads(report()), summarise),
]


@pytest.mark.parametrize(("document", "use"), USES)
@settings(max_examples=150, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=4))
def test_altered_fhir_gives_a_result_or_our_refusal(document, use, actions):
    data = altered(document, actions)
    try:
        result = use(data)
    except ClinicalError as error:
        assert str(error)  # noqa: PT017 - either is right
    else:
        assert result
        assert "None" not in str(result)
        assert "\x1b" not in str(result)


@pytest.mark.parametrize(("document", "use"), USES)
@settings(max_examples=50, deadline=None)
@given(
    data=st.binary(max_size=200)
    | st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_any_bytes_give_a_result_or_our_refusal(document, use, data):
    content = data if isinstance(data, bytes) else json.dumps(data).encode()
    try:
        assert use(content)
    except ClinicalError as error:
        assert str(error)  # noqa: PT017 - either is right


def test_a_single_resource_and_ndjson_become_a_bundle_that_holds_them_byte_for_byte():
    lines = [json.dumps(PERSON).encode(), json.dumps(ECG, indent=None).encode()]
    for content, held in ((lines[0], lines[:1]), (b"\r\n".join([*lines, b""]), lines)):
        made = as_bundle(content)
        validate_bundle(made)
        assert all(line in made for line in held)
    pretty = json.dumps(PERSON, indent=2).encode()
    assert pretty in as_bundle(pretty)
    given_bundle = json.dumps(BUNDLE, indent=1).encode()
    assert as_bundle(given_bundle) == given_bundle


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"resourceType":"Patient"}\n\n{"a":}\n', "line 3 of NDJSON: not JSON at line 1, column 6"),
        (
            b'{"a":1}\n{"resourceType":"Bundle"}',
            "line 2 of NDJSON is a Bundle; a file has one Bundle, or resources one a line",
        ),
    ],
)
def test_fhir_not_json_names_the_line_of_ndjson(content, words):
    with pytest.raises(NotJson) as caught:
        as_bundle(content)
    assert str(caught.value) == words
