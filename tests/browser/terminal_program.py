"""What `medunion doctor desk` does at a terminal, for the counter: a token whose PIN is asked for, then pages."""

import sys
from datetime import timedelta
from pathlib import Path

from federation.pages.serve import serve
from hsm import TokenUri, open_token, pin_from_prompt
from tests.browser.counter import Counter


def main(directory: Path, uri: str, minutes: float) -> None:
    """Serve the counter until the end."""
    with open_token(TokenUri.parse(uri), pin_from_prompt("the counter")) as token:
        counter = Counter(locking=token.log_out, unlocking=token.log_in)
        serve(counter, directory, lock_after=timedelta(minutes=minutes), say=lambda words: print(words, flush=True))
    print("Ended.", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
