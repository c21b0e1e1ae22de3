"""How the tests of a backup make keys, and look at a token."""

from hsm import Token
from keystore.backup import CLOUD, CLOUD_SIGNERS, RecoverableKeys, new_seed

HOLDERS = ("O:ada", "O:ben", "O:cho")
SEED = bytes(range(32))


def make(token, keys=(*CLOUD, *CLOUD_SIGNERS), seed=None):
    return RecoverableKeys.create(token, keys, seed or new_seed(token), threshold=2, holders=HOLDERS)


def labels(token: Token):
    return {info.label for info in token.objects()}
