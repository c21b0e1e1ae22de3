"""The public cloud's services: registration, the blind index, membership, revocation, the directory."""
