"""An order that looks random and is the same everywhere, whatever the version of any library."""

from hashlib import sha256


def shuffled(keys, seed):
    """Positions of `keys`, distinct strings, in the order of the SHA-256 of ``"seed:key"``."""
    return sorted(range(len(keys)), key=lambda i: sha256(f"{seed}:{keys[i]}".encode()).digest())
