"""Signatures: who made a bundle. A wrong, missing or changed signature is refused if a key is given."""

import base64
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.engines import require, require_tool
from pulsecast import load, verify
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.packing import pack, sign, unpack
from pulsecast.errors import BundleError, IntegrityError, MissingExtraError, SignatureError, UsageError

require("cryptography")

from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402

from pulsecast.bundle.signing import generate_key, key_id, read_public_key  # noqa: E402

GOLDEN = Path(__file__).parents[2] / "data" / "golden_v1"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a private key; its public one is beside it."""
    path = tmp_path_factory.mktemp("keys") / "release"
    generate_key(path)
    return path


@pytest.fixture(scope="module")
def other_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("other") / "other"
    generate_key(path)
    return path


def public(private: Path) -> Path:
    return private.with_name(private.name + ".pub")


@pytest.fixture(params=["folder", "file"])
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return an unsigned bundle in either form."""
    if request.param == "folder":
        return shutil.copytree(GOLDEN, tmp_path / "bundle")
    return pack(GOLDEN, tmp_path / "bundle.pulse").path


def test_a_signed_bundle_loads_with_its_key_and_says_so(bundle: Path, keys: Path) -> None:
    sign(bundle, keys)
    model = load(bundle, backend="numpy", key=public(keys))
    assert model.signature.state == "verified"
    assert model.signature.key_id == key_id(read_public_key(public(keys)))


@pytest.mark.parametrize("form", ["path", "text", "pem", "raw"])
def test_a_key_may_be_a_path_its_bytes_or_the_32_bytes_themselves(bundle: Path, keys: Path, form: str) -> None:
    sign(bundle, keys)
    path = public(keys)
    raw = read_public_key(path).public_bytes_raw()
    key = {"path": path, "text": str(path), "pem": path.read_bytes(), "raw": raw}[form]
    assert Bundle.open(bundle, key=key).signature.state == "verified"


def test_an_unsigned_bundle_is_refused_when_a_key_is_given(bundle: Path, keys: Path) -> None:
    with pytest.raises(SignatureError, match="is not signed"):
        load(bundle, backend="numpy", key=public(keys))
    with pytest.raises(SignatureError, match="is not signed"):
        verify(bundle, key=public(keys))


def test_a_bundle_signed_by_another_key_is_refused(bundle: Path, keys: Path, other_keys: Path) -> None:
    sign(bundle, other_keys)
    with pytest.raises(SignatureError, match=r"signed by key .* not by the given key"):
        load(bundle, backend="numpy", key=public(keys))


def test_an_unchecked_signature_is_said_to_be_unchecked(bundle: Path, keys: Path) -> None:
    sign(bundle, keys)
    signature = load(bundle, backend="numpy").signature
    assert signature.state == "not checked"
    assert "not checked" in str(signature)
    assert load(GOLDEN, backend="numpy").signature.state == "unsigned"


def test_without_cryptography_hashes_are_checked_and_a_key_is_never_ignored(
    bundle: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign(bundle, keys)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cryptography" else found(name))
    assert load(bundle, backend="numpy").signature.state == "not checked"
    with pytest.raises(MissingExtraError, match=r"pulsecast\[sign\]"):
        load(bundle, backend="numpy", key=public(keys))


def test_a_changed_file_is_refused_though_the_signature_is_right(tmp_path: Path, keys: Path) -> None:
    copy = shutil.copytree(GOLDEN, tmp_path / "bundle")
    sign(copy, keys)
    data = bytearray((copy / "weights.npz").read_bytes())
    data[500] ^= 1
    (copy / "weights.npz").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"weights.npz has another SHA-256"):
        load(copy, backend="numpy", key=public(keys))


def test_a_manifest_with_new_hashes_is_refused_by_its_signature(tmp_path: Path, keys: Path) -> None:
    copy = shutil.copytree(GOLDEN, tmp_path / "bundle")
    sign(copy, keys)
    manifest = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(manifest.replace('"seed": 7', '"seed": 8', 1))
    assert Bundle.open(copy).signature.state == "not checked"
    with pytest.raises(SignatureError, match="does not match key"):
        load(copy, backend="numpy", key=public(keys))


def edited(field: str, value: object) -> Callable[[dict[str, object]], object]:
    return lambda record: record.__setitem__(field, value)


BAD_RECORDS: dict[str, tuple[Callable[[dict[str, object]], object], str]] = {
    "another format": (edited("format", 2), "format is 2"),
    "another algorithm": (edited("algorithm", "none"), "algorithm is 'none'"),
    "no base64": (edited("signature", "?"), "signature is not base64"),
    "an empty signature": (edited("signature", ""), "does not match key"),
    "another signature": (edited("signature", base64.b64encode(bytes(64)).decode()), "does not match key"),
    "an unknown key": (edited("extra", 1), "unknown key extra"),
    "no signature": (lambda record: record.pop("signature"), "missing key signature"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_a_signature_file_that_is_not_right_is_refused(name: str, tmp_path: Path, keys: Path) -> None:
    edit, sentence = BAD_RECORDS[name]
    copy = shutil.copytree(GOLDEN, tmp_path / "bundle")
    sign(copy, keys)
    record = json.loads((copy / "manifest.sig").read_text())
    edit(record)
    (copy / "manifest.sig").write_text(json.dumps(record))
    with pytest.raises(BundleError, match=sentence):
        load(copy, backend="numpy", key=public(keys))


def test_a_huge_signature_file_is_not_read(tmp_path: Path) -> None:
    copy = shutil.copytree(GOLDEN, tmp_path / "bundle")
    (copy / "manifest.sig").write_bytes(b" " * 100_000)
    with pytest.raises(IntegrityError, match="more than 4096 bytes"):
        Bundle.open(copy)


def test_the_signature_survives_packing_and_unpacking(tmp_path: Path, keys: Path) -> None:
    copy = shutil.copytree(GOLDEN, tmp_path / "bundle")
    sign(copy, keys)
    pack(copy, tmp_path / "b.pulse")
    unpack(tmp_path / "b.pulse", tmp_path / "again")
    for path in (tmp_path / "b.pulse", tmp_path / "again"):
        assert Bundle.open(path, key=public(keys)).signature.state == "verified"


def test_signing_twice_needs_force(bundle: Path, keys: Path, other_keys: Path) -> None:
    sign(bundle, keys)
    with pytest.raises(UsageError, match="already signed by key"):
        sign(bundle, other_keys)
    sign(bundle, other_keys, force=True)
    assert Bundle.open(bundle, key=public(other_keys)).signature.state == "verified"


def test_a_damaged_bundle_is_not_signed(tmp_path: Path, keys: Path) -> None:
    copy = shutil.copytree(GOLDEN, tmp_path / "bundle")
    (copy / "weights.npz").write_bytes(b"x")
    with pytest.raises(IntegrityError):
        sign(copy, keys)
    assert not (copy / "manifest.sig").exists()


def test_signing_leaves_no_other_file(bundle: Path, keys: Path) -> None:
    sign(bundle, keys)
    assert [p.name for p in bundle.parent.iterdir()] == [bundle.name]


def test_a_private_key_is_for_its_owner_only_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key"
    generate_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["key", "key.pub"]
    before = path.read_bytes()
    with pytest.raises(UsageError, match="never replaced"):
        generate_key(path)
    path.unlink()
    with pytest.raises(UsageError, match=r"key.pub exists"):
        generate_key(path)
    assert not path.exists()
    assert before not in public(path).read_bytes()


def test_half_a_pair_of_keys_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "key"
    with monkeypatch.context() as patch:
        patch.setattr("pulsecast.foundation.whole_file.flush_folder", interrupted)  # the private key stands by then
        with pytest.raises(KeyboardInterrupt):
            generate_key(path)
    assert list(tmp_path.iterdir()) == []
    generate_key(path)


def test_a_private_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "key"
    generate_key(path)
    path.chmod(0o640)
    with pytest.raises(UsageError, match="can be read by others"):
        sign(shutil.copytree(GOLDEN, tmp_path / "bundle"), path)


def _curve_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _encrypted_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"SECRET-TEXT", "is not an unencrypted private key"),
        (_curve_key(), "is not an Ed25519 key"),
        (_encrypted_key(), "is not an unencrypted private key"),
        (b"x" * 5000, "more than 4096 bytes"),
    ],
)
def test_a_file_that_is_not_a_key_is_refused_without_quoting_it(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UsageError, match=sentence) as caught:
        sign(shutil.copytree(GOLDEN, tmp_path / "bundle"), path)
    assert "SECRET" not in str(caught.value)


def test_a_private_key_given_for_the_public_one_is_refused(bundle: Path, keys: Path) -> None:
    with pytest.raises(UsageError, match="is a private key"):
        load(bundle, backend="numpy", key=keys)


def test_the_key_id_is_the_sha256_of_the_public_keys_bytes(keys: Path) -> None:
    key = read_public_key(public(keys))
    assert key_id(key) == hashlib.sha256(key.public_bytes_raw()).hexdigest()


def test_openssl_verifies_the_signature(tmp_path: Path, keys: Path) -> None:
    openssl = require_tool("openssl")
    copy = shutil.copytree(GOLDEN, tmp_path / "bundle")
    sign(copy, keys)
    record = json.loads((copy / "manifest.sig").read_text())
    (tmp_path / "raw").write_bytes(base64.b64decode(record["signature"]))
    command = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", str(public(keys)), "-rawin"]
    command += ["-in", str(copy / "manifest.json"), "-sigfile", str(tmp_path / "raw")]
    assert "Successfully" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    require("typer")
    from pulsecast_cli.app import run as run_command

    code = run_command(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def test_the_commands_make_a_key_sign_pack_and_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy, key, file = shutil.copytree(GOLDEN, tmp_path / "bundle"), tmp_path / "key", tmp_path / "b.pulse"
    code, out, err = run("keygen", "--out", str(key), capsys=capsys)
    secret = "".join(key.read_text().splitlines()[1:-1])
    assert code == 0
    assert secret not in out + err
    assert "PRIVATE KEY" not in out + err
    assert run("sign", str(copy), "--key", str(key), capsys=capsys)[0] == 0
    assert run("pack", str(copy), "--out", str(file), capsys=capsys)[0] == 0
    code, out, _ = run("verify", str(file), "--key", f"{key}.pub", "--artifact", "numpy", capsys=capsys)
    assert (code, "signature: verified, key" in out) == (0, True)
    code, out, _ = run("inspect", str(file), "--format", "json", capsys=capsys)
    assert (code, json.loads(out)["signature"]["state"]) == (0, "not checked")
    assert run("unpack", str(file), "--out", str(tmp_path / "again"), capsys=capsys)[0] == 0


def test_the_commands_exit_with_5_for_a_wrong_signature_and_2_for_a_key_that_exists(
    tmp_path: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run("verify", str(GOLDEN), "--key", str(public(keys)), capsys=capsys)
    assert (code, "is not signed" in err) == (5, True)
    code, _, err = run("keygen", "--out", str(keys), capsys=capsys)
    assert (code, "never replaced" in err) == (2, True)


def test_importing_and_loading_never_imports_cryptography(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}; import pulsecast; pulsecast.load({str(GOLDEN)!r}, backend='numpy'); "
        "assert 'cryptography' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
