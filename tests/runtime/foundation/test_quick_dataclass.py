"""Records of the runtime behave like dataclasses; only their methods are made differently."""

import copy
import dataclasses

import pytest

from pulsecast.foundation.quick_dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point."""

    x: float
    tags: tuple[str, ...] = ()
    extra: dict[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError(f"x is {self.x}")

    @property
    def double(self) -> float:
        """Twice x."""
        return 2 * self.x


@dataclass(frozen=True, kw_only=True)
class Named:
    """Has a `__repr__` of its own."""

    name: str

    def __repr__(self) -> str:
        return self.name


def test_it_is_made_shown_compared_hashed_and_replaced_as_a_dataclass_is() -> None:
    point = Point(x=1.0, tags=("a",))
    assert repr(point) == "Point(x=1.0, tags=('a',), extra={})"
    assert (point.double, point.extra, point.extra is Point(x=1.0).extra) == (2.0, {}, False)
    assert point == Point(x=1.0, tags=("a",))
    assert point not in (Point(x=2.0, tags=("a",)), Named(name="1.0"), (1.0, ("a",), {}))
    assert hash(Named(name="n")) == hash(Named(name="n"))
    assert dataclasses.replace(point, x=3.0) == Point(x=3.0, tags=("a",))
    assert [field.name for field in dataclasses.fields(Point)] == ["x", "tags", "extra"]
    assert dataclasses.asdict(point) == {"x": 1.0, "tags": ("a",), "extra": {}}
    assert copy.deepcopy(point) == point
    assert repr(Named(name="n")) == "n"


def test_it_cannot_be_changed_and_checks_itself() -> None:
    point = Point(x=1.0)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        point.x = 2.0  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
        del point.x
    with pytest.raises(ValueError, match="x is -1"):
        Point(x=-1.0)
    with pytest.raises(ValueError, match="x is -1"):
        dataclasses.replace(point, x=-1.0)


def test_what_is_missing_unknown_or_not_named_is_said() -> None:
    with pytest.raises(TypeError, match="Point takes x, tags, extra by name: missing x; unknown y, z"):
        Point(y=1, z=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        Point(1.0)  # type: ignore[misc]


def test_there_is_this_one_kind() -> None:
    with pytest.raises(TypeError, match="expected frozen=True, kw_only=True"):
        dataclass(frozen=False, kw_only=True)
