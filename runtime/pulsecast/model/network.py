"""The parts of a network: recurrent layers, dense layers, a head, a linear path beside them. Ours is a plain stack."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from .. import limits
from ..foundation import strict_json
from ..foundation.quick_dataclass import dataclass
from .linear import Linear

Activation = Literal["linear", "tanh", "sigmoid", "relu", "hard_sigmoid"]
Kind = Literal["lstm", "gru"]
GATES = {"lstm": 4, "gru": 3}
GATE_ORDER = "i,f,c,o"  # input, forget, cell, output: the column blocks of an LSTM's kernel, recurrent and bias


@dataclass(frozen=True, kw_only=True)
class Recurrent:
    """One recurrent layer. Gates stand in Keras' order: i, f, c, o for an LSTM; z, r, h for a GRU.

    units        of one direction
    activation   of the candidate, and of an LSTM's output
    gates        activation of the gates
    direction    `both` runs a second cell from the last step to the first; its weights follow the first one's
    merge        how the two are joined
    reset_after  GRU: the reset gate multiplies the product with the recurrent kernel (and there are two biases)
    """

    kind: Kind
    units: int
    activation: Activation = "tanh"
    gates: Activation = "sigmoid"
    direction: Literal["forward", "backward", "both"] = "forward"
    merge: Literal["concat", "sum", "mul", "ave"] = "concat"
    reset_after: bool = True

    def __post_init__(self) -> None:
        _check_units(self.units)

    @property
    def cells(self) -> int:
        """Number of cells of the layer; each has its own weights."""
        return 2 if self.direction == "both" else 1

    @property
    def two_biases(self) -> bool:
        """Whether each cell adds a bias to its inputs and another one to its state."""
        return self.kind == "gru" and self.reset_after

    @property
    def width(self) -> int:
        """Outputs per step."""
        return 2 * self.units if self.direction == "both" and self.merge == "concat" else self.units


@dataclass(frozen=True, kw_only=True)
class Dense:
    """A dense layer between the recurrent ones and the head."""

    units: int
    activation: Activation = "linear"

    def __post_init__(self) -> None:
        _check_units(self.units)


@dataclass(frozen=True, kw_only=True)
class Network:
    """Recurrent layers, the last one's last step, dense layers, and a head of `horizon` outputs with `activation`.

    linear  a path past all of them, whose sum is added to the head's outputs; without recurrent layers it stands alone,
            and there is no head
    """

    recurrent: tuple[Recurrent, ...] = field(metadata=strict_json.most(limits.LAYERS))
    dense: tuple[Dense, ...] = field(default=(), metadata=strict_json.most(limits.LAYERS))
    activation: Activation = "linear"
    linear: Linear | None = field(default=None, metadata=strict_json.OMITTED)

    def __post_init__(self) -> None:
        if not self.recurrent and self.linear is None:
            raise ValueError("a network needs at least one recurrent layer, or a linear path")
        if not self.recurrent and (self.dense or self.activation != "linear"):
            raise ValueError("a linear path alone has no dense layers and no activation")

    @property
    def is_plain(self) -> bool:
        """Whether it is a plain stack: LSTM layers that run forward with tanh and sigmoid, and a linear head.

        pulsecast trains these. Every target supports them, and engines have operators for them. A linear path may stand
        beside the stack.
        """
        plain = all(layer == Recurrent(kind="lstm", units=layer.units) for layer in self.recurrent)
        return plain and not self.dense and self.activation == "linear"

    @property
    def cells(self) -> int:
        """Number of cells of all recurrent layers; each has its own weights."""
        return sum(layer.cells for layer in self.recurrent)

    @property
    def cell_prefix(self) -> str:
        """Prefix of the names of a cell's arrays in the weights' file."""
        return "lstm" if self.is_plain else "cell"

    def shapes(self, inputs: int, horizon: int, measured: int = 1) -> dict[str, tuple[int, ...]]:
        """Return the shape of every array of the weights' file, by name.

        inputs    channels of a step
        measured  columns of a window
        """
        shapes: dict[str, tuple[int, ...]] = {}
        number, prefix = 0, self.cell_prefix
        for layer in self.recurrent:
            columns = GATES[layer.kind] * layer.units
            for _ in range(layer.cells):
                shapes[f"{prefix}_{number}.kernel"] = (inputs, columns)
                shapes[f"{prefix}_{number}.recurrent"] = (layer.units, columns)
                shapes[f"{prefix}_{number}.bias"] = (2, columns) if layer.two_biases else (columns,)
                number += 1
            inputs = layer.width
        for i, dense in enumerate(self.dense):
            shapes |= {f"dense_{i}.kernel": (inputs, dense.units), f"dense_{i}.bias": (dense.units,)}
            inputs = dense.units
        if self.recurrent:
            shapes |= {"head.kernel": (inputs, horizon), "head.bias": (horizon,)}
        return shapes if self.linear is None else shapes | {"linear.kernel": (self.linear.inputs(measured), horizon)}


def _check_units(units: int) -> None:
    if not 1 <= units <= limits.UNITS:
        raise ValueError(f"units is {units}; expected at {f'most {limits.UNITS}' if units > 1 else 'least 1'}")


def plain_stack(units: tuple[int, ...], linear: Linear | None = None) -> Network:
    """Return the plain stack of LSTM layers with these units, from input to output, with a linear path if there is one.

    >>> plain_stack((50, 50)).is_plain
    True
    """
    return Network(recurrent=tuple(Recurrent(kind="lstm", units=count) for count in units), linear=linear)
