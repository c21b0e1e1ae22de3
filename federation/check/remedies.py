"""What to do about what a check finds wrong, by the reason of the fault."""

_REMEDIES = {
    "PIN_INCORRECT": "give the right PIN (--pin-file); each wrong one counts towards locking the token",
    "PIN_LOCKED": "unlock the token with its maker's tools and the security officer's PIN",
    "PIN_FINAL_TRY": "unlock the token with its maker's tools before you try a PIN again",
    "PIN_UNAVAILABLE": "make the PIN's file readable for this user alone, mode 0600",
    "TOKEN_NOT_FOUND": "connect the token, or correct token.uri; `medunion token list` shows what is there",
    "TOKEN_AMBIGUOUS": "name the token by serial= in token.uri",
    "MODULE_NOT_FOUND": "install the token's PKCS#11 module, or correct module-path in token.uri",
    "MODULE_UNUSABLE": "correct module-path in token.uri",
    "KEY_NOT_FOUND": "restore the keys (docs/ceremonies/backup.md), or name the token that holds them",
    "KEY_AMBIGUOUS": "`medunion token keys` shows the two; destroy the one that is not the node's",
    "KEY_POLICY_VIOLATION": "`medunion token keys` shows them; rotate such a key (docs/rotation.md)",
    "STORE_FULL": "make room on the disk of the records' shelf (docs/operations.md)",
    "STORE_UNAVAILABLE": "see that the database runs and takes this user (docs/operations.md)",
    "STORED_RECORD_CORRUPT": "stop the node, keep a copy of the database, and restore a backup",
    "NETWORK_FORBIDDEN": "name its network in [dialling], or find out why its address is another (docs/running.md)",
    "UNAVAILABLE": "see that the other side serves, and that nothing between keeps you from it",
    "BUNDLE_STALE": "see that the public cloud can be reached; the bundle is followed by itself then",
    "NOT_REGISTERED": "register: `medunion hospital|doctor|patient register`",
    "CREDENTIAL_EXPIRED": "register again with a new ticket",
    "CREDENTIAL_REVOKED": "ask the public cloud's operator why; register again with a new ticket",
    "REVOCATION_LIST_STALE": "see that the public cloud can be reached, and that this clock is right",
    "BIOMETRIC_MISMATCH": "let the person whose device it is be read",
    "REJECTED": "compare this clock with the public cloud's; its log has the cause",
    "TLS_UNTRUSTED": "see that trust.json is the federation's newest, and that nothing terminates TLS in between",
}


def remedy_of(error: BaseException) -> str:
    """Give what to do; nothing where the fault's own words say it."""
    return _REMEDIES.get(getattr(error, "reason", None) or "", "")
