"""What a message may hold: no control character, no key, not more than two kilobytes."""

import pytest

from pulsecast import errors, limits
from pulsecast.errors import NotWrittenError, PulsecastError
from pulsecast.plain_text import message, printable, printable_lines

ODD = {
    "an escape sequence": ("\x1b[2J", "\\x1b[2J"),
    "a line end": ("a\nb", "a\\nb"),
    "a return": ("a\rb", "a\\rb"),
    "a C1 control": ("\x9b2J", "\\x9b2J"),
    "a deletion": ("\x7f", "\\x7f"),
    "a zero byte": ("a\0b", "a\\x00b"),
    "a bidi override": ("a\u202eb", "a\\u202eb"),
    "a bidi isolate": ("a\u2066b", "a\\u2066b"),
    "a line separator": ("a\u2028b", "a\\u2028b"),
    "nothing to see": ("a\u200bb", "a\\u200bb"),
    "a tag": ("\U000e0041", "\\U000e0041"),
    "half a pair": ("\ud800", "\\ud800"),
}
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PulsecastError)]


@pytest.mark.parametrize("name", ODD)
def test_what_could_act_on_a_terminal_is_escaped(name: str) -> None:
    text, shown = ODD[name]
    assert printable(text) == shown
    assert printable(shown) == shown
    assert shown.isprintable()


@pytest.mark.parametrize("text", ["", "n\u00e9", "\u6708 \u3000", "a\u00a0b", "\U0001f600", "back\\slash"])
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert printable(text) == message(text) == text


def test_line_ends_stay_where_a_text_has_lines() -> None:
    assert printable_lines("a\x1b\nb\r\n") == "a\\x1b\nb\\r\n"


@pytest.mark.parametrize("kind", KINDS)
def test_no_error_can_forget_it(kind: type[PulsecastError]) -> None:
    text = f"first{ODD['an escape sequence'][0]}" + "x" * 1_000_000 + "\nlast"
    error = kind(text, result=None) if issubclass(kind, NotWrittenError) else kind(text)
    shown = str(error)
    assert len(shown.encode()) <= limits.MESSAGE_BYTES
    assert shown.isprintable()
    assert shown.startswith("first\\x1b[2Jxxx")
    assert shown.endswith("xxx\\nlast")
    assert "(998,118 characters left out)" in shown


def test_a_long_message_in_another_script_is_as_short() -> None:
    shown = message("\u6708" * 10_000)
    assert len(shown.encode()) <= limits.MESSAGE_BYTES
    assert set(shown) == set("\u6708 ... (9,368 characters left out) ... ")


@pytest.mark.parametrize("end", ["\n-----END PRIVATE KEY-----\n cannot be read", ""])
def test_a_key_in_pem_form_is_left_out_of_any_message(end: str) -> None:
    shown = message(f"key -----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIE{end}")
    assert shown.startswith("key (PEM text left out)")
    assert "MC4C" not in shown
    assert not end or shown.endswith("cannot be read")
