"""Who made a bundle: an Ed25519 signature over the bytes of `manifest.json`, which holds the hash of every other file.

The signature stands beside the manifest, in `manifest.sig`, and is never listed in it. A key's id is the SHA-256 of the
32 bytes of the public key. Checking needs the package `cryptography` (extra `sign`); without it a bundle's hashes are
still checked, and its `signature` reports that the signature was not checked.
"""

from __future__ import annotations

import base64
import binascii
import importlib.util
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from .. import limits
from ..errors import FormatError, MissingExtraError, SignatureError, UsageError
from ..foundation import strict_json
from ..foundation.arguments import StrPath, file_path, one_path, plain
from ..foundation.plain_file import NotPlainError, TooLongError, read_plain
from ..foundation.quick_dataclass import dataclass
from .manifest import SIGNATURE_NAME
from .weak_keys import PUBLIC_KEY_BYTES, weakness

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PUBLIC_SUFFIX = ".pub"
Key = str | os.PathLike[str] | bytes
_KEY_ID = re.compile(r"[0-9a-f]{64}")
# base64 or hexadecimal of a key: it may stand where its file's name should
_MAY_BE_SECRET = re.compile(r"[A-Za-z0-9+/=]{40,}|[A-Za-z0-9_=-]{40,}")


@dataclass(frozen=True, kw_only=True)
class SignatureRecord:
    """All of `manifest.sig`; `signature` is base64 of the 64 bytes."""

    format: Literal[1]
    algorithm: Literal["ed25519"]
    key_id: str
    signature: str

    def __post_init__(self) -> None:
        if not _KEY_ID.fullmatch(self.key_id):
            raise ValueError(f"key_id is {self.key_id[:40]!a}; expected 64 lower-case hexadecimal digits")

    @property
    def signature_bytes(self) -> bytes:
        """The 64 bytes; raises FormatError if the text is not base64."""
        try:
            return base64.b64decode(self.signature, validate=True)
        except (binascii.Error, ValueError) as error:
            raise FormatError(f"{SIGNATURE_NAME}: signature is not base64") from error


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What is known about a bundle's signature; `key_id` is what the file claims unless `state` is `verified`."""

    state: Literal["unsigned", "not checked", "verified"]
    key_id: str | None = None

    def __str__(self) -> str:
        if self.state == "unsigned":
            return "unsigned"
        if self.state == "verified":
            return f"verified, key {self.key_id}"
        return f"present but not checked (claims key {self.key_id}); pass the public key to check it"


UNSIGNED = Signature(state="unsigned")


def examine(manifest: bytes, signature: bytes | None, key: Key | None) -> Signature:
    """Return the state of a manifest's signature, None if there is no `manifest.sig`; without `key` nothing is checked.

    Raises SignatureError if there is a `key` and the manifest is not signed by it, MissingExtraError if there is a
    `key` and `cryptography` is not installed: a requested check is never skipped.
    """
    if key is None:
        if signature is None:
            return UNSIGNED
        return Signature(state="not checked", key_id=_record(signature).key_id)
    public = read_public_key(key)
    if signature is None:
        raise SignatureError(f"the bundle is not signed (it has no {SIGNATURE_NAME}); a key was given, so it must be")
    record = _record(signature)
    expected = key_id(public)
    if record.key_id != expected:
        raise SignatureError(f"the bundle is signed by key {record.key_id}, not by the given key {expected}")
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(record.signature_bytes, manifest)
    except InvalidSignature as error:
        raise SignatureError(f"the signature does not match key {expected} and this manifest") from error
    return Signature(state="verified", key_id=expected)


def sign_manifest(manifest: bytes, private: Ed25519PrivateKey) -> bytes:
    """Return the bytes of `manifest.sig`; the same manifest and key give the same bytes."""
    record = SignatureRecord(
        format=1,
        algorithm="ed25519",
        key_id=key_id(private.public_key()),
        signature=base64.b64encode(private.sign(manifest)).decode(),
    )
    return strict_json.dumps(record).encode()


def generate_key(path: StrPath) -> str:
    """Write a new private key to `path` (PEM, mode 0600) and its public key to `path`.pub; return the key's id.

    Raises UsageError if either exists: a lost key cannot be recovered. The private key is not encrypted; keep it where
    only the release job reads it.
    """
    _require_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private_path = file_path("path", path)
    public_path = private_path.with_name(private_path.name + PUBLIC_SUFFIX)
    for target in (private_path, public_path):
        _refuse_replacing(target)
    private = Ed25519PrivateKey.generate()
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    from ..foundation.whole_file import whole_file

    pair = {private_path: (secret, 0o600), public_path: (public_pem(private.public_key()), 0o644)}
    try:
        for target, (data, mode) in pair.items():
            with whole_file(target, force=False, mode=mode) as file:
                file.write(data)
    except BaseException:  # Ctrl-C too: half a pair would be in the way of the next one
        for target, (data, _) in pair.items():
            if target.is_file() and target.read_bytes() == data:
                target.unlink()
        raise
    return key_id(private.public_key())


def _refuse_replacing(target: Path) -> None:
    from ..foundation.whole_file import check_file_free

    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} exists; a key is never replaced: choose another name")
    check_file_free(target, force=False)


def read_private_key(path: StrPath) -> Ed25519PrivateKey:
    """Return the Ed25519 key in the PEM file at `path`; raises UsageError unless only its owner can read it."""
    _require_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    file = _key_path("private_key", path)
    data = _key_bytes(file)
    if b"PUBLIC KEY" in data:
        raise UsageError(f"{file.name} is a public key; signing needs the private one, which `pulsecast keygen` made")
    if os.name == "posix" and file.stat().st_mode & 0o077:
        raise UsageError(f"{file} can be read by others; a private key must have mode 0600: chmod 600 {file.name}")
    key = _parse(lambda: serialization.load_pem_private_key(data, password=None), file.name, "private")
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{file.name} is not an Ed25519 key; make one with `pulsecast keygen`")
    return key


def read_public_key(key: Key) -> Ed25519PublicKey:
    """Return the Ed25519 public key of a PEM file, of PEM bytes, or of its 32 raw bytes.

    Raises UsageError, which never quotes the key; also for a key with which anyone could sign.
    """
    if not isinstance(key, bytes | str | os.PathLike):
        raise UsageError(f"key is of type {type(key).__name__}; expected the path of a public key, or its bytes")
    _require_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    data, name = _key_data(key)
    if b"PRIVATE KEY" in data:
        raise UsageError(f"{name} is a private key; a check needs only the public key (`{PUBLIC_SUFFIX}`)")
    if len(data) == PUBLIC_KEY_BYTES:
        found: object = Ed25519PublicKey.from_public_bytes(data)
    else:
        found = _parse(lambda: serialization.load_pem_public_key(data), name, "public")
    if not isinstance(found, Ed25519PublicKey):
        raise UsageError(f"{name} is not an Ed25519 public key")
    if problem := weakness(found.public_bytes_raw()):
        raise UsageError(f"{name} {problem}; expected a key that `pulsecast keygen` made")
    return found


def key_id(public: Ed25519PublicKey) -> str:
    """Return the SHA-256 of the key's 32 raw bytes, in hexadecimal."""
    import hashlib

    return hashlib.sha256(public.public_bytes_raw()).hexdigest()


def public_pem(public: Ed25519PublicKey) -> bytes:
    """Return the key as PEM (SubjectPublicKeyInfo)."""
    from cryptography.hazmat.primitives import serialization

    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _record(data: bytes) -> SignatureRecord:
    return strict_json.loads(SignatureRecord, data, where=SIGNATURE_NAME)


def _key_data(key: Key) -> tuple[bytes, str]:
    """Return the bytes of a public key, and what messages call it."""
    if isinstance(key, bytes):
        return key, "the key"
    path = _key_path("key", key)
    return _key_bytes(path), path.name


def _key_path(name: str, key: str | os.PathLike[str]) -> Path:
    """Return the path of a key's file; raises UsageError for the key itself, which no message may quote."""
    if not isinstance(key, str | os.PathLike):
        raise UsageError(f"{name} is of type {type(key).__name__}; expected the path of a key's file")
    given = plain(key) or ""
    if "-----BEGIN" in given:
        kind = "a private key" if "PRIVATE KEY" in given else "a key"
        raise UsageError(f"{name} is the text of {kind}; expected the path of its file")
    return one_path(name, key)


def _key_bytes(path: Path) -> bytes:
    shown = "the key's file" if _MAY_BE_SECRET.fullmatch(str(path)) else f"key {path}"
    try:
        return read_plain(path, limits.KEY_BYTES)
    except NotPlainError as error:
        raise UsageError(f"{shown} {error.strerror}") from error
    except TooLongError as error:
        raise UsageError(f"{shown} is not a key: it {error.strerror}") from error
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror}") from None  # the system's own words quote the path


def _parse(load: Callable[[], object], name: str, kind: str) -> object:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # the parser's own words may quote the file, which may be a secret
        raise UsageError(f"{name} is not an unencrypted {kind} key in PEM form") from None


def _require_cryptography() -> None:
    if importlib.util.find_spec("cryptography") is None:
        raise MissingExtraError("signatures need cryptography, which is not installed: pip install 'pulsecast[sign]'")
