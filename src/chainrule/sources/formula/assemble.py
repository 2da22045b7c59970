"""From the syntax tree of a formula to a graph: definitions put in order, calls written out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from chainrule.errors import FormulaError
from chainrule.graph.node import PI, E, Graph, Node, ancestors
from chainrule.rules import BOOK
from chainrule.sources.formula.parse import parse
from chainrule.sources.formula.syntax import Call, Definition, Expression, Name, Number, postorder
from chainrule.sources.program import Program

MAX_NODES = 20_000
MAX_CALL_DEPTH = 100


def read_formula(text: str, variables: Collection[str] = (), free: Collection[str] = ()) -> Program:
    """Read one or several definitions and build the graph of the result.

    Args:
        text: The formula, as people write it; see ``docs/formulas.md``.
        variables: Names known from elsewhere, which are not split into letters.
        free: Names to treat as variables of their own even if the formula defines them.

    Returns:
        The program of the definition that no other one uses.

    Raises:
        FormulaError: The text cannot be read, or its definitions go round in a circle.

    Example:
        >>> read_formula("z = x*y; x = s^2; y = s^3").variables
        ('s',)
    """
    formula = parse(text, variables)
    definitions = [d for d in formula.definitions if d.name not in free]
    builder = _Builder(text, {d.name: d for d in definitions if d.name is not None})
    result, note = _result(definitions, builder)
    output = builder.define(result)
    return Program(
        title=text.strip(),
        graph=builder.graph,
        output=output,
        output_name=result.name,
        variables=tuple(n.name for n in _inputs(builder.graph, output)),
        defined=tuple(d.name for d in definitions if d.name and d is not result),
        names={i: n for i, n in builder.names.items() if n != result.name},
        readings=formula.readings + note,
    )


def _inputs(graph: Graph, output: Any) -> list[Node]:
    """The variables that the result depends on, in order of appearance."""
    needed = {n.index for n in ancestors([output])}
    return [n for n in graph.inputs.values() if n.index in needed and n.name not in (E, PI)]


def _result(definitions: list[Definition], builder: _Builder) -> tuple[Definition, tuple[str, ...]]:
    """The definition that the others lead to."""
    used = {name for d in definitions for name in builder.uses(d)}
    results = [d for d in definitions if d.name not in used]
    if not results:
        raise builder.circle(definitions)
    others = [d.name for d in results[1:] if d.name]
    note = (f"{results[0].name or 'the first'} is the result; not used: {', '.join(others)}",)
    return results[0], note if others else ()


class _Builder:
    """Builds nodes for definitions; keeps what is built already."""

    def __init__(self, text: str, definitions: Mapping[str, Definition]) -> None:
        self.text = text
        self.definitions = definitions
        self.graph = Graph()
        self.names: dict[int, str] = {}
        self._built: dict[Any, Any] = {}

    def uses(self, definition: Definition) -> set[str]:
        """The defined names that a definition's body mentions."""
        mentioned: set[str] = set()
        if not self.definitions:
            return mentioned
        for node in postorder(definition.body):
            name = getattr(node, "name", None) or getattr(node, "function", "")
            if name in self.definitions and name not in definition.parameters:
                mentioned.add(str(name))
        return mentioned

    def define(self, definition: Definition) -> Any:
        """The node of a definition, everything it uses built first (in order, not by recursion)."""
        order = self._in_order(definition)
        bare: set[str] = set()
        if any(d.parameters for d in order):
            bare = {n.name for d in order for n in postorder(d.body) if isinstance(n, Name)}
        for d in order:
            if d.parameters and d is not definition and d.name not in bare:
                continue  # a function that is only called: written out at each call
            parameters = {p: self.graph.input(p) for p in d.parameters}
            self._build(d, parameters, depth=0)
        return self._built[(definition.name, ())]

    def circle(self, definitions: list[Definition]) -> FormulaError:
        """The error for definitions that use each other in a circle."""
        names = ", ".join(str(d.name) for d in definitions)
        first = definitions[0]
        return FormulaError(
            f"the definitions of {names} go round in a circle",
            self.text,
            first.start,
            hint="Let one of them depend on variables only.",
        )

    def _in_order(self, root: Definition) -> list[Definition]:
        order: list[Definition] = []
        state: dict[str | None, str] = {}
        stack = [(root, False)]
        while stack:
            definition, done = stack.pop()
            if done:
                state[definition.name] = "done"
                order.append(definition)
            elif state.get(definition.name) is None:
                state[definition.name] = "open"
                stack.append((definition, True))
                for name in sorted(self.uses(definition), reverse=True):
                    if state.get(name) == "open":
                        raise self.circle([self.definitions[name]])
                    stack.append((self.definitions[name], False))
        return order

    def _build(self, definition: Definition, scope: Mapping[str, Any], depth: int) -> Any:
        """The node of a definition's body, its parameters bound as ``scope`` says."""
        own = all(scope[p] is self.graph.inputs.get(p) for p in definition.parameters)
        values = () if own else tuple(id(scope[p]) for p in definition.parameters)
        key = (definition.name, values)
        if key not in self._built:
            self._built[key] = node = self._expression(definition.body, scope, depth)
            if isinstance(node, Node) and node.op is not None and definition.name:
                self.names.setdefault(node.index, definition.name)
        return self._built[key]

    def _expression(self, root: Expression, scope: Mapping[str, Any], depth: int) -> Any:
        built: list[Any] = []
        for tree in postorder(root):
            if isinstance(tree, Number):
                built.append(float(tree.text))
            elif isinstance(tree, Name):
                built.append(self._name(tree.name, scope))
            else:
                count = len(tree.args)
                args = tuple(built[len(built) - count :])
                del built[len(built) - count :]
                built.append(self._call(tree, args, depth))
        return built[0]

    def _name(self, name: str, scope: Mapping[str, Any]) -> Any:
        if name in scope:
            return scope[name]
        if (name, ()) in self._built:
            return self._built[(name, ())]
        constant = {"e": E, "pi": PI}.get(name)
        return self.graph.input(constant or name)

    def _call(self, call: Call, args: tuple[Any, ...], depth: int) -> Any:
        if len(self.graph.nodes) > MAX_NODES or depth > MAX_CALL_DEPTH:
            raise FormulaError(
                f"written out, the formula has more than {MAX_NODES:,} steps or calls itself",
                self.text,
                call.start,
            )
        definition = self.definitions.get(call.function)
        if definition is not None:
            return self._build(
                definition, dict(zip(definition.parameters, args, strict=True)), depth + 1
            )
        if call.function == "power" and args[0] is self.graph.inputs.get(E):
            return self.graph.apply(BOOK["exp"], args[1:])
        if call.function == "square":
            return self.graph.apply(BOOK["power"], (args[0], 2.0))
        return self.graph.apply(BOOK[call.function], args)
