"""Calling peers: where nobody answers, the error says which address was dialled; where somebody refuses, it says no address."""

from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest

from demo.stage import free_address
from federation.errors import Unavailable
from federation.party.channels import AddressedChannel, call, peer_errors
from federation.v1.directory_pb2 import GetDirectoryRequest, WatchDirectoryRequest
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.words import plain, sentence

SECONDS = 20


@dataclass
class Nobody:
    """An address at which nobody listens, and a channel to it."""

    address: str
    channel: grpc.Channel


@pytest.fixture
def nobody() -> Iterator[Nobody]:
    address = free_address()
    with AddressedChannel(grpc.insecure_channel(address), address) as channel:
        yield Nobody(address, channel)


def test_call_that_nobody_answers_says_where_it_was_dialled(nobody: Nobody) -> None:
    with pytest.raises(Unavailable) as raised:
        call(DirectoryServiceStub(nobody.channel).GetDirectory, GetDirectoryRequest(), seconds=SECONDS)
    assert raised.value.address == nobody.address
    assert plain(raised.value).endswith(f" It was dialled at {nobody.address}. {Unavailable.to_do} [UNAVAILABLE]")
    assert sentence(raised.value).endswith(f" It was dialled at {nobody.address}. [UNAVAILABLE]")


def test_stream_that_nobody_answers_says_where_it_was_dialled(nobody: Nobody) -> None:
    follow = DirectoryServiceStub(nobody.channel).WatchDirectory
    with pytest.raises(Unavailable) as raised, peer_errors(follow):
        next(follow(WatchDirectoryRequest(), timeout=SECONDS))
    assert raised.value.address == nobody.address


def test_what_was_not_dialled_says_no_address() -> None:
    assert plain(Unavailable("the token")) == f"{Unavailable.in_words} {Unavailable.to_do} [UNAVAILABLE]"
