"""A hospital's and a public cloud's real servers cosign each other's logs, and say so at a terminal."""

from pathlib import Path

from tests.e2e.test_hospital_commands import Commands, found_node
from tests.waiting import until


def test_servers_cosign_each_others_logs(tmp_path: Path) -> None:
    commands = Commands(tmp_path)
    found_node(commands)
    cloud, hospital = (("--directory", commands.path(name)) for name in ("cloud", "hospital"))
    (tmp_path / "licence").write_bytes(b"licence of H:alpha")
    assert "nothing is signed yet" in commands.run("hospital", "log-heads", *hospital)
    with commands.serving("cloud", "public-cloud", "serve", *cloud):
        invited = commands.run("public-cloud", "invite", *cloud, "H:alpha")
        ticket = next(line.strip() for line in invited.splitlines() if line.startswith("    "))
        commands.run("hospital", "register", *hospital, "--licence", str(tmp_path / "licence"), stdin=f"{ticket}\n")
        with commands.serving("hospital", "hospital", "serve", *hospital):
            commands.run("hospital", "ticket", *hospital, "P:wang")
            until(lambda: "cosigned by C:union" in commands.run("hospital", "log-heads", *hospital))
            until(lambda: "cosigned by H:alpha" in commands.run("public-cloud", "log-heads", *cloud))
            assert "H:alpha: " in commands.run("public-cloud", "log-heads", *cloud)
    said = commands.run("hospital", "log-archive", *hospital, "--output", commands.path("archive"))
    assert "cosigned by C:union" in said
    assert b"/H:alpha/1\n" in (tmp_path / "archive" / "public" / "checkpoint").read_bytes()
    assert "0 files written" in commands.run("hospital", "log-archive", *hospital, "--output", commands.path("archive"))
    assert commands.run("hospital", "log-heads", "--json", *hospital) == "[]\n"
    assert "no open finding" in commands.run(
        "hospital", "log-settle", *hospital, "00" * 16, "--why", "it was nothing", code=1
    )
    assert "begun anew" in commands.run("hospital", "log-anew", *hospital, "--why", "its disk was lost")
    assert "LOG-BEGUN-ANEW" in commands.run("hospital", "log", *hospital, "--verify")
