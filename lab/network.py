"""Sites with a bridge and hosts each, joined by a wide-area network whose legs can be cut, parted and worsened.

Every site has the subnet 10.77.N.0/24; its gateway, .1, is the wide-area network's leg there. A leg is an Ethernet pair into
the site's bridge; on a bad line it is two TAP devices and a program between them. All of it lives in namespaces that are
named here alone, under a /run and a shared memory of our own: nothing of it is left when the last process ends.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.line import Conditions, Line

NAMESPACES = Path("/run/netns")
WAN = "medunion-wan"
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - of a mount namespace of our own


class NetworkFault(AssertionError):
    """The kernel did not make what was asked for."""


@dataclass(frozen=True)
class Site:
    """A place with a network of its own."""

    name: str
    number: int

    @property
    def bridge(self) -> str:
        """Return the namespace of the site's bridge."""
        return f"medunion-{self.name}-lan"

    @property
    def leg(self) -> str:
        """Return the name of the wide-area network's interface to the site."""
        return f"to-{self.name}"

    @property
    def subnet(self) -> str:
        """Return the site's addresses."""
        return f"10.77.{self.number}.0/24"

    @property
    def gateway(self) -> str:
        """Return the address of the wide-area network's leg."""
        return f"10.77.{self.number}.1"

    def address(self, host: int) -> str:
        """Return the address of a host."""
        return f"10.77.{self.number}.{host}"


@dataclass
class Network:
    """The sites and what is between them."""

    sites: dict[str, Site] = field(default_factory=dict)
    _parted: list[tuple[str, str]] = field(default_factory=list)
    _lines: dict[str, Line] = field(default_factory=dict)

    def make(self, names: Sequence[str]) -> None:
        """Make the wide-area network and these sites. Raises NetworkFault."""
        _namespace(WAN)
        _shell(*inside(WAN), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        for number, name in enumerate(names, start=1):
            site = self.sites[name] = Site(name, number)
            _namespace(site.bridge)
            _ip(site.bridge, "link", "add", "name", "bridge", "type", "bridge")
            _ip(site.bridge, "link", "set", "bridge", "up")
            _plug(site, "leg", WAN, site.leg)
            _ip(WAN, "address", "add", f"{site.gateway}/24", "dev", site.leg)

    def add_host(self, namespace: str, site: Site, number: int) -> None:
        """Plug a host into a site's bridge."""
        _namespace(namespace)
        _plug(site, f"port{number}", namespace, "eth0")
        _ip(namespace, "address", "add", f"{site.address(number)}/24", "dev", "eth0")
        _ip(namespace, "route", "add", "default", "via", site.gateway)

    def add_lone_host(self, namespace: str) -> None:
        """Make a host that is on no network."""
        _namespace(namespace)

    def cut(self, name: str) -> None:
        """Take a site's leg down: both sides are told by ICMP that there is no way."""
        _ip(WAN, "link", "set", self.sites[name].leg, "down")

    def part(self, one: str, other: str) -> None:
        """Swallow what two sites send to each other, silently; both still reach everybody else."""
        self.silence(one, other)
        self.silence(other, one)

    def silence(self, sender: str, receiver: str) -> None:
        """Swallow what one site sends to another, silently; the other way everything still comes through."""
        way = self.sites[sender].subnet, self.sites[receiver].subnet
        _ip(WAN, "rule", "add", "from", way[0], "to", way[1], "blackhole")
        self._parted.append(way)

    def worsen(self, name: str, conditions: Conditions) -> Line:
        """Lead a site's leg over a bad line; connections stay. Gives the line, which counts."""
        site = self.sites[name]
        hardware = _hardware_address(WAN, site.leg)
        line = self._lines[name] = Line(WAN, site.bridge, conditions)
        _ip(WAN, "link", "set", site.leg, "down")
        _ip(WAN, "address", "del", f"{site.gateway}/24", "dev", site.leg)
        _ip(WAN, "link", "set", line.device, "address", hardware)
        _ip(WAN, "address", "add", f"{site.gateway}/24", "dev", line.device)
        _ip(site.bridge, "link", "set", line.device, "master", "bridge")
        for namespace in (WAN, site.bridge):
            _ip(namespace, "link", "set", line.device, "up")
        line.start()
        return line

    def heal(self) -> None:
        """Undo every cut, parting and worsening."""
        for source, target in self._parted:
            _ip(WAN, "rule", "del", "from", source, "to", target, "blackhole")
        self._parted.clear()
        for name, line in self._lines.items():
            line.close()
            site = self.sites[name]
            _ip(WAN, "address", "add", f"{site.gateway}/24", "dev", site.leg)
        self._lines.clear()
        for site in self.sites.values():
            _ip(WAN, "link", "set", site.leg, "up")


def inside(namespace: str) -> list[str]:
    """Return the command that runs what follows in a network namespace, under the same process id."""
    return ["nsenter", f"--net={NAMESPACES / namespace}", "--"]


def separate_memory(root: Path) -> None:
    """Give the lab a /run and a shared memory of its own, where `root` stays if it lies in it. Raises NetworkFault.

    libfaketime leaves files in shared memory, named by process numbers; those of two labs would be the same.
    """
    _shell("mount", "-t", "tmpfs", "none", "/run")
    if not root.is_relative_to(_SHARED_MEMORY):
        _shell("mount", "-t", "tmpfs", "none", _SHARED_MEMORY)
        return
    aside = "/run/root"
    _shell("mkdir", aside)
    _shell("mount", "--bind", str(root), aside)
    _shell("mount", "-t", "tmpfs", "none", _SHARED_MEMORY)
    _shell("mkdir", "-p", str(root))
    _shell("mount", "--move", aside, str(root))


def _namespace(name: str) -> None:
    _shell("ip", "netns", "add", name)
    _ip(name, "link", "set", "lo", "up")


def _plug(site: Site, port: str, namespace: str, device: str) -> None:
    """Join a namespace's device to a port of the site's bridge."""
    _ip(site.bridge, "link", "add", "name", port, "type", "veth", "peer", "name", device, "netns", namespace)
    _ip(site.bridge, "link", "set", port, "master", "bridge", "up")
    _ip(namespace, "link", "set", device, "up")


def _hardware_address(namespace: str, device: str) -> str:
    (found,) = json.loads(_shell("ip", "-json", "-n", namespace, "link", "show", device))
    return str(found["address"])


def _ip(namespace: str, *words: str) -> str:
    return _shell("ip", "-n", namespace, *words)


def _shell(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NetworkFault(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
