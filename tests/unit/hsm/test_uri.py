"""PKCS#11 URIs: what is read, what is refused."""

from pathlib import Path

import pytest

from hsm import TokenUri
from hsm.errors import TokenUriInvalid

MODULE = "module-path=/usr/lib/p11.so"


def test_every_part_is_read() -> None:
    uri = TokenUri.parse(
        f"pkcs11:token=My%20token;manufacturer=M;serial=01ab;model=X%3bY?{MODULE}&pin-source=file:/run/pin"
    )
    assert uri == TokenUri(
        module_path=Path("/usr/lib/p11.so"),
        token="My token",
        manufacturer="M",
        serial="01ab",
        model="X;Y",
        pin_source=Path("/run/pin"),
    )


def test_pin_source_is_read_in_both_forms_of_a_file_uri() -> None:
    short, long = (TokenUri.parse(f"pkcs11:token=t?{MODULE}&pin-source=file:{path}") for path in ("/pin", "///pin"))
    assert short == long
    assert short.pin_source == Path("/pin")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "token=t",
        "PKCS11:token=t?" + MODULE,
        "pkcs11:token=t",
        "pkcs11:?" + MODULE,
        "pkcs11:model=m?" + MODULE,
        "pkcs11:token=?" + MODULE,
        "pkcs11:token?" + MODULE,
        "pkcs11:token=t;slot-id=0?" + MODULE,
        "pkcs11:token=t;object=key?" + MODULE,
        "pkcs11:token=t;x-vendor=1?" + MODULE,
        "pkcs11:token=t;token=u?" + MODULE,
        "pkcs11:token=%zz?" + MODULE,
        "pkcs11:token=%ff?" + MODULE,
        "pkcs11:token=a%0ab?" + MODULE,
        "pkcs11:token=a%00b?" + MODULE,
        "pkcs11:token=t?module-path=p11.so",
        "pkcs11:token=t?module-path=../p11.so",
        "pkcs11:token=t?module-path=",
        "pkcs11:token=t?module-name=p11",
        f"pkcs11:token=t?{MODULE}&pin-source=/run/pin",
        f"pkcs11:token=t?{MODULE}&pin-source=file:run/pin",
        f"pkcs11:token=t?{MODULE}&pin-source=|/bin/pin",
        f"pkcs11:token=t?{MODULE}&pin-source=https://example.org/pin",
    ],
)
def test_uri_that_does_not_select_one_token_safely_is_refused(text: str) -> None:
    with pytest.raises(TokenUriInvalid):
        TokenUri.parse(text)


@pytest.mark.parametrize("text", [f"pkcs11:token=t?{MODULE}&pin-value=4711", f"pkcs11:token=t;pin-value=4711?{MODULE}"])
def test_pin_in_a_uri_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(TokenUriInvalid) as caught:
        TokenUri.parse(text)
    assert "4711" not in str(caught.value)


def test_uri_built_without_a_token_or_with_a_relative_module_is_refused() -> None:
    with pytest.raises(TokenUriInvalid):
        TokenUri(module_path=Path("/p11.so"))
    with pytest.raises(TokenUriInvalid):
        TokenUri(module_path=Path("p11.so"), token="t")
