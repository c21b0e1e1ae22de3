"""Performs deploy/container/Containerfile without an engine, and uses what came of it: `ci/container-proof`."""

import subprocess
import sys
import time
from pathlib import Path

from ci.containerfile import Builder, Failed, Stage
from demo.stage import free_address

ROOT = Path(__file__).parents[1]
FILE = ROOT / "deploy" / "container" / "Containerfile"
NODE = "/var/lib/medunion"
SECONDS = 60.0


def main() -> int:
    """Build in `argv[1]`, with the base image's archive `argv[2]`, from the wheel in `argv[3]`/dist."""
    work, archive, context = (Path(word) for word in sys.argv[1:4])
    stages = Builder({"debian:bookworm-slim": archive}, context, work).build(FILE)
    inspect(stages["node"])
    use(stages["development"])
    print("The Containerfile's steps work, and what they make serves.")
    return 0


def inspect(node: Stage) -> None:
    """Require of what is shipped: no root, no build tools, no PKCS#11 in software, nothing that a container could write."""
    require(node.user not in ("", "0", "root"), "the node doesn't run as root")
    require(node.entrypoint == ["medunion"], "the node's entrypoint is medunion")
    for tool in ("pip", "pip3", "gcc", "cc", "make", "git", "softhsm2-util"):
        require(not [*node.root.glob(f"**/bin/{tool}")], f"{tool} is not in the image")
    looked_at = f"find / -xdev \\( -name tmp -o -path {NODE} -o -path /dev -o -path /proc \\) -prune"
    mine = node.run("sh", "-c", f"{looked_at} -o -writable -not -type l -print 2>/dev/null || true")
    beyond = [line for line in mine.split() if not line.startswith("/run/lock")]
    require(not beyond, f"the node's user can write nothing but its directory: {beyond[:5]}")
    version = node.run(*node.entrypoint, "--version").strip()
    require(version.startswith("medunion") and version[-1].isdecimal(), f"it says its version: {version}")


def use(image: Stage) -> None:
    """Make a public cloud in a container's place, serve it, ask for its health, and end it."""

    def medunion(*words: str) -> str:
        return image.run(*image.entrypoint, *words)

    pin = f"{NODE}/pin"
    medunion("token", "init-softhsm", "--directory", NODE, "--label", "cloud", "--pin-file", pin)
    names = "--identity", "C:union", "--realm", "proof", "--address", free_address(), "--peer-address", free_address()
    medunion("public-cloud", "init", "--directory", NODE, *names, "--pin-file", pin, "--make-keys")
    # It ends with this process: asked for in there, for chroot's change of user would take it back.
    ends_with_us = "setpriv", "--pdeathsig=KILL"
    serve = image.command([*ends_with_us, *image.entrypoint, "public-cloud", "serve", "--directory", NODE])
    server = subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        require(until_healthy(image), "HEALTHCHECK finds it well")
        server.terminate()
        require(server.wait(SECONDS) == 0, "SIGTERM ends it in order")
    finally:
        server.kill()
        server.wait()
    try:
        image.run(*image.healthcheck)
    except Failed:
        return
    require(False, "HEALTHCHECK finds what has ended not well")


def until_healthy(image: Stage) -> bool:
    """Ask again and again, for a while."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            print("  " + image.run(*image.healthcheck).replace("\n", ", "))
        except Failed:
            time.sleep(0.5)
        else:
            return True
    return False


def require(holds: bool, what: str) -> None:
    """Say what was found, and end if it doesn't hold."""
    print(f"{'ok ' if holds else 'NOT'} {what}", flush=True)
    if not holds:
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
