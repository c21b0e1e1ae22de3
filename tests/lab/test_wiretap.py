"""The wiretap says so when it hears no more: what was not heard is no proof that nothing was said."""

import socket

import pytest

from demo.stage import Refused
from lab import wiretap


def test_wiretap_that_went_deaf_is_no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody may listen at a whole network here: a socket that is connected to nothing fails as one whose network is gone.
    monkeypatch.setattr(wiretap, "in_namespace", lambda _namespace, _act: socket.socket())
    with pytest.raises(Refused, match="deaf"), wiretap.Wiretap() as tap:
        tap._thread.join(10)
    assert not tap.heard
