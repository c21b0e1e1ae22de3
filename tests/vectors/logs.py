"""The vectors of the log, written again from docs/protocol.md, section 8: leaves, trees, heads, cosignatures, a witness's word.

Nothing here is the product's; `tests.vectors.logs_replayed` replays a vector through it.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from tests.vectors import spec
from tests.vectors.draws import Json, Stream
from tests.vectors.spec import sha256, text, u64

AT = 1_800_000_000_123
ALPHA, BETA, UNION, LAB = "H:alpha", "H:beta", "C:union", "H:lab"
ORIGIN = "vectors/H:alpha/1"
MOST = 2**63
COSIGNATURE = b"\xffmedunion/v1 ECDSA-P256-SHA256 cosignature/v1"
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def mth(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, of hashed leaves."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"")
    left = _split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:left]) + mth(leaves[left:]))


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 9162, section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    left = _split(len(leaves))
    if index < left:
        return [*path(index, leaves[:left]), mth(leaves[left:])]
    return [*path(index - left, leaves[left:]), mth(leaves[:left])]


def proof(old: int, leaves: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """RFC 9162, section 2.1.4.1."""
    if old == len(leaves):
        return [] if whole else [mth(leaves)]
    left = _split(len(leaves))
    if old <= left:
        return [*proof(old, leaves[:left], whole=whole), mth(leaves[left:])]
    return [*proof(old - left, leaves[left:], whole=False), mth(leaves[:left])]


def _split(count: int) -> int:
    power = 1
    while 2 * power < count:
        power *= 2
    return power


def leaf(data: bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(b"\x00" + data)


TREE = [leaf(bytes([number])) for number in range(13)]
FORK = [*TREE[:5], leaf(b"another past"), *TREE[6:]]


@dataclass(frozen=True)
class Author:
    """Who signs heads and cosigns: an id, and a key that is its name's."""

    identity: str
    source: str = ""

    @property
    def private(self) -> bytes:
        return Stream(f"log {self.source or self.identity}").private_key()

    @property
    def public(self) -> bytes:
        return spec.public_key(self.private)

    @property
    def spki(self) -> bytes:
        return SPKI + spec.uncompressed(spec.decompress(self.public))

    def sign(self, signed: bytes) -> bytes:
        return der(spec.normalised(spec.ecdsa(self.private, signed)))

    def line(self, signed: bytes, name: str = ORIGIN, signature: bytes | None = None) -> bytes:
        """A line under a head: signed-note's type 0x02."""
        return line_of(name, sha256(self.spki)[:4] + (self.sign(signed) if signature is None else signature))

    def note(self, signed: bytes, name: str = ORIGIN) -> bytes:
        return signed + b"\n" + self.line(signed, name)

    def cosigned(self, signed: bytes, at: int = AT // 1000, claimed: int | None = None) -> bytes:
        """A line of a witness, which may claim another time than it signed."""
        name = f"vectors/{self.identity}"
        signature = self.sign(b"cosignature/v1\ntime " + str(at).encode() + b"\n" + signed)
        return self.cosignature(u64(at if claimed is None else claimed) + signature, name)

    def cosignature(self, stamped: bytes, name: str = "") -> bytes:
        name = name or f"vectors/{self.identity}"
        return line_of(name, sha256(name.encode() + b"\n" + COSIGNATURE + self.spki)[:4] + stamped)

    @property
    def as_witness(self) -> Json:
        return {"id": self.identity, "verifying_key": self.public.hex()}


OTHER_CLOUD = Author("C:other")
LOG, STRANGER, WITNESSES = Author(ALPHA), Author(ALPHA, "a stranger"), [Author(BETA), Author(UNION), Author(LAB)]


def der(signature: bytes) -> bytes:
    """Ecdsa-Sig-Value of r || s (RFC 3279, section 2.2.3)."""
    numbers = b"".join(_integer(signature[at : at + 32]) for at in (0, 32))
    return b"\x30" + bytes([len(numbers)]) + numbers


def _integer(number: bytes) -> bytes:
    shortest = number.lstrip(b"\x00")
    padded = b"\x00" + shortest if shortest[0] & 0x80 else shortest
    return b"\x02" + bytes([len(padded)]) + padded


def line_of(name: str, signature: bytes) -> bytes:
    """A line under a note."""
    return f"\u2014 {name} ".encode() + base64.b64encode(signature) + b"\n"


def text_of(size: object, root: bytes | str, origin: str = ORIGIN) -> bytes:
    """Three lines."""
    return f"{origin}\n{size}\n{root if isinstance(root, str) else base64.b64encode(root).decode()}\n".encode()


def head_text(size: int, leaves: Sequence[bytes] = TREE) -> bytes:
    """Three lines of a tree."""
    return text_of(size, mth(leaves[:size]))


def vectors() -> list[Json]:
    """Every vector of the log, by its kind."""
    return [
        *_origins(),
        *_leaves(),
        *_inclusions(),
        *_consistencies(),
        *_heads(),
        *_cosigned(),
        *_believed(),
        *_witnessed(),
    ]


ARCHIVED = [leaf(b"leaf %d" % number) for number in range(300)]
TILE = 256


def archive() -> Json:
    """A log of 300 leaves as static files (C2SP tlog-tiles), each by its path."""
    note = LOG.note(head_text(len(ARCHIVED), ARCHIVED)) + WITNESSES[0].cosigned(head_text(len(ARCHIVED), ARCHIVED))
    files, row, level = {"checkpoint": note}, ARCHIVED, 0
    while row:
        for number, first in enumerate(range(0, len(row), TILE)):
            tile = row[first : first + TILE]
            edge = "" if len(tile) == TILE else f".p/{len(tile)}"
            files[f"tile/{level}/{number:03}{edge}"] = b"".join(tile)
        full = len(row) // TILE
        row, level = [mth(row[at * TILE : (at + 1) * TILE]) for at in range(full)], level + 1
    shown = {path: content.hex() for path, content in files.items()}
    return {"origin": ORIGIN, "verifying_key": LOG.public.hex(), "leaves": len(ARCHIVED), "files": shown}


def _origins() -> Iterator[Json]:
    for realm, identity, number in [
        ("medunion.example", ALPHA, 1),
        ("vectors", UNION, 2),
        ("Union of + Sachsen/1 ~_-", ALPHA, 999_999_999),
    ]:
        origin = f"{quote(realm, safe='')}/{identity}/{number}"
        fields = {"realm": realm, "author_id": identity, "number": number}
        yield _vector("origin", origin, "success", **fields, origin=origin)


def _access(**changed: object) -> Json:
    return {
        "where": ALPHA,
        "at": AT,
        "asker_id": "D:chen",
        "patient_id": "P:wang",
        "access_kind": "READ",
        "department_class": "cardiology",
        "ground": "consent",
        "authorization": sha256(b"an access").hex(),
        "reason": "BEGUN",
        "grant_digest": sha256(b"a grant").hex(),
        "blind": Stream("log blind")(32).hex(),
        **changed,
    }


def _access_data(it: Json) -> bytes:
    before = (text(it["where"]), u64(it["at"]), text(it["asker_id"]), text(it["patient_id"]), text(it["access_kind"]))
    scope = (text(it["department_class"]), text(it["ground"]), bytes.fromhex(it["authorization"]), text(it["reason"]))
    behind = (bytes.fromhex(it["grant_digest"]), bytes.fromhex(it["blind"]))
    return spec.transcript("log-access", *before, *scope, *behind)


def _leaves() -> Iterator[Json]:
    nothing = _access(
        access_kind="SEARCH", where=UNION, ground="none", authorization="", grant_digest="", reason="STALE"
    )
    own = _access(
        asker_id="P:wang", access_kind="LOG", department_class="*", ground="own", grant_digest="", reason="OK"
    )
    for name, entry in {"of an access": _access(), "of a refusal": nothing, "of one's own": own}.items():
        data = _access_data(entry)
        made = {"label": "log-access", "data": data.hex(), "leaf": leaf(data).hex()}
        yield _vector("access leaf", f"leaf {name}", "success", **entry, **made)
    kept = leaf(_access_data(_access())).hex()
    changes: dict[str, object] = {
        "where": BETA,
        "at": AT + 1,
        "asker_id": "D:li",
        "patient_id": "P:lin",
        "access_kind": "STORE",
        "department_class": "*",
        "ground": "emergency",
        "authorization": "",
        "reason": "OK",
        "grant_digest": "",
        "blind": bytes(32).hex(),
    }
    for field, other in changes.items():
        entry = _access(**{field: other})
        yield _vector("access leaf", f"leaf of another {field}", "LEAF_MISMATCH", **entry, leaf=kept)
    event, blind = b'{"kind":"REFUSAL","reason":"STALE"}', Stream("log event blind")(32)
    data = spec.transcript("log-event", text(ALPHA), u64(AT), event, blind)
    fields = {"where": ALPHA, "at": AT, "event": event.hex(), "blind": blind.hex()}
    made = {"label": "log-event", "data": data.hex(), "leaf": leaf(data).hex()}
    yield _vector("event leaf", "leaf of an event", "success", **fields, **made)
    fields["event"] = event[:-1].hex()
    yield _vector("event leaf", "leaf of another event", "LEAF_MISMATCH", **fields, leaf=leaf(data).hex())


def _inclusions() -> Iterator[Json]:
    for size in (1, 2, 3, 5, 7, 8, 13):
        for index in range(size):
            yield _inclusion(f"leaf {index} of {size}", "success", index, size, path(index, TREE[:size]))
    good = path(5, TREE)
    bent: dict[str, tuple[int, int, list[bytes]]] = {
        "with the proof of a smaller tree": (5, 13, path(5, TREE[:8])),
        "with the proof of a larger tree": (5, 8, good),
        "with another leaf's proof": (5, 13, path(4, TREE)),
        "at another place": (4, 13, good),
        "at its place from the right": (7, 13, good),
        "beyond the tree": (13, 13, good),
        "with the proof upside down": (5, 13, good[::-1]),
        "with a proof too short": (5, 13, good[:-1]),
        "with a proof too long": (5, 13, [*good, good[-1]]),
        "without a proof": (5, 13, []),
        "with a short hash": (5, 13, [*good[:-1], good[-1][:-1]]),
        "with a long hash": (5, 13, [good[0] + b"\x00", *good[1:]]),
        "with another hash": (5, 13, [*good[:-1], bytes(32)]),
    }
    for name, (index, size, shown) in bent.items():
        yield _inclusion(f"leaf 5 {name}", "LOG_PROOF_INVALID", index, size, shown, TREE[5])
    yield _inclusion("leaf 5 of a fork", "LOG_PROOF_INVALID", 5, 13, good, FORK[5])
    yield _inclusion("leaf 4 beside a fork's", "LOG_PROOF_INVALID", 4, 13, path(4, FORK))
    inner = sha256(b"\x01" + TREE[4] + TREE[5])
    yield _inclusion("a node as a leaf", "LOG_PROOF_INVALID", 4, 13, good[1:], inner)
    yield _inclusion("a proof of one leaf", "LOG_PROOF_INVALID", 0, 1, [TREE[0]])
    yield _inclusion("a leaf of nothing", "LOG_PROOF_INVALID", 0, 0, [])
    yield _inclusion("a short leaf", "LOG_PROOF_INVALID", 0, 1, [], TREE[0][:-1]) | {"root": TREE[0][:-1].hex()}
    yield _inclusion("leaf 5 under another root", "LOG_PROOF_INVALID", 5, 13, good) | {"root": mth(FORK).hex()}


def _inclusion(name: str, expect: str, index: int, size: int, shown: Sequence[bytes], hashed: bytes = b"") -> Json:
    fields = {"index": index, "size": size, "leaf": (hashed or TREE[index]).hex(), "root": mth(TREE[:size]).hex()}
    return _vector("inclusion", name, expect, **fields, proof=[it.hex() for it in shown])


def _consistencies() -> Iterator[Json]:
    sizes = (0, 1, 2, 3, 4, 6, 7, 8, 13)
    for old, new in [(old, new) for new in sizes for old in sizes if old <= new]:
        shown = proof(old, TREE[:new]) if old else []
        yield _consistency(f"{old} to {new}", "success", (old, TREE), (new, TREE), shown)
    good = proof(6, TREE)
    for name, shown in {
        "with the proof of another old size": proof(7, TREE),
        "with the proof of another new size": proof(6, TREE[:8]),
        "with a fork's proof": proof(6, FORK),
        "with the proof upside down": good[::-1],
        "with a proof too short": good[:-1],
        "with a proof too long": [*good, good[-1]],
        "without a proof": [],
        "with a short hash": [*good[:-1], good[-1][:-1]],
        "with another hash": [*good[:-1], bytes(32)],
    }.items():
        yield _consistency(f"6 to 13 {name}", "LOG_PROOF_INVALID", (6, TREE), (13, TREE), shown)
    for name, old, new, shown in [
        ("6 of a fork to 13", (6, FORK), (13, TREE), good),
        ("6 to 13 of a fork", (6, TREE), (13, FORK), good),
        ("8 of a fork to 13", (8, FORK), (13, TREE), proof(8, TREE)),
        ("13 back to 6", (13, TREE), (6, TREE), good),
        ("8 to itself with a proof", (8, TREE), (8, TREE), [TREE[0]]),
        ("8 to 8 of a fork", (8, TREE), (8, FORK), []),
        ("0 to 8 with a proof", (0, TREE), (8, TREE), [TREE[0]]),
    ]:
        yield _consistency(name, "LOG_PROOF_INVALID", old, new, shown)
    nothing = _consistency("0 of another root to 8", "LOG_PROOF_INVALID", (0, TREE), (8, TREE), [])
    yield nothing | {"old_root": bytes(32).hex()}
    yield (
        nothing
        | {"name": "0 of another root to itself", "new_size": 0}
        | dict.fromkeys(("old_root", "new_root"), bytes(32).hex())
    )
    yield nothing | {"name": "0 to 8 of a short root", "new_root": bytes(31).hex()}


Part = tuple[int, Sequence[bytes]]


def _consistency(name: str, expect: str, old: Part, new: Part, shown: Sequence[bytes]) -> Json:
    trees = {"old": old, "new": new}
    fields: Json = {}
    for which, (size, leaves) in trees.items():
        fields |= {f"{which}_size": size, f"{which}_root": mth(leaves[:size]).hex()}
    return _vector("consistency", name, expect, **fields, proof=[it.hex() for it in shown])


def _heads() -> Iterator[Json]:
    signed = head_text(13)
    good = LOG.note(signed)
    for size in (0, 1, 13):
        yield _head(f"head of {size}", "success", LOG.note(head_text(size)), size=size, root=mth(TREE[:size]).hex())
    public = line_of("witness.example/w1", bytes(76))
    beside = good + WITNESSES[0].cosigned(signed) + public + STRANGER.line(signed) + LOG.line(signed, "another.example")
    yield _head("head with others' lines", "success", beside, size=13, root=mth(TREE).hex())
    largest = text_of(MOST - 1, TREE[0])
    yield _head("head of the largest size", "success", LOG.note(largest), size=MOST - 1, root=TREE[0].hex())
    for name, note in _unsigned(signed).items():
        yield _head(name, "SIGNATURE_INVALID", note)
    elsewhere = text_of(13, mth(TREE), "vectors/H:alpha/2")
    yield _head("head of the log of the next number", "IDENTITY_MISMATCH", LOG.note(elsewhere))
    for name, note in _malformed(signed, good).items():
        yield _head(name, "NOTE_MALFORMED", note)
    for name, bent in _malformed_texts().items():
        yield _head(f"head with {name}", "NOTE_MALFORMED", LOG.note(bent))


def _unsigned(signed: bytes) -> dict[str, bytes]:
    raw = spec.ecdsa(LOG.private, signed)
    low = spec.normalised(raw)
    spelt = der(low)
    longer = spelt[:1] + bytes([spelt[1] + 1]) + b"\x02" + bytes([spelt[3] + 1]) + b"\x00" + spelt[4:]
    shown = {
        "head with a bit flipped in its signature": spelt[:-1] + bytes([spelt[-1] ^ 1]),
        "head with the other half of s": der(spec.other_half(low)),
        "head with a signature of 64 bytes": low,
        "head with a signature of another spelling": longer,
        "head with a signature and something behind it": spelt + b"\x00",
        "head with a signature of nothing": b"\x30\x06\x02\x01\x00\x02\x01\x00",
    }
    notes = {name: signed + b"\n" + LOG.line(signed, signature=it) for name, it in shown.items()}
    return {
        **notes,
        "head signed by a stranger": STRANGER.note(signed),
        "head under a stranger's key id": signed + b"\n" + STRANGER.line(signed, signature=LOG.sign(signed)),
        "head under another name": LOG.note(signed, "vectors/H:alpha/2"),
        "head with another size than was signed": text_of(12, mth(TREE)) + b"\n" + LOG.line(signed),
        "head of which one signature holds and one does not": LOG.note(signed) + LOG.line(signed, signature=bytes(70)),
        "head with a cosignature alone": signed + b"\n" + LOG.cosigned(signed),
        "head signed as a transcript": signed + b"\n" + LOG.line(signed, signature=der(spec.sign(LOG.private, signed))),
    }


def _malformed(signed: bytes, good: bytes) -> dict[str, bytes]:
    line, beside = LOG.line(signed), good + b"\xe2\x80\x94 w "
    return {
        "note of nothing": b"",
        "note without signatures": signed + b"\n",
        "note without an empty line": signed + line,
        "note without a text": b"\n\n" + line,
        "note without its last newline": good[:-1],
        "note that is no UTF-8": good + b"\xff\n",
        "note with a carriage return": good.replace(b"13\n", b"13\r\n"),
        "note with a tab": good + b"\xe2\x80\x94\tw AAAAAAA=\n",
        "note with a zero": signed[:-1] + b"\x00\n\n" + line,
        "note with a hyphen for a dash": good + line.replace("\u2014".encode(), b"-"),
        "note with a name that has a plus": good + line_of("a+b", bytes(70)),
        "note with a name that has a space": good + line_of("a b", bytes(70)),
        "note with a name beyond ASCII": good + line_of("\u00e4", bytes(70)),
        "note without a name": good + line_of("", bytes(70)),
        "note with two spaces": good + line.replace(b"/1 ", b"/1  "),
        "note with something behind a signature": good + line[:-1] + b" \n",
        "note with base64 of another alphabet": beside + b"AAAA-_8A\n",
        "note with base64 of another form": beside + b"AAAAAAB=\n",
        "note with base64 without its padding": beside + b"AAAAAAA\n",
        "note with base64 with too much padding": beside + b"AAAAAAAA==\n",
        "note with a key id alone": beside + b"AAAAAA==\n",
        "note with a signature of nothing": beside + b"\n",
        "note with too many signatures": good + line_of("w", bytes(70)) * 64,
        "note that is too long": good + line_of("w", bytes(16384)),
    }


def _malformed_texts() -> dict[str, bytes]:
    root = base64.b64encode(mth(TREE)).decode()
    return {
        "a size with a leading zero": text_of("013", root),
        "a size below zero": text_of("-13", root),
        "a size with a sign": text_of("+13", root),
        "no size": text_of("", root),
        "a size in other digits": text_of("\u0661\u0663", root),
        "a size of 2^63": text_of(MOST, root),
        "a size of 20 digits": text_of(10**19, root),
        "a root of 31 bytes": text_of(13, bytes(31)),
        "a root of 33 bytes": text_of(13, bytes(33)),
        "a root in another base64": text_of(13, "A" * 42 + "B="),
        "a root of nothing and leaves": text_of(13, ""),
        "another root of nothing": text_of(0, mth(TREE)),
        "an extension": head_text(13) + b"timestamp 1\n",
        "an empty line": head_text(13) + b"\n",
        "two lines": f"{ORIGIN}\n13\n".encode(),
        "no origin": text_of(13, root, ""),
    }


def _head(name: str, expect: str, note: bytes, **opened: object) -> Json:
    fields = {"note": note.hex(), "origin": ORIGIN, "verifying_key": LOG.public.hex()}
    return _vector("head", name, expect, **fields, **{key: str(value) for key, value in opened.items()})


def _cosigned() -> Iterator[Json]:
    signed = head_text(13)
    note, (beta, union, lab) = LOG.note(signed), WITNESSES
    stranger = Author(BETA, "a stranger")
    by_beta, by_union = beta.cosigned(signed), union.cosigned(signed, 1)
    spelt = beta.sign(b"x")
    for name, lines, quorum, counted in [
        ("two of three", [by_beta, by_union], 2, [(BETA, AT // 1000 * 1000), (UNION, 1000)]),
        ("more than are asked for", [by_beta, by_union], 1, [(BETA, AT // 1000 * 1000), (UNION, 1000)]),
        ("one, with others' lines", [stranger.cosigned(signed), LOG.line(signed), by_union], 1, [(UNION, 1000)]),
        ("at the beginning of time", [lab.cosigned(signed, 0)], 1, [(LAB, 0)]),
    ]:
        by = [{"id": identity, "at": at} for identity, at in counted]
        yield _cosigning(f"cosigned by {name}", "success", note, lines, quorum) | {"cosigned_by": by}
    for name, lines, quorum in [
        ("one of two", [by_beta], 2),
        ("one witness twice", [by_beta, by_beta], 2),
        ("nobody, and nobody is asked for", [], 0),
        ("its author", [LOG.cosigned(signed), by_beta], 2),
        ("a stranger under a witness's name", [stranger.cosigned(signed)], 1),
        ("a witness as authors sign", [beta.line(signed, f"vectors/{BETA}")], 1),
        ("a witness under another realm", [beta.cosignature(u64(1) + spelt, f"elsewhere/{BETA}")], 1),
    ]:
        yield _cosigning(f"cosigned by {name}", "HEAD_NOT_COSIGNED", note, lines, quorum)
    renewed = Author(BETA, "a second key")
    by_both = [by_beta, renewed.cosigned(signed)]
    yield _cosigning("cosigned by one witness by two keys", "HEAD_NOT_COSIGNED", note, by_both, 2, renewed)
    for name, line in {
        "of another head": beta.cosigned(head_text(12)),
        "of a fork": beta.cosigned(head_text(13, FORK)),
        "of another time": beta.cosigned(signed, 7, claimed=8),
        "without its header": beta.cosignature(u64(7) + beta.sign(signed)),
        "of no signature": beta.cosignature(u64(7)),
    }.items():
        yield _cosigning(f"cosignature {name}", "SIGNATURE_INVALID", note, [by_union, line], 1)
    for name, line in {
        "with half a time": beta.cosignature(u64(7)[:4]),
        "of a time of 2^63": beta.cosigned(signed, MOST),
        "without its newline": by_beta[:-1],
        "of two lines": by_beta + by_union,
        "of nothing": b"",
        "with a hyphen for a dash": by_beta.replace("\u2014".encode(), b"-"),
    }.items():
        yield _cosigning(f"cosignature {name}", "NOTE_MALFORMED", note, [by_union, line], 1)


def _cosigning(name: str, expect: str, note: bytes, lines: Sequence[bytes], quorum: int, *more: Author) -> Json:
    witnesses = [it.as_witness for it in (*WITNESSES, LOG, *more)]
    fields = {"note": note.hex(), "lines": [it.hex() for it in lines], "witnesses": witnesses, "quorum": quorum}
    return _vector("cosigned", name, expect, **fields)


def _believed() -> Iterator[Json]:
    """Heads by a witness policy: who counts of those whose lines stand under them, or that they are too few."""
    signed = head_text(13)
    beta, union, _ = WITNESSES
    renewed, stranger = Author(BETA, "a second key"), Author(BETA, "a stranger")
    by_beta, by_union, by_lab = (it.cosigned(signed) for it in WITNESSES)
    everybody, named = {"hospitals": ["*"], "public_cloud": True}, {"hospitals": [ALPHA, BETA], "public_cloud": True}
    spoilt = union.cosigned(signed, 7, claimed=8)
    for name, policy, k, lines, counted in [
        ("one of everybody", everybody, 1, [by_beta], [BETA]),
        ("two of everybody", everybody, 2, [by_union, by_beta], [UNION, BETA]),
        ("more than are asked for", everybody, 1, [by_beta, by_union], [UNION, BETA]),
        ("two of whom it names", named, 2, [by_union, by_beta], [UNION, BETA]),
        (
            "one, beside lines that are nobody's",
            everybody,
            1,
            [spoilt, stranger.cosigned(signed), b"", by_beta],
            [BETA],
        ),
        ("one who is not named, and one who is", named, 1, [by_lab, by_beta], [BETA]),
        ("one by two keys", everybody, 1, [by_beta, renewed.cosigned(signed)], [BETA]),
    ]:
        yield _belief(f"believed by {name}", "success", signed, lines, policy, k) | {"counted": counted}
    for name, policy, k, lines in [
        ("nobody", everybody, 1, []),
        ("one fewer than are asked for", everybody, 3, [by_beta, by_union]),
        ("one member twice", everybody, 2, [by_beta, beta.cosigned(signed, 7)]),
        ("one member by two keys", everybody, 2, [by_beta, renewed.cosigned(signed)]),
        ("its author and another", everybody, 2, [LOG.cosigned(signed), by_beta]),
        ("a witness that was withdrawn", named, 2, [by_beta, by_lab]),
        ("a public cloud that does not count", named | {"public_cloud": False}, 1, [by_union]),
        ("hospitals where none counts", everybody | {"hospitals": []}, 1, [by_beta]),
        ("a stranger under a witness's name", everybody, 1, [stranger.cosigned(signed)]),
        ("who cosigned a fork", everybody, 1, [beta.cosigned(head_text(13, FORK))]),
        ("another federation's cloud", everybody, 1, [OTHER_CLOUD.cosigned(signed)]),
    ]:
        yield _belief(f"not believed by {name}", "HEAD_NOT_COSIGNED", signed, lines, policy, k)


def _belief(name: str, expect: str, signed: bytes, lines: Sequence[bytes], policy: Json, cosignatures: int) -> Json:
    witnesses = [it.as_witness for it in (*WITNESSES, LOG, Author(BETA, "a second key"), OTHER_CLOUD)]
    fields = {"note": LOG.note(signed).hex(), "lines": [it.hex() for it in lines], "witnesses": witnesses}
    fields |= {"cloud_id": UNION, "policy": {"cosignatures": cosignatures, **policy}}
    return _vector("believed", name, expect, **fields)


def _witnessed() -> Iterator[Json]:
    first, six, all_ = (LOG.note(head_text(size)) for size in (0, 6, 13))
    good = proof(6, TREE)
    yield _witness("witness takes a first head", "success", b"", all_, 0, [])
    yield _witness("witness takes an empty log", "success", b"", first, 0, [])
    yield _witness("witness takes a log that grows from nothing", "success", first, six, 0, [])
    yield _witness("witness takes a log that grows", "success", six, all_, 6, good)
    yield _witness("witness takes the same head again", "success", six, six, 6, [])
    yield _witness("witness of its own log", "WITNESS_INELIGIBLE", six, all_, 6, good) | {"witness_id": ALPHA}
    yield _witness("witness of its own fork", "WITNESS_INELIGIBLE", six, LOG.note(head_text(6, FORK)), 6, []) | {
        "witness_id": ALPHA
    }
    yield _witness("witness of a foreign signature", "SIGNATURE_INVALID", six, STRANGER.note(head_text(13)), 6, good)
    another = LOG.note(text_of(13, mth(TREE), "vectors/H:beta/1"))
    yield _witness("witness of another log's head", "IDENTITY_MISMATCH", six, another, 6, good)
    yield _witness("witness of a text", "NOTE_MALFORMED", six, head_text(13), 6, good)
    yield _witness("witness of an older head", "HEAD_OLDER", all_, six, 6, [])
    yield _witness("witness of a head that went back to nothing", "HEAD_OLDER", all_, first, 0, [])
    yield _witness("witness of a fork", "HEAD_CONFLICT", six, LOG.note(head_text(6, FORK)), 6, [])
    yield _witness("witness of a fork from nothing", "HEAD_CONFLICT", all_, LOG.note(head_text(13, FORK)), 0, [])
    yield _witness("witness of a proof from nothing", "HEAD_BASE_MISMATCH", six, all_, 0, []) | {"kept_size": 6}
    yield _witness("witness of a proof from later on", "HEAD_BASE_MISMATCH", six, all_, 8, proof(8, TREE)) | {
        "kept_size": 6
    }
    yield _witness("witness of a proof where none is kept", "HEAD_BASE_MISMATCH", b"", all_, 6, good) | {"kept_size": 0}
    yield _witness("witness of a fork that grew", "LOG_PROOF_INVALID", six, LOG.note(head_text(13, FORK)), 6, good)
    fork = LOG.note(head_text(13, FORK))
    yield _witness("witness of a fork with its own proof", "LOG_PROOF_INVALID", six, fork, 6, proof(6, FORK))
    yield _witness("witness of a head without a proof", "LOG_PROOF_INVALID", six, all_, 6, [])
    yield _witness("witness of a first head with a proof", "LOG_PROOF_INVALID", b"", all_, 0, good)


def _witness(name: str, expect: str, kept: bytes, note: bytes, old_size: int, shown: Sequence[bytes]) -> Json:
    fields = {"origin": ORIGIN, "verifying_key": LOG.public.hex(), "witness_id": BETA, "kept": kept.hex()}
    return _vector(
        "witness", name, expect, **fields, note=note.hex(), old_size=old_size, proof=[it.hex() for it in shown]
    )


def _vector(kind: str, name: str, expect: str, **fields: object) -> Json:
    return {"name": name, "kind": kind, "expect": expect, **fields}
