"""The matrix form: δ of every layer by the recursion, and the gradients as products of matrices.

With u_k = W_k a_{k−1} + b_k, a_k = φ_k(u_k) and δ_k = ∂L/∂u_k,

    δ_k = (W_{k+1}ᵀ δ_{k+1}) ⊙ φ_k′(u_k),   ∂L/∂W_k = δ_k a_{k−1}ᵀ,   ∂L/∂b_k = δ_k

(Rumelhart, Hinton, Williams, *Learning representations by back-propagating errors*, Nature 323,
1986; in this notation in Nielsen, *Neural Networks and Deep Learning*, chapter 2). The δ shown are
the cotangents of the one backward pass; each formula is evaluated by plain NumPy and held against
them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from chainrule.chain import reverse
from chainrule.chain.edges import pull
from chainrule.display import Displayed
from chainrule.errors import ArgumentsError, ChainruleError
from chainrule.explanations.idioms import Idiom, idioms_of
from chainrule.explanations.idioms.idiom import times
from chainrule.explanations.idioms.remarks import scaled_expression
from chainrule.explanations.layers.structure import (
    Layer,
    Link,
    NotLayeredError,
    is_chain,
    layers_in,
    links_between,
)
from chainrule.explanations.local import step_partials, unchanged
from chainrule.explanations.outline import Group
from chainrule.explanations.solution import Check
from chainrule.explanations.worked import recorded
from chainrule.graph.node import Graph, Node, ancestors
from chainrule.graph.primitive import Mask, Scale
from chainrule.graph.rewriting import tidy
from chainrule.graph.tape import Tape, shape_of
from chainrule.notation.names import text_name
from chainrule.rules.shapes import sum_to
from chainrule.run.interpreter import apply_node
from chainrule.sources.program import Program

# Activations of more operations than this have a name, but are not written out.
_LONGEST_ACTIVATION = 16
# Nor are those with constant arrays of more elements.
_LARGEST = 100_000
_TOLERANCE = {8: 1e-12, 4: 1e-4, 2: 1e-1}
_VIEWS = frozenset(("reshape", "astype", "copy", "positive"))

Part = Literal["weight", "delta", "signal"]


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of a product of two matrices, and whether it is transposed."""

    part: Part
    transposed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Slope:
    """The derivative of what lies between a layer's value u and where it goes.

    Attributes:
        name: The function's name, as its notation has it in text and in LaTeX; ``None`` where
            nothing lies between.
        definition: The function as an expression of u, if it has no name of its own.
        derivative: Its derivative as an expression in the program's names, if it is elementwise.
        structure: The structure of its Jacobian in a word: diagonal, matrix, symmetric, …
        value: Its derivative at u, elementwise; ``None`` if it is not elementwise.
    """

    name: tuple[str, str] | None
    definition: Any
    derivative: Any
    structure: str
    value: Any

    @property
    def elementwise(self) -> bool:
        """Whether the Jacobian is diagonal."""
        return self.structure in ("diagonal", "identity")


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One way from a layer's value on: to the signal of another layer, or to the loss.

    Attributes:
        target: The number of the layer that it leads to; ``None`` for the loss.
        through: The name of the value it leads to: the signal, or what the loss is computed of.
        slope: What lies between.
        value: What arrives on it at the layer's value.
        arriving: The cotangent of the value it leads to.
        last: Whether no later layer leads there too.
        expression: What arrives, as an expression in the program's names, where an idiom's
            derivation gives one (``yhat − y``), and the reason.
    """

    target: int | None
    through: str
    slope: Slope
    value: Any
    arriving: Any
    last: bool
    expression: Any = None
    because: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class LayerForm:
    """One layer with its numbers.

    Attributes:
        number: Counted from 1.
        layer: The nodes.
        output: The name of u; ``weight``, ``signal`` and ``bias`` (``""`` without one) likewise.
        shapes: The shapes of ``weight``, ``signal``, ``output`` and ``bias``.
        value: u.
        delta: δ = ∂L/∂u.
        ways: How δ arises: one way in a chain of layers.
        inner: Whether the signal comes from other layers, and is no input.
        gradient: The product that gives ∂L/∂W, and ``back`` the one that gives ∂L/∂signal.
    """

    number: int
    layer: Layer
    output: str
    weight: str
    signal: str
    bias: str
    shapes: Mapping[str, tuple[int, ...]]
    value: Any
    delta: Any
    ways: tuple[Way, ...]
    inner: bool

    @property
    def batched(self) -> bool:
        """Whether u holds many examples: then Δ holds a δ for each."""
        return len(self.shapes["signal"]) > 1

    @property
    def gradient(self) -> tuple[Factor, Factor]:
        """∂L/∂W as a product."""
        return gradient_of(self.layer)

    @property
    def back(self) -> tuple[Factor, Factor]:
        """∂L/∂signal as a product."""
        return back_through(self.layer)


@dataclass(frozen=True, slots=True, eq=False)
class ParameterForm:
    """The gradient of a weight or bias.

    Attributes:
        name: Its name.
        uses: The numbers of the layers that it is a weight (or bias) of; the gradient is the sum.
        bias: Whether it is a bias.
        value: The gradient.
        summed: Whether a bias's δ is added up over a batch.
        elsewhere: Whether it is used outside of the layers too, which adds to its gradient.
    """

    name: str
    uses: tuple[int, ...]
    bias: bool
    value: Any
    summed: bool
    elsewhere: Any


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MatrixForm(Displayed):
    """A layered network's gradient in matrix form. It prints as text.

    Attributes:
        title: The program.
        result: The name of the loss.
        value: Its value.
        loss: The loss as an expression, if it is one that has a name.
        layers: The layers, first to last.
        parameters: The gradients.
        chain: Whether each layer's signal comes from the layer before it alone.
        remarks: What is said besides.
        check: Every formula held against the backward pass.
    """

    title: str
    result: str
    value: Any
    loss: Any
    layers: tuple[LayerForm, ...]
    parameters: tuple[ParameterForm, ...]
    chain: bool
    remarks: tuple[str, ...]
    check: Check
    program: Program
    names: Mapping[int, str]

    def jacobian(self, of: str, wrt: str) -> Any:
        """The dense Jacobian of one value with respect to another, from the edges between them.

        Args:
            of: A named value: ``"a1"``.
            wrt: A value or input that it is computed of: ``"z1"``.

        Returns:
            An array of ``of``'s shape followed by ``wrt``'s.

        Raises:
            ArgumentsError: There is no value of that name, or no way from one to the other.
        """
        return dense_jacobian(self.program, self._node(of), self._node(wrt), of, wrt)

    def _node(self, name: str) -> Node:
        for index, named in self.names.items():
            if named == name:
                return next(n for n in self.program.graph.nodes if n.index == index)
        known = ", ".join(dict.fromkeys(self.names.values()))
        raise ArgumentsError(f"no value is called {name!r} here.\nThere are: {known}.")

    def to_dict(self) -> dict[str, Any]:
        """The form as plain dicts, lists, strings and numbers, ready for JSON."""
        from chainrule.render.layers import as_dict

        return as_dict(self)

    def to_latex(self) -> str:
        """The form as LaTeX source, for a document that loads ``amsmath``."""
        from chainrule.render.layers import as_latex

        return as_latex(self)

    def to_markdown(self) -> str:
        """The form as Markdown with TeX formulas."""
        from chainrule.render.layers import as_markdown

        return as_markdown(self)

    def to_text(self, width: int = 100, color: bool = False) -> str:
        """The form as the terminal shows it."""
        from chainrule.render.layers import as_text

        return as_text(self, width, color)


# ------------------------------------------------------------------------------------ the formulas


def gradient_of(layer: Layer) -> tuple[Factor, Factor]:
    """∂L/∂W: δ aᵀ for W a, aᵀ δ for a W, and their transposes for a transposed weight."""
    delta, signal = Factor("delta"), Factor("signal")
    if layer.scalar:
        return delta, signal
    if layer.left:
        return (signal, _t(delta)) if layer.transposed else (delta, _t(signal))
    return (_t(delta), signal) if layer.transposed else (_t(signal), delta)


def back_through(layer: Layer) -> tuple[Factor, Factor]:
    """∂L/∂a: Wᵀ δ for W a, δ Wᵀ for a W."""
    weight = Factor("weight", not layer.transposed and not layer.scalar)
    delta = Factor("delta")
    return (weight, delta) if layer.left or layer.scalar else (delta, weight)


def _t(factor: Factor) -> Factor:
    return Factor(factor.part, True)


def product(
    layer: Layer, factors: tuple[Factor, Factor], parts: Mapping[Part, Any], shape: Any
) -> Any:
    """A product of two parts by plain NumPy, in the shape of its result.

    Vectors are columns where the weight stands on the left, and rows where it is on the right.
    """
    if layer.scalar:
        return parts[factors[0].part] * parts[factors[1].part]
    matrices = _matrices(layer, parts)
    left, right = (matrices[f.part].T if f.transposed else matrices[f.part] for f in factors)
    return (left @ right).reshape(shape)[()]


def _matrices(layer: Layer, parts: Mapping[Part, Any]) -> dict[Part, Any]:
    weight, signal, delta = (np.asarray(parts[p]) for p in ("weight", "signal", "delta"))
    if weight.ndim < 2:
        weight = weight.reshape((1, -1) if layer.left else (-1, 1))
    outputs, inputs = weight.shape if layer.left != layer.transposed else weight.shape[::-1]
    if layer.left:
        signal = signal.reshape(inputs, -1)
        delta = delta.reshape(outputs, -1)
    else:
        signal = signal.reshape(-1, inputs)
        delta = delta.reshape(-1, outputs)
    return {"weight": weight, "signal": signal, "delta": delta}


# --------------------------------------------------------------------------------------- the form


def layers_of(
    program: Program,
    adjoints: Mapping[int, Any] | None = None,
    idioms: Sequence[Idiom] | None = None,
    result: str | None = None,
) -> MatrixForm | None:
    """The matrix form of a layered network.

    Args:
        program: A computation with values.
        adjoints: The cotangent of every node by its index, of a backward pass to all parameters;
            made if left out.
        idioms: The program's idioms, if they are known already.
        result: The name of the loss.

    Returns:
        The form, or ``None`` if the program is not made of layers (``matrix_form`` says why).
    """
    try:
        return matrix_form(program, adjoints, idioms, result)
    except NotLayeredError:
        return None


def matrix_form(
    program: Program,
    adjoints: Mapping[int, Any] | None = None,
    idioms: Sequence[Idiom] | None = None,
    result: str | None = None,
) -> MatrixForm:
    """The matrix form of a layered network, as ``layers_of`` gives it.

    Raises:
        NotLayeredError: The program is not made of layers; the message says what is in the way.
        ChainruleError: A formula does not give what the backward pass did: there is nothing to
            show.
    """
    idioms = idioms_of(program) if idioms is None else idioms
    with np.errstate(all="ignore"):
        layers = layers_in(program, idioms)
        if adjoints is None:
            learned = [n for x in layers for n in (x.weight, x.bias) if n is not None]
            adjoints = cotangents(program, {_input(n).name for n in learned})
        form = _Maker(program, layers, adjoints, idioms, result).form()
    if form.check.outcome == "failed":
        raise ChainruleError(f"the matrix form failed its check: {form.check.says}")
    return form


def cotangents(program: Program, wrt: Collection[str]) -> dict[int, Any]:
    """∂result/∂node for every node that depends on one of the inputs: one backward pass."""
    assert program.values is not None
    tape = Tape()
    records = recorded(tape, program.output, tuple(wrt), program.values, unchanged)
    assert isinstance(program.output, Node)
    output = records[program.output.index]
    one = np.ones_like(output.value)[()]
    found = reverse(tape.records, {output.index: (one, None)}, keep=True)
    return {i: found[r.index][0] for i, r in records.items() if r.index in found}


class _Maker:
    """A form in the making."""

    def __init__(
        self,
        program: Program,
        layers: tuple[Layer, ...],
        adjoints: Mapping[int, Any],
        idioms: Sequence[Idiom],
        result: str | None,
    ) -> None:
        assert program.values is not None
        assert isinstance(program.output, Node)
        self.program = program
        self.values: Mapping[int, Any] = program.values
        self.output = program.output
        self.layers = layers
        self.links = links_between(program, layers)
        self.adjoints = adjoints
        self.idioms = {i.root.index: i for i in idioms}
        self.names = self._named(result)
        self.errors: list[float] = []
        self.remarks: list[str] = []

    def form(self) -> MatrixForm:
        missing = [x for x in self.layers if x.output.index not in self.adjoints]
        if missing:
            name = self.names[missing[0].output.index]
            raise NotLayeredError(
                f"no derivative arrives at {name}: the loss does not depend on it"
            )
        layers = tuple([self._layer(k) for k in range(len(self.layers))])
        parameters = self._parameters(layers)
        chain = is_chain(self.links)
        if not chain:
            self._say_branches()
        result = self.names[self.output.index]
        return MatrixForm(
            self.program.title, result, self.values[self.output.index], self._loss(), layers,
            parameters, chain, tuple(self.remarks), self._check(), self.program, self.names,
        )  # fmt: skip

    def _loss(self) -> Any:
        """The loss as a function of what has a name, with the number in front."""
        idiom = self.idioms.get(self.output.index)
        if idiom is None or not all(
            a.node is None or a.node.index in self.names for a in idiom.arguments
        ):
            return None
        return scaled_expression(idiom, Graph(), self.names)

    # ---------------------------------------------------------------------------------- names

    def _named(self, result: str | None) -> dict[int, str]:
        """A distinct name for every input and every value that the form speaks of."""
        program = self.program
        names = {node.index: name for name, node in program.graph.inputs.items()}
        taken = set(names.values())
        spoken: list[tuple[Node, str]] = []
        for k, layer in enumerate(self.layers, 1):
            if type(layer.signal) is Node:
                spoken.append((layer.signal, "x" if k == 1 else f"a{k - 1}"))
            spoken.append((layer.weight, f"W{k}"))
            if layer.bias is not None:
                spoken.append((layer.bias, f"b{k}"))
            spoken.append((layer.output, f"u{k}"))
        spoken += [(n, "") for n in ancestors([self.output]) if n.index in program.names]
        wanted: dict[int, str] = {}
        for node, otherwise in sorted(spoken, key=lambda s: s[0].index):
            if node.index not in names and node.index not in wanted:
                wanted[node.index] = program.names.get(node.index, otherwise)
        wanted[self.output.index] = result or program.output_name or _loss_name(taken, wanted)
        given = list(wanted.values())
        counts: dict[str, int] = {}
        for index, name in sorted(wanted.items()):
            if given.count(name) > 1 or name in taken:
                joint = "" if name[-1:].isalpha() else "_"
                counts[name] = counts.get(name, 0) + 1
                while f"{name}{joint}{counts[name]}" in taken:
                    counts[name] += 1
                name = f"{name}{joint}{counts[name]}"
            names[index] = name
            taken.add(name)
        return names

    def _name(self, arg: Any, otherwise: str) -> str:
        return self.names.get(arg.index, otherwise) if type(arg) is Node else otherwise

    # --------------------------------------------------------------------------------- layers

    def _value(self, arg: Any) -> Any:
        return self.values[arg.index] if type(arg) is Node else arg

    def _parts(self, layer: Layer) -> dict[Part, Any]:
        return {
            "weight": self.values[layer.weight.index],
            "signal": self._value(layer.signal),
            "delta": self.adjoints[layer.output.index],
        }

    def _layer(self, k: int) -> LayerForm:
        layer = self.layers[k]
        delta = self.adjoints[layer.output.index]
        ways = tuple([self._way(k, link) for link in self.links if k in link.sources])
        if ways:
            self._compare(sum(w.value for w in ways), delta)
        parts = self._parts(layer)
        shapes = {str(name): shape_of(value) for name, value in parts.items() if name != "delta"}
        shapes["output"] = shape_of(delta)
        shapes["bias"] = () if layer.bias is None else shape_of(self.values[layer.bias.index])
        return LayerForm(
            k + 1, layer, self.names[layer.output.index], self.names[layer.weight.index],
            self._name(layer.signal, "X" if np.ndim(parts["signal"]) > 1 else "x"),
            "" if layer.bias is None else self._bias_name(layer.bias),
            shapes, self.values[layer.output.index], delta, ways, bool(self.links[k].sources),
        )  # fmt: skip

    def _bias_name(self, bias: Node) -> str:
        base = _base(bias)
        return self.names.get(base.index, self.names[bias.index])

    def _way(self, k: int, link: Link) -> Way:
        """What arrives at layer k by one link, from the cotangent at the link's end."""
        own = self.layers[k].output
        if link.target is None:
            return self._way_to_loss(own, link)
        target = self.layers[link.target]
        arriving = product(
            target, back_through(target), self._parts(target), shape_of(self._value(link.end))
        )
        slope, value = self._through(own, link.end, arriving, link)
        through, last = self._name(link.end, f"a{k + 1}"), k == link.sources[-1]
        return Way(link.target + 1, through, slope, value, arriving, last)

    def _way_to_loss(self, own: Node, link: Link) -> Way:
        alone = sum(own is self.layers[k].output for x in self.links for k in x.sources) == 1
        # What arrives at a value in between is the loss's own only if nothing else comes there.
        middle = self._last_activation(own, link) if alone else self.output
        arriving = (
            self.adjoints[middle.index] if alone else np.ones_like(self.values[middle.index])[()]
        )
        slope, value = self._through(own, middle, arriving, link)
        expression, because = self._collapsed(own, value)
        through = self.names.get(middle.index, "")
        if middle is not own and not through:
            self.names[middle.index] = through = f"a{len(self.layers)}"
        last = own is self.layers[link.sources[-1]].output
        return Way(None, through, slope, value, arriving, last, expression, because)

    def _last_activation(self, own: Node, link: Link) -> Node:
        """The function of the last layer's value that the loss is computed of: all of it."""
        found = own
        array = shape_of(self.values[own.index]) != ()
        for member in link.members:
            if array and shape_of(self.values[member.index]) == ():
                break
            if self._only_way(own, member, link.members):
                named = member.index in self.program.names or member.index in self.idioms
                if named and member is not self.output:
                    found = member
                    break
        return found

    def _only_way(self, own: Node, member: Node, members: Sequence[Node]) -> bool:
        """Whether everything behind ``own`` goes through ``member``."""
        inside = _between(own, member, members)
        before = {own.index, *(n.index for n in inside)} - {member.index}
        return not any(
            type(a) is Node and a.index in before
            for n in members
            if n.index not in before and n is not member
            for a in n.args
        )

    def _collapsed(self, own: Node, value: Any) -> tuple[Any, str]:
        """What an idiom's derivation says of the loss's derivative, if it is that."""
        for idiom in self.idioms.values():
            remark = idiom.remark
            if remark is None or remark.of is not own or idiom.root is not self.output:
                continue
            if remark.value is None or not _close(remark.value, value, 1e-6):
                continue
            found = remark.expressions(Graph(), self.names)
            return found[-1][0], remark.says
        return None, ""

    # --------------------------------------------------------------------------------- slopes

    def _through(self, own: Node, end: Node, arriving: Any, link: Link) -> tuple[Slope, Any]:
        """The derivative between a layer's value and a later one, and what it makes of a
        cotangent."""
        if end is own:
            return Slope(None, None, None, "identity", None), arriving
        members = _between(own, end, link.members)
        group = Group("", end, members, _boundary(members), (own,))
        elementwise = self._elementwise(own, members)
        name, definition = self._function(own, end, members, link)
        if not elementwise:
            carried = step_partials(group, self.values, arriving)
            structure = end.op.structure if len(members) == 1 and end.op is not None else "matrix"
            idiom = self.idioms.get(end.index)
            if idiom is not None and name is not None:
                structure = idiom.function.structure
            return Slope(name, definition, None, structure, None), carried[own.index][0]
        ones = np.ones_like(self.values[own.index])[()]
        slope = step_partials(group, self.values, ones)[own.index][0]
        derivative = self._derivative(own, end, group, link)
        arriving = np.reshape(arriving, shape_of(self.values[own.index]))[()]
        blocked = np.equal(slope, 0) & ~np.isfinite(arriving)
        value = np.where(blocked, 0, arriving * slope)[()] if np.any(blocked) else arriving * slope
        return Slope(name, definition, derivative, "diagonal", slope), value

    def _elementwise(self, own: Node, members: Sequence[Node]) -> bool:
        shape = shape_of(self.values[own.index])
        for m in members:
            if m.op is None or not (m.op.elementwise or m.op.name in _VIEWS):
                return False
            if m.op.elementwise and not all(isinstance(e, Scale | Mask) or i == 0
                                            for i, e in enumerate(m.op.edges)):  # fmt: skip
                return False
            if int(np.prod(shape_of(self.values[m.index]))) != int(np.prod(shape)):
                return False
        return True

    def _function(
        self, own: Node, end: Node, members: Sequence[Node], link: Link
    ) -> tuple[tuple[str, str] | None, Any]:
        """The name of a function of one value, or the expression that it is."""
        idiom = self.idioms.get(end.index)
        if idiom is not None:
            of = [a for a in idiom.arguments if a.node is own and a.factor == 1.0]
            if of and len(idiom.arguments) == 1:
                notation = idiom.function.notation
                return (notation.text, notation.latex), None
        if len(members) == 1 and end.op is not None and len(end.args) == 1:
            notation = end.op.notation
            if "{" not in notation.text:
                return (notation.text, notation.latex), None
        return None, self._written(end, link)

    def _written(self, end: Node, link: Link) -> Any:
        """What lies between as an expression, known functions by their names."""
        if len(link.members) > _LONGEST_ACTIVATION:
            return None
        graph = Graph()
        env = self._symbols(link.members, graph)
        for node in link.members:
            if node.op is None or any(np.size(a) > _LARGEST for a in _constants(node)):
                return None
            if node.index not in env:
                known = self._known(node, env, graph)
                env[node.index] = apply_node(node, env, graph) if known is None else known
        return env[end.index]

    def _known(self, node: Node, env: Mapping[int, Any], graph: Graph) -> Any:
        """A node as the known function that it is, of arguments that have an expression."""
        idiom = self.idioms.get(node.index)
        if idiom is None or idiom.scale != 1.0:
            return None
        arguments = [(a.factor, a.node) for a in idiom.arguments]
        if any(n is None or n.index not in env for _, n in arguments):
            return None
        made = tuple([times(f, env[n.index]) for f, n in arguments if n is not None])
        return graph.apply(idiom.function, made)

    def _symbols(self, members: Sequence[Node], graph: Graph) -> dict[int, Any]:
        """A symbol for everything with a name that the members are, or are computed of."""
        outside = _boundary(members)
        named = [m for m in members[:-1] if m.index in self.names]
        return {
            n.index: graph.input(self.names.get(n.index) or n.name or "v")
            for n in (*outside, *named)
        }

    def _derivative(self, own: Node, end: Node, group: Group, link: Link) -> Any:
        """The slope as an expression in the program's names."""
        idiom = self.idioms.get(end.index)
        remark = None if idiom is None else idiom.remark
        if remark is not None and remark.of is own and remark.inner is None:
            return remark.expressions(Graph(), self.names)[-1][0]
        if len(link.members) > _LONGEST_ACTIVATION or not all(
            m.op is not None and m.op.elementwise and not any(map(np.ndim, _constants(m)))
            for m in link.members
        ):
            return None
        graph = Graph(tidy)
        inside = {m.index for m in group.members}
        env = self._symbols(link.members, graph)
        for node in link.members:  # what the other ways bring, as far as it has no name
            if node.index not in inside and node.index not in env:
                env[node.index] = apply_node(node, env, graph)
        env = {i: e for i, e in env.items() if i not in inside}
        found = step_partials(group, env, graph=graph)
        return found[own.index][0] if own.index in found else None

    # ----------------------------------------------------------------------------- parameters

    def _parameters(self, layers: Sequence[LayerForm]) -> tuple[ParameterForm, ...]:
        found: dict[int, list[LayerForm]] = {}
        biases: dict[int, list[LayerForm]] = {}
        for form in layers:
            found.setdefault(form.layer.weight.index, []).append(form)
            if form.layer.bias is not None:
                biases.setdefault(_base(form.layer.bias).index, []).append(form)
        parameters = []
        for index, uses in found.items():
            parameters.append((index, False, uses))
        for index, uses in biases.items():
            parameters.append((index, True, uses))
        parameters.sort(key=lambda p: (p[2][0].number, p[1]))
        return tuple([self._parameter(*p) for p in parameters])

    def _parameter(self, index: int, bias: bool, uses: Sequence[LayerForm]) -> ParameterForm:
        shape = shape_of(self.values[index])
        total: Any = 0.0
        for form in uses:
            if bias:
                assert form.layer.bias is not None
                added = sum_to(form.delta, shape_of(self.values[form.layer.bias.index]))
                total = total + np.reshape(added, shape)[()]
            else:
                total = total + product(
                    form.layer, gradient_of(form.layer), self._parts(form.layer), shape
                )
        inside = {pair for form in uses for pair in self._used_by(form.layer, bias)}
        elsewhere = self._elsewhere(index, inside)
        value = total if elsewhere is None else total + elsewhere
        if index in self.adjoints:
            self._compare(value, self.adjoints[index])
        summed = bias and any(np.size(form.delta) > np.size(value) for form in uses)
        name = uses[0].bias if bias else uses[0].weight
        return ParameterForm(name, tuple(f.number for f in uses), bias, value, summed, elsewhere)

    def _used_by(self, layer: Layer, bias: bool) -> list[tuple[int, int]]:
        """The arguments by which a layer takes its weight or bias: node's index and position."""
        start: Any = layer.bias if bias else layer.used
        user = layer.output if bias else layer.product
        base = _base(layer.bias) if bias and layer.bias is not None else layer.weight
        used = [(user.index, next(i for i, a in enumerate(user.args) if a is start))]
        while type(start) is Node and start is not base:
            used.append((start.index, 0))
            start = start.args[0]
        return used

    def _elsewhere(self, index: int, inside: set[tuple[int, int]]) -> Any:
        """What reaches a parameter by uses that are no layer's: a penalty on its size."""
        total: Any = None
        for node in ancestors([self.output]):
            if node.op is None or node.index not in self.adjoints:
                continue
            for position, arg in enumerate(node.args):
                if type(arg) is Node and arg.index == index:
                    if (node.index, position) in inside:
                        continue
                    args = tuple([self._value(a) for a in node.args])
                    part = pull(
                        node.op, position, args, self.values[node.index], node.attrs,
                        (self.adjoints[node.index], None),
                    )  # fmt: skip
                    if part is not None:
                        total = part[0] if total is None else total + part[0]
        return total

    # ---------------------------------------------------------------------------- said besides

    def _say_branches(self) -> None:
        for link in self.links:
            end = text_name(self._name(link.end, "its signal"))
            where = self._line(link.end)
            if len(link.sources) > 1:
                several = ", ".join(text_name(self._output_name(i)) for i in link.sources)
                what = (
                    "the loss"
                    if link.target is None
                    else f"{end}, the signal of layer {link.target + 1},"
                )
                self.remarks.append(
                    f"not a plain chain: {what} is computed of {several}{where}; what arrives on "
                    "each way is added"
                )
        for k, layer in enumerate(self.layers):
            onward = [link for link in self.links if k in link.sources]
            if len(onward) > 1:
                name = text_name(self.names[layer.output.index])
                count = len(onward)
                self.remarks.append(
                    f"{name} goes on in {count} ways, so its δ is a sum of {count} terms"
                )

    def _output_name(self, k: int) -> str:
        return self.names[self.layers[k].output.index]

    def _line(self, end: Any) -> str:
        place = self.program.places.get(end.index) if type(end) is Node else None
        return "" if place is None or place.line is None else f" (line {place.line})"

    # ------------------------------------------------------------------------------- the check

    def _compare(self, formula: Any, found: Any) -> None:
        size = float(np.max(np.abs(found), initial=0.0))
        apart = float(np.max(np.abs(np.asarray(formula) - found), initial=0.0))
        self.errors.append(apart / size if size else apart)

    def _check(self) -> Check:
        worst = max(self.errors, default=0.0)
        kinds = [np.asarray(self.values[x.output.index]).dtype.itemsize for x in self.layers]
        tolerance = _TOLERANCE.get(min(kinds), 1e-12)
        says = f"the {len(self.errors)} formulas, by plain NumPy, and the backward pass agree"
        if not np.isfinite(worst):
            return Check("not verifiable", "there are infinities or NaNs among the numbers")
        if worst > tolerance:
            return Check("failed", f"a formula and the backward pass differ by {worst:.3g}", worst)
        return Check("verified", says, worst)


def _loss_name(taken: set[str], wanted: Mapping[int, str]) -> str:
    used = taken | set(wanted.values())
    return next(n for n in ("L", "loss", "J", "result") if n not in used)


def _input(parameter: Node) -> Node:
    """The input that a parameter is (a part of)."""
    while parameter.op is not None:
        parameter = parameter.args[0]
    return parameter


def _base(node: Node) -> Node:
    """The parameter that a node shows in another shape."""
    while node.op is not None and node.op.name in ("reshape", "index", "broadcast_to") and (
        type(node.args[0]) is Node and node.args[0].op is None
    ):  # fmt: skip
        node = node.args[0]
    return node


def _between(own: Node, end: Node, among: Sequence[Node]) -> tuple[Node, ...]:
    """Those of some nodes that lead from one node to another, the later one last."""
    if end is own:
        return ()
    moving, leading = {own.index}, {end.index}
    for node in among:
        if any(type(a) is Node and a.index in moving for a in node.args):
            moving.add(node.index)
    for node in reversed(among):
        if node.index in leading:
            leading.update(a.index for a in node.args if type(a) is Node)
    both = moving & leading - {own.index}
    return tuple([n for n in among if n.index in both])


def _boundary(members: Sequence[Node]) -> tuple[Node, ...]:
    """What the members are computed of, besides each other."""
    inside = {m.index for m in members}
    found: dict[int, Node] = {}
    for m in members:
        for a in m.args:
            if type(a) is Node and a.index not in inside:
                found[a.index] = a
    return tuple(found.values())


def _constants(node: Node) -> list[Any]:
    return [a for a in node.args if type(a) is not Node]


def _close(a: Any, b: Any, tolerance: float) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    if a.size != b.size:
        return False
    apart = np.max(np.abs(a.reshape(b.shape) - b), initial=0.0)
    return bool(apart <= tolerance * (np.max(np.abs(b), initial=0.0) + 1e-300))


def dense_jacobian(program: Program, of: Node, wrt: Node, name: str, other: str) -> Any:
    """The Jacobian of one node with respect to another, row by row from the edges between."""
    values = program.values
    assert values is not None
    members = _between(wrt, of, [n for n in ancestors([of]) if n.op is not None])
    if not members or members[-1] is not of:
        raise ArgumentsError(f"{name} is not computed from {other}: there is no Jacobian.")
    group = Group("", of, members, _boundary(members), (wrt,))
    shape, size = shape_of(values[of.index]), int(np.size(values[of.index]))
    rows = []
    for unit in np.eye(size, dtype=np.asarray(values[of.index]).dtype):
        carried = step_partials(group, values, unit.reshape(shape)[()])
        row = carried[wrt.index][0] if wrt.index in carried else np.zeros_like(values[wrt.index])
        rows.append(row)
    return np.reshape(rows, (*shape, *shape_of(values[wrt.index])))
