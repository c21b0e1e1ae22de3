"""A server's keys from a seed that officers share, made in its token, or brought back into another one.

shares.main("make" | "restore", "cloud" | "hospital", the node's directory, file for the officers' papers)
"""

import json
import sys
from pathlib import Path

from hsm import TokenUri, open_token, pin_from_file
from hsm.softhsm import SoftHsm
from keystore.backup import CLOUD, CLOUD_SIGNERS, HOSPITAL, BackupCard, RecoverableKeys, generate_signers, new_seed
from keystore.quorum import Share

HOLDERS = ("O:ada", "O:ben", "O:cho")
_KEYS = {"cloud": (*CLOUD, *CLOUD_SIGNERS), "hospital": HOSPITAL}


def main(step: str, kind: str, directory: str, papers: str) -> None:
    """Do a step; two of three officers come to a restoration."""
    node = Path(directory)
    SoftHsm(node / "tokens").activate()
    uri = TokenUri.parse((node / "tokens" / "token.uri").read_text().strip())
    pin = pin_from_file(node / "pin")
    if step == "make":
        with open_token(uri, pin) as token:
            made = RecoverableKeys.create(token, _KEYS[kind], new_seed(token), threshold=2, holders=HOLDERS)
            if kind == "hospital":
                generate_signers(token)
        kept = {"card": made.card.to_json(), "shares": [share.text() for share in made.shares]}
        Path(papers).write_text(json.dumps(kept))
    else:
        kept = json.loads(Path(papers).read_text())
        brought = [Share.parse(kept["shares"][number]) for number in (2, 0)]
        with RecoverableKeys.restore(
            lambda: open_token(uri, pin), brought, BackupCard.from_json(kept["card"])
        ) as token:
            if kind == "hospital":
                generate_signers(token)
    sys.stdout.write("done\n")
