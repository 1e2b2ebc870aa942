"""Public keys of Ed25519 with which anyone could sign: a check by such a key proves nothing.

A point of small order makes the signature's equation hold for every message, or for every eighth one. RFC 8032, section
5.1.3, also refuses a y that is not below the field's prime: the same point would have two ids.
"""

from __future__ import annotations

PUBLIC_KEY_BYTES = 32
_PRIME = 2**255 - 19
_SIGN = 1 << 255  # the last bit: which of the two points with this y it is
_ORDER_8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
# y of every point of order 1, 2, 4 and 8: the list that libsodium's `ge25519_has_small_order` holds
_SMALL_ORDER = frozenset({1, _PRIME - 1, 0, _ORDER_8, _PRIME - _ORDER_8})


def weakness(public: bytes) -> str | None:
    """Return what is wrong with the 32 bytes of a public key, as the end of a sentence; None for a proper key.

    >>> weakness(bytes(32))
    'is a point of small order, with which anyone could sign'
    """
    y = int.from_bytes(public, "little") & ~_SIGN
    if y >= _PRIME:
        return "is not in canonical form (RFC 8032, section 5.1.3)"
    return "is a point of small order, with which anyone could sign" if y in _SMALL_ORDER else None
