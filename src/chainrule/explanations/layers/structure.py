"""Layers in a program's graph: products of a parameter and a signal, and what lies between them.

A layer is ``u = W x + b`` in any of its spellings (``x @ W + b``, ``X @ W.T``, a product of two
numbers). A *link* is everything between the layers whose values it starts from and the signal of
the layer (or the loss) that it ends in: an activation function, or a sum of several ways.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chainrule.errors import ChainruleError
from chainrule.explanations.idioms import Idiom
from chainrule.graph.node import Node, ancestors
from chainrule.graph.tape import shape_of
from chainrule.sources.program import Program

# What shows the elements of an array in another arrangement.
_VIEWS = frozenset(("reshape", "index", "broadcast_to", "astype", "copy", "positive"))
_WEIGHT_NAMES = ("w", "theta", "kernel", "u_", "v_")


class NotLayeredError(ChainruleError):
    """A program has no matrix form; the message says why, and what a layer is."""

    def __init__(self, because: str) -> None:
        super().__init__(
            f"there is no matrix form: {because}.\n"
            "A layer is W @ x + b or X @ W + b, where W is an argument of the function (or a part "
            "of one)."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer: ``output = weight · signal + bias``.

    Attributes:
        product: The node of the product.
        output: The node of the layer's value, u: the product, or its sum with the bias.
        weight: The parameter, before it is transposed.
        used: The same as the product takes it.
        signal: What it is multiplied with: a node, or a plain array.
        bias: The node that is added; ``None`` without one.
        left: Whether the weight stands on the left.
        transposed: Whether it is transposed there.
        scalar: Whether all of them are numbers.
    """

    product: Node
    output: Node
    weight: Node
    used: Node
    signal: Any
    bias: Node | None
    left: bool
    transposed: bool
    scalar: bool


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """What leads from layers to a signal: the positions of its layers, and the operations.

    ``end`` is the node of the signal or of the loss; ``target`` the position of the layer that it
    is a signal of, ``None`` for the loss. Without ``members`` the signal is a layer's own value.
    """

    sources: tuple[int, ...]
    target: int | None
    end: Any
    members: tuple[Node, ...]


def layers_in(program: Program, idioms: Iterable[Idiom]) -> tuple[Layer, ...]:
    """The layers of a program in order.

    Raises:
        NotLayeredError: There is none, or a product is not one of a parameter and a signal.
    """
    if not isinstance(program.output, Node) or program.values is None:
        raise NotLayeredError("the result is a constant, or has no values")
    nodes = ancestors([program.output])
    losses = [i for i in idioms if i.row.total or i.row.last]
    inside = {m.index for i in losses for m in i.members}
    users: dict[int, list[Node]] = {}
    for node in nodes:
        for arg in node.args:
            if type(arg) is Node:
                users.setdefault(arg.index, []).append(node)
    products = [p for n in nodes if n.index not in inside and (p := _product(program, n))]
    scalar = not products
    if scalar:
        products = [
            Product(n, n.args, (False, False))
            for n in nodes
            if _is(n, "multiply") and n.index not in inside and _all_scalar(program, n)
        ]
    found: list[tuple[Product, int | None]] = []
    for p in products:
        weights = [i for i, arg in enumerate(p.factors) if parameter(arg) is not None]
        if len(weights) == 1 and _weight_is_computed(p, weights[0], found):
            continue
        if weights:
            found.append((p, weights[0] if len(weights) == 1 else None))
    if not found:
        raise NotLayeredError(
            "no product of a parameter and a signal (W @ x, x @ W) leads to the result"
        )
    sides = _decided(program, found, users)
    made = [_layer(p, sides[p.node.index], users, scalar) for p, _ in found]
    layers = tuple([layer for layer in made if layer is not None])
    if not layers:
        raise NotLayeredError("every product takes its signal transposed")
    return layers


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A product of two factors, left and right, as matrices: which of them are transposed."""

    node: Node
    factors: tuple[Any, ...]
    turned: tuple[bool, bool]


def _product(program: Program, node: Node) -> Product | None:
    """A node as a product of matrices and vectors, if it is one."""
    if _is(node, "matmul") and _fits(program, node):
        return Product(node, node.args, (False, False))
    if not _is(node, "einsum") or len(node.args) != 2:
        return None
    # ab,cb->ac is A Bᵀ: what is summed stands last on the left and first on the right.
    operands, _, out = str(node.attrs["subscripts"]).partition("->")
    subscripts = operands.split(",")
    summed = set(subscripts[0]) & set(subscripts[1]) - set(out)
    left, right = (0, 1) if "".join(s for s in "".join(subscripts) if s in out) == out else (1, 0)
    one, other = subscripts[left], subscripts[right]
    if len(summed) != 1 or max(len(one), len(other)) > 2 or len(out) != len(one + other) - 2:
        return None
    (letter,) = summed
    turned = one[-1] != letter, other[0] != letter
    return Product(node, (node.args[left], node.args[right]), turned)


def _weight_is_computed(
    product: Product, weight: int, before: list[tuple[Product, int | None]]
) -> bool:
    """Whether it is data that looks like a parameter, times a weight that is no input itself."""
    signal = product.factors[1 - weight]
    if _named_like_a_weight(product.factors[weight]) or type(signal) is not Node:
        return False
    behind = ancestors([signal])
    made = {p.node.index for p, _ in before}
    return not any(n.index in made for n in behind) and any(
        n.op is None and _named_like_a_weight(n) for n in behind
    )


def _is(node: Node, name: str) -> bool:
    return node.op is not None and node.op.name == name


def _value_shape(program: Program, arg: Any) -> tuple[int, ...]:
    assert program.values is not None
    return shape_of(program.values[arg.index]) if type(arg) is Node else shape_of(arg)


def _all_scalar(program: Program, node: Node) -> bool:
    return all(type(a) is Node and _value_shape(program, a) == () for a in node.args)


def _fits(program: Program, node: Node) -> bool:
    """Whether it is a product of matrices and vectors: a stack only with a matrix on the right."""
    left, right = (len(_value_shape(program, a)) for a in node.args)
    return right <= 2 and (left <= 2 or right == 2)


def parameter(arg: Any) -> tuple[Node, bool] | None:
    """The node of a parameter before it was transposed, and whether it was; ``None`` if computed.

    A part of an input, or an input in another shape, is a parameter too.
    """
    if type(arg) is not Node:
        return None
    base, transposed = arg, False
    while base.op is not None and base.op.name == "transpose" and len(base.attrs["axes"]) == 2:
        (base,) = base.args
        transposed = not transposed
    below = base
    while below.op is not None:
        if below.op.name not in _VIEWS or type(below.args[0]) is not Node:
            return None
        below = below.args[0]
    return base, transposed


def _decided(
    program: Program, found: list[tuple[Product, int | None]], users: Mapping[int, list[Node]]
) -> dict[int, int]:
    """Which argument is the weight, where both could be: the input of the first layer is one."""
    sides = {p.node.index: side for p, side in found if side is not None}
    votes = list(sides.values())
    for p, side in found:
        if side is not None:
            continue
        node = p.node
        named = [_named_like_a_weight(a) for a in p.factors]
        shapes = [_value_shape(program, a) for a in p.factors]
        shapes = [s[::-1] if turned else s for s, turned in zip(shapes, p.turned, strict=True)]
        dims = [len(s) for s in shapes]
        bias = _bias(node, users)
        chosen: int | None = None
        if bias is not None and 2 in dims:
            chosen = _by_bias(_value_shape(program, bias), shapes)
        if chosen is None and named[0] != named[1]:
            chosen = named.index(True)
        if chosen is None and dims in ([2, 1], [1, 2]):
            chosen = dims.index(2)
        if chosen is None and votes:
            chosen = max(set(votes), key=votes.count)
        if chosen is None:
            raise NotLayeredError(
                "both factors of a product are inputs, and nothing tells the weight from the data: "
                f"{_said(program, node)}"
            )
        sides[node.index] = chosen
    return sides


def _by_bias(bias: tuple[int, ...], shapes: list[tuple[int, ...]]) -> int | None:
    """The weight is what has the axis that the bias has: its rows on the left, columns on the
    right. A bias that is a number goes with a weight that is a vector."""
    left, right = shapes
    if bias == ():
        dims = [len(left), len(right)]
        return dims.index(1) if dims in ([2, 1], [1, 2]) else None
    if len(left) == len(right) == 2:
        if len(bias) == 2 and bias[1] == 1 and bias[0] == left[0]:
            return 0
        return 1 if bias[-1] == right[1] else None
    return [len(left), len(right)].index(2)


def _named_like_a_weight(arg: Any) -> bool:
    found = parameter(arg)
    node = found[0] if found is not None else None
    while node is not None and node.op is not None:
        node = node.args[0]
    name = "" if node is None else node.name.rpartition(".")[2].rpartition("['")[2].lower()
    return name.startswith(_WEIGHT_NAMES) or "weight" in name or "kernel" in name


def _said(program: Program, node: Node) -> str:
    place = program.places.get(node.index)
    return "" if place is None or place.line is None else f"line {place.line}: {place.source}"


def _bias(node: Node, users: Mapping[int, list[Node]]) -> Node | None:
    """The parameter that is added to a product, if nobody else uses the product."""
    around = users.get(node.index, [])
    if len(around) != 1 or not _is(around[0], "add"):
        return None
    other = next((a for a in around[0].args if a is not node), None)
    return other if parameter(other) is not None else None


def _layer(
    product: Product, side: int, users: Mapping[int, list[Node]], scalar: bool
) -> Layer | None:
    """The layer; ``None`` where the signal would have to be transposed, which no layer does."""
    node, used = product.node, product.factors[side]
    found = parameter(used)
    assert found is not None
    weight, transposed = found
    transposed = transposed != product.turned[side]
    if product.turned[1 - side]:
        return None
    bias = _bias(node, users)
    output = node if bias is None else users[node.index][0]
    signal = product.factors[1 - side]
    return Layer(node, output, weight, used, signal, bias, side == 0, transposed, scalar)


def links_between(program: Program, layers: tuple[Layer, ...]) -> tuple[Link, ...]:
    """The link to each layer's signal in order, and the one to the loss at last."""
    position = {layer.output.index: i for i, layer in enumerate(layers)}
    ends: list[tuple[Any, int | None]] = [(layer.signal, i) for i, layer in enumerate(layers)]
    return tuple([_link(end, target, position) for end, target in (*ends, (program.output, None))])


def _link(end: Any, target: int | None, position: Mapping[int, int]) -> Link:
    if type(end) is not Node:
        return Link((), target, end, ())
    members = [n for n in ancestors([end], stop=set(position)) if n.op is not None]
    sources = sorted(position[n.index] for n in members if n.index in position)
    between = tuple([n for n in members if n.index not in position])
    return Link(tuple(sources), target, end, between if sources else ())


def is_chain(links: Collection[Link]) -> bool:
    """Whether each layer's signal comes from the layer before it alone, and the loss from the
    last."""
    *inner, last = links
    plain = all(link.sources == ((i - 1,) if i else ()) for i, link in enumerate(inner))
    return plain and last.sources == (len(inner) - 1,)
