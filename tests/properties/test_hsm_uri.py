"""Properties of PKCS#11 URIs, labels and templates."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from pkcs11 import Attribute

from hsm import TokenUri, errors
from hsm.raw import packed, template

printable = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=40)
paths = st.lists(printable.map(lambda part: part.replace("/", "_")), min_size=1, max_size=4).map(
    lambda parts: Path("/") / "/".join(parts)
)
uris = st.builds(
    TokenUri,
    module_path=paths,
    token=printable,
    serial=st.none() | printable,
    manufacturer=st.none() | printable,
    model=st.none() | printable,
    pin_source=st.none() | paths,
)


@given(uris)
def test_uri_parsed_from_its_text_is_itself(uri: TokenUri) -> None:
    assert TokenUri.parse(str(uri)) == uri


@given(uris)
def test_uri_text_is_plain_ascii(uri: TokenUri) -> None:
    assert str(uri).isascii()
    assert " " not in str(uri)


@given(st.text())
def test_any_text_is_parsed_or_refused_with_the_one_error(text: str) -> None:
    for candidate in (text, f"pkcs11:{text}", f"pkcs11:token=t;{text}", f"pkcs11:token=t?module-path=/p&{text}"):
        try:
            uri = TokenUri.parse(candidate)
        except errors.TokenUriInvalid:
            continue
        assert TokenUri.parse(str(uri)) == uri


values = st.booleans() | st.integers(0, 2**32) | st.text() | st.binary() | st.none() | st.floats() | st.just([1])


@given(st.dictionaries(st.sampled_from(list(Attribute)), values))
def test_any_template_packs_or_is_refused_before_it_reaches_c(attributes: dict[Attribute, object]) -> None:
    try:
        built = template(attributes)
    except TypeError:
        return
    assert all(isinstance(packed(attribute, value), bytes) for attribute, value in built.items())
