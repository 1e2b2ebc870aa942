"""Which keys are taken, and what is said of others: never the key itself."""

import base64
import json
import os
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.engines import require
from pulsecast import load
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.packing import sign
from pulsecast.errors import FormatError, PulsecastError, SignatureError, UsageError

require("cryptography")

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: E402

from pulsecast.bundle.signing import generate_key, public_pem, read_public_key  # noqa: E402
from pulsecast.bundle.weak_keys import weakness  # noqa: E402

GOLDEN = Path(__file__).parents[2] / "data" / "golden_v1"
PRIME = 2**255 - 19
D = -121665 * pow(121666, -1, PRIME) % PRIME  # of the curve -x^2 + y^2 = 1 + D x^2 y^2 (RFC 8032, section 5.1)
Point = tuple[int, int]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a private key; its public one is beside it."""
    path = tmp_path_factory.mktemp("keys") / "release"
    generate_key(path)
    return path


def encoded(y: int, sign_bit: int = 0) -> bytes:
    return (y | sign_bit << 255).to_bytes(32, "little")


def points(y: int) -> list[Point]:
    """Return the points of the curve with this y."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, PRIME) % PRIME
    root = pow(square, (PRIME + 3) // 8, PRIME)
    if root * root % PRIME != square:
        root = root * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    return [(root, y), (-root % PRIME, y)] if root * root % PRIME == square else []


def doubled(point: Point) -> Point:
    x, y = point
    product = D * x * x * y * y % PRIME
    return (
        2 * x * y * pow(1 + product, -1, PRIME) % PRIME,
        (y * y + x * x) * pow(1 - product, -1, PRIME) % PRIME,
    )


def order_of_torsion(point: Point) -> int | None:
    """Return the order of a point if it is 1, 2, 4 or 8."""
    for order in (1, 2, 4, 8):
        if point == (0, 1):
            return order
        point = doubled(point)
    return None


ORDER_8 = int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little")
SMALL = {1: 1, 2: PRIME - 1, 4: 0, 8: ORDER_8}


@pytest.mark.parametrize("order", SMALL)
def test_points_of_small_order_are_refused_with_either_sign(order: int) -> None:
    y = SMALL[order]
    assert {order_of_torsion(point) for point in points(y)} == {order}
    for sign_bit in (0, 1):
        with pytest.raises(UsageError, match="the key is a point of small order, with which anyone could sign"):
            read_public_key(encoded(y, sign_bit))
        assert weakness(encoded(PRIME - y if y else y, sign_bit)) is not None


def test_there_are_eight_points_of_small_order() -> None:
    every = {point for y in (0, 1, PRIME - 1, ORDER_8, PRIME - ORDER_8) for point in points(y)}
    assert len(every) == 8
    assert None not in {order_of_torsion(point) for point in every}


@pytest.mark.parametrize("y", [PRIME, PRIME + 1, PRIME + 5, 2**255 - 1])
def test_a_y_that_is_not_below_the_prime_is_refused(y: int) -> None:
    with pytest.raises(UsageError, match="the key is not in canonical form"):
        read_public_key(encoded(y))


def test_a_weak_key_in_pem_form_is_refused_by_the_name_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "weak.pub").write_bytes(public_pem(Ed25519PublicKey.from_public_bytes(bytes(32))))
    with pytest.raises(UsageError, match=r"^weak\.pub is a point of small order"):
        read_public_key(tmp_path / "weak.pub")


def test_a_forged_signature_of_the_zero_key_does_not_verify(tmp_path: Path) -> None:
    """R the neutral point and S 0 fit a key of order 4 for one manifest in four."""
    bundle = shutil.copytree(GOLDEN, tmp_path / "bundle")
    record = {"format": 1, "algorithm": "ed25519", "key_id": "0" * 64}
    record["signature"] = base64.b64encode(encoded(1) + bytes(32)).decode()
    (bundle / "manifest.sig").write_text(json.dumps(record))
    with pytest.raises(UsageError, match="with which anyone could sign"):
        load(bundle, key=bytes(32))


# --- where a key is looked for


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


NOT_FILES: dict[str, Callable[[Path], Path]] = {
    "a pipe": fifo,
    "a folder": folder,
    "a device": lambda _: Path("/dev/zero"),
    "a link to a pipe": lambda path: (path.symlink_to(fifo(path.with_name("pipe"))), path)[1],
}


@pytest.mark.parametrize("name", NOT_FILES)
def test_what_is_not_a_plain_file_is_not_a_key_and_blocks_nothing(name: str, tmp_path: Path) -> None:
    path = NOT_FILES[name](tmp_path / "key")
    with pytest.raises(UsageError, match=rf"^key {path} is not a plain file$"):
        load(GOLDEN, key=path)
    with pytest.raises(UsageError, match=rf"^key {path} is not a plain file$"):
        sign(GOLDEN, path)


@pytest.mark.parametrize("name", NOT_FILES)
@pytest.mark.parametrize("command", [("verify",), ("sign",), ("predict", "--input", str(GOLDEN / "manifest.json"))])
def test_the_commands_wait_for_no_pipe(
    name: str, command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("typer", "polars")
    from pulsecast_cli.app import run

    path = NOT_FILES[name](tmp_path / "key")
    assert run([command[0], str(GOLDEN), *command[1:], "--key", str(path)]) == 2
    assert capsys.readouterr().err.startswith("error[usage]: ")


@pytest.mark.parametrize("use", [lambda key: load(GOLDEN, key=key), lambda key: sign(GOLDEN, key)])
def test_a_key_given_as_text_is_refused_and_not_quoted(keys: Path, use: Callable[[object], object]) -> None:
    text = keys.read_text()
    secret = text.splitlines()[1]
    for given in (text, secret, base64.b64decode(secret)[-32:].hex(), bytearray(text.encode())):
        with pytest.raises(PulsecastError) as raised:
            use(given)
        shown = "".join(traceback.format_exception_only(raised.value)) + str(raised.value.__cause__)
        assert not any(part in shown for part in (secret, secret[-12:], "BEGIN"))
        assert not isinstance(given, str) or given[-20:] not in shown


def test_the_text_of_a_key_is_called_that(keys: Path) -> None:
    with pytest.raises(UsageError, match=r"^key is the text of a private key; expected the path of its file$"):
        load(GOLDEN, key=keys.read_text())
    with pytest.raises(UsageError, match=r"^key is the text of a key; expected the path of its file$"):
        load(GOLDEN, key=keys.with_name("release.pub").read_text())


def test_a_zero_byte_in_a_keys_path_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"key is .*; expected a path"):
        load(GOLDEN, key="a\0b")


# --- what a signature claims

CLAIMS = {
    "a line of its own": "0" * 60 + "\nsignature: verified, key " + "0" * 64,
    "an escape sequence": "\x1b[2J" + "0" * 60,
    "too short": "ab" * 31,
    "too long": "ab" * 33,
    "capitals": "AB" * 32,
    "a line end behind": "ab" * 32 + "\n",
    "digits of another script": "\u0660" * 64,
    "nothing": "",
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_key_id_that_is_not_64_digits_is_refused(
    name: str, tmp_path: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = shutil.copytree(GOLDEN, tmp_path / "bundle")
    sign(bundle, keys)
    record = json.loads((bundle / "manifest.sig").read_text())
    (bundle / "manifest.sig").write_text(json.dumps(record | {"key_id": CLAIMS[name]}))
    for key in (None, keys.with_name("release.pub")):
        with pytest.raises(
            FormatError, match=r"^manifest\.sig: key_id is .*; expected 64 lower-case hexadecimal digits$"
        ):
            Bundle.open(bundle, key=key)
    require("typer")
    from pulsecast_cli.app import run

    assert run(["verify", str(bundle)]) == 5
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.rstrip("\n").isprintable()


def test_a_signature_by_a_key_that_is_not_on_the_curve_does_not_verify(tmp_path: Path, keys: Path) -> None:
    bundle = shutil.copytree(GOLDEN, tmp_path / "bundle")
    sign(bundle, keys)
    assert points(2) == []
    with pytest.raises(SignatureError):
        load(bundle, key=encoded(2))
