"""The public cloud: registration, the blind index, membership, revocation, the directory."""
