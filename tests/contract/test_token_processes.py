"""Threads, processes and forks on one token. Each runs in a process of its own: a crash in C is a failed test."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from hsm import Pin, TokenUri, errors, open_token, pin_from_value
from tests.contract.token_backends import Capability, TokenUnderTest, needs
from tests.contract.token_support import CountingPin

ROOT = Path(__file__).parents[2]
MakeUri = Callable[..., TokenUri]
ECDSA = ec.ECDSA(hashes.SHA256())
pytestmark = needs(Capability.PROCESSES, Capability.ECDSA, Capability.ECDH, Capability.HMAC)

PREAMBLE = """
import os, sys, threading, time
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from hsm import TokenUri, errors, open_token, pin_from_fd, pin_from_value
from hsm.agreement import software_prf
ECDSA = ec.ECDSA(SHA256())
uri = TokenUri.parse(sys.argv[1])
pin = os.fdopen(int(sys.argv[2])).read()
"""

THREADS = """
peer = ec.generate_private_key(ec.SECP256R1())
with open_token(uri, pin_from_value(pin), sessions=3) as token:
    signing, agreement, index = token.signing("signing"), token.agreement("agreement"), token.mac("index")
    expected = software_prf(peer.exchange(ec.ECDH(), agreement.public_key()), b"info", b"message")
    code = index.mac(b"patient")
    done, faults, end = [0], [], time.monotonic() + 3

    def use():
        try:
            while time.monotonic() < end:
                signing.sign(b"message", ECDSA)  # verified inside
                assert agreement.prf(peer.public_key(), b"info", b"message") == expected
                assert index.mac(b"patient") == code
                done[0] += 1
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=use) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
assert not faults, faults
assert done[0] > 20, done
"""

RESTARTS = """
with open_token(uri, pin_from_value(pin), sessions=3) as token:
    signing, module = token.signing("signing"), token._sessions._module
    done, faults, end = [0], [], time.monotonic() + 3

    def use():
        while time.monotonic() < end:
            try:
                signing.sign(b"message", ECDSA)
                done[0] += 1
            except errors.HsmError as error:
                if not error.retryable:
                    faults.append(error)

    threads = [threading.Thread(target=use) for _ in range(3)]
    [thread.start() for thread in threads]
    while time.monotonic() < end:
        time.sleep(0.1)
        module.restart(module.generation)
    [thread.join() for thread in threads]
    signing.sign(b"message", ECDSA)
assert not faults, faults
assert done[0] > 20, done
"""

START = """
reading, writing = os.pipe()
os.write(writing, pin.encode())
os.close(writing)
with open_token(uri, pin_from_fd(reading)) as token:
    token.signing("signing").sign(b"message", ECDSA)
assert pin.encode() not in open("/proc/self/cmdline", "rb").read()
assert pin not in repr(os.environ)
"""

FORK = """
token = open_token(uri, pin_from_value(pin))
key = token.signing("signing")
key.sign(b"before", ECDSA)
child = os.fork()
if child == 0:
    try:
        key.sign(b"inherited", ECDSA)
    except errors.TokenUnavailable:
        token.close()
        with open_token(uri, pin_from_value(pin)) as again:
            again.signing("signing").sign(b"in the child", ECDSA)
        os._exit(0)
    os._exit(1)
_, status = os.waitpid(child, 0)
assert status == 0, status
key.sign(b"after", ECDSA)
token.close()
"""


def start(script: str, uri: TokenUri, pin: Pin) -> subprocess.Popen[str]:
    reading, writing = os.pipe()
    os.write(writing, pin.reveal().encode())
    os.close(writing)
    command = [sys.executable, "-c", PREAMBLE + script, str(uri), str(reading)]
    process = subprocess.Popen(command, pass_fds=[reading], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    os.close(reading)
    return process


def expect_success(process: subprocess.Popen[str]) -> None:
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, f"exit {process.returncode}: {complaint}"


@pytest.fixture
def furnished(make_token_uri: MakeUri, user_pin: Pin) -> TokenUri:
    """Give a token with one key of each kind, closed."""
    uri = make_token_uri()
    with open_token(uri, pin_from_value(user_pin.reveal())) as token:
        token.generate_signing("signing")
        token.generate_agreement("agreement")
        token.generate_mac("index")
    return uri


@pytest.mark.parametrize("script", [THREADS, RESTARTS], ids=["results_are_right", "module_restarts_meanwhile"])
def test_many_threads_neither_crash_nor_mix_up_results(furnished: TokenUri, user_pin: Pin, script: str) -> None:
    expect_success(start(script, furnished, user_pin))


def test_four_processes_that_start_at_once_all_get_the_token(furnished: TokenUri, user_pin: Pin) -> None:
    for _ in range(3):
        processes = [start(START, furnished, user_pin) for _ in range(4)]
        for process in processes:
            expect_success(process)


def test_forked_child_is_refused_the_parents_token_and_may_open_its_own(furnished: TokenUri, user_pin: Pin) -> None:
    expect_success(start(FORK, furnished, user_pin))


@needs(Capability.INITIALIZE)
def test_token_made_by_another_process_is_found_while_one_is_open(make_token_uri: MakeUri, user_pin: Pin) -> None:
    maker = """
from hsm import Pin
from hsm.softhsm import SoftHsm
from pathlib import Path
soft_hsm = SoftHsm(Path(os.environ["SOFTHSM2_CONF"]).parent)
soft_hsm.create_token("made-elsewhere", pin=Pin(pin), so_pin=Pin("officer-pin"))
"""
    provider = pin_from_value(user_pin.reveal())
    uri = make_token_uri()
    with open_token(uri, provider) as token:
        key = token.generate_signing("signing")
        expect_success(start(maker, uri, user_pin))
        with open_token(TokenUri(module_path=uri.module_path, token="made-elsewhere"), provider) as other:
            other.random(8)
        key.sign(b"message", ECDSA)


REMAKE = """
from hsm import Pin
from hsm.token import initialise_token
initialise_token(uri.module_path, uri.token, pin=Pin(NEW_PIN), so_pin=Pin(SO_PIN), serial=uri.serial, erase=True)
"""


@needs(Capability.INITIALIZE)
@pytest.mark.parametrize("by_serial", [True, False])
def test_token_initialised_anew_by_another_process_fails_closed(
    make_token_uri: MakeUri, right_pin: CountingPin, token_under_test: TokenUnderTest, by_serial: bool
) -> None:
    uri = make_token_uri()
    with open_token(uri if by_serial else replace(uri, serial=None), right_pin) as token:
        key = token.generate_signing("signing")
        constants = f"NEW_PIN, SO_PIN = {token_under_test.wrong_pin!r}, {token_under_test.so_pin!r}"
        expect_success(start(constants + REMAKE, uri, Pin(right_pin.value)))
        for _ in range(4):
            with pytest.raises((errors.KeyNotFound, errors.TokenUnavailable, errors.PinIncorrect)):
                key.sign(b"message", ECDSA)
            assert not token.health()
        assert right_pin.asked <= 2
