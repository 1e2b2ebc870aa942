"""Changes a bundle's form: a folder to one `.pulse` file and back, and signed. Only checked bytes are written."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from .. import limits
from ..errors import UsageError
from ..foundation.arguments import StrPath, flag, one_path
from ..foundation.whole_directory import whole_directory
from ..foundation.whole_file import check_file_free, whole_file
from .archive import SUFFIX, check_archive, read_archive, write_archive
from .bundle import Bundle
from .folder import BUNDLE_FOLDER
from .manifest import MANIFEST_NAME, SIGNATURE_NAME
from .signing import read_private_key, sign_manifest


def pack(path: StrPath, out: StrPath, *, force: bool = False, compress: bool = False) -> Bundle:
    """Write the bundle at `path` as one `.pulse` file at `out`, which exists whole or not at all; return it opened.

    By default files are stored: the same bundle gives the same bytes everywhere, and its files can be memory-mapped.
    With `compress` it is smaller, and the same for the same zlib. A signature is kept.

    Raises what `Bundle.open` raises, UsageError if `out` exists and not `force`, or is not called `.pulse`.
    """
    source, out = one_path("path", path), one_path("out", out)
    if out.suffix != SUFFIX:
        raise UsageError(f"{out.name} does not end in {SUFFIX}")
    compress = flag("compress", compress)
    check_file_free(out, force=force, read=[source])
    bundle = Bundle.open(source)
    total = sum(entry.size_bytes for entry in bundle.manifest.files)
    if total > limits.ARCHIVE_BYTES:
        raise UsageError(
            f"the files of {bundle.path.name} have {total} bytes together; a {SUFFIX} file takes {limits.ARCHIVE_BYTES}"
        )
    with whole_file(out, force=force) as file:
        write_archive(file, _all_files(bundle, bundle.signature_bytes()), compress=compress)
        check_archive(file, out.name)
    return Bundle.open(out)


def unpack(path: StrPath, out: StrPath, *, force: bool = False) -> Bundle:
    """Write the bundle at `path` as a folder at `out`, which exists whole or not at all; return it opened."""
    bundle, out = Bundle.open(path), one_path("out", out)
    with whole_directory(out, BUNDLE_FOLDER, force=force) as staging:
        for relative, data in _all_files(bundle, bundle.signature_bytes()):
            (staging / relative).parent.mkdir(parents=True, exist_ok=True)
            (staging / relative).write_bytes(data)
    return Bundle.open(out)


def sign(path: StrPath, private_key: StrPath, *, force: bool = False) -> Bundle:
    """Sign the bundle at `path`, a folder or a `.pulse` file, in place; return it opened with the signature verified.

    Every file is checked first: a damaged bundle is not signed. Raises UsageError if it is signed already and not
    `force`, MissingExtraError without `cryptography`.
    """
    private, force = read_private_key(private_key), flag("force", force)
    bundle = Bundle.open(path)
    if bundle.signature.state != "unsigned" and not force:
        raise UsageError(f"{bundle.path.name} is already signed by key {bundle.signature.key_id}; pass --force")
    signature = sign_manifest(bundle.manifest_bytes(), private)
    if bundle.path.is_dir():
        # staged beside the folder: inside it the unlisted file would make the bundle invalid for a moment
        with whole_file(bundle.path / SIGNATURE_NAME, force=True, staging=bundle.path.resolve().parent) as file:
            file.write(signature)
    else:
        compress = any(member.method for member in read_archive(bundle.path).members.values())
        mode = stat.S_IMODE(bundle.path.stat().st_mode)
        with whole_file(bundle.path, force=True, mode=mode) as file:
            write_archive(file, _all_files(bundle, signature), compress=compress)
    return Bundle.open(path, key=private.public_key().public_bytes_raw())


def _all_files(bundle: Bundle, signature: bytes | None) -> Iterator[tuple[str, bytes]]:
    yield MANIFEST_NAME, bundle.manifest_bytes()
    if signature is not None:
        yield SIGNATURE_NAME, signature
    for entry in bundle.manifest.files:
        yield entry.path, bundle.read(entry.path)
