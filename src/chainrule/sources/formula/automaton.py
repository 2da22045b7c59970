"""The grammar's automaton: lark makes the table once, and this loop walks it for every formula.

Lark's own loop asks for the hash of a rule at every reduction. A table of plain strings, numbers
and functions gives the same trees in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.sources.formula.tokens import Token

# What a state does about a terminal: go on to a state (a number), or reduce.
Reduction = tuple[int, Callable[[list[Any]], Any] | None, str]
Actions = dict[str, int | Reduction]

END = "$END"


class UnexpectedTokenError(Exception):
    """No rule goes on with this token (``None`` at the end of the formula)."""

    def __init__(self, token: Token | None) -> None:
        super().__init__(token)
        self.token = token


class Automaton:
    """An LALR table and the functions that its reductions call, from what lark has prepared."""

    def __init__(self, parser: Any) -> None:
        prepared = parser.parse_interactive([]).parser_state.parse_conf
        self.start: int = prepared.start_state
        self.end: int = prepared.end_state
        self.states: dict[int, Actions] = {
            state: {
                str(terminal): _action(action, prepared.callbacks)
                for terminal, (_, action) in row.items()
            }
            for state, row in prepared.states.items()
        }
        # For a state, the one below it and a terminal: the state after every reduction that only
        # passes its one value on (a call is a power is a factor is a product ...). Filled in as
        # formulas come along; there are no more entries than the grammar has.
        self._passed: dict[tuple[int, int, str], int] = {}

    def parse(self, tokens: Sequence[Token]) -> Any:
        """What the reductions make of the tokens.

        Raises:
            UnexpectedTokenError: The grammar does not go on with one of them.
        """
        states, end, passed = self.states, self.end, self._passed
        path: list[int] = [self.start]
        values: list[Any] = []
        row = states[self.start]
        for token in (*tokens, None):
            terminal = END if token is None else token.kind
            while True:
                action = row.get(terminal)
                if action is None:
                    raise UnexpectedTokenError(token)
                if type(action) is int:
                    path.append(action)
                    values.append(token)
                    row = states[action]
                    break
                size, make, origin = action  # type: ignore[misc]
                if make is None:
                    key = path[-2], path[-1], terminal
                    state = passed.get(key, -1)
                    if state < 0:
                        state = passed[key] = self._pass_on(*key)
                    path[-1] = state
                else:
                    del path[-size:]
                    values[-size:] = [make(values[-size:])]
                    state = states[path[-1]][origin]  # type: ignore[assignment]
                    path.append(state)
                if state == end:
                    return values[-1]
                row = states[state]
        raise AssertionError("the end of a formula is shifted")  # pragma: no cover - see the table

    def _pass_on(self, below: int, state: int, terminal: str) -> int:
        """The state on top of ``below`` once no reduction of a single value is left to do."""
        while state != self.end:
            action = self.states[state].get(terminal)
            if not isinstance(action, tuple) or action[1] is not None:
                break
            state = self.states[below][action[2]]  # type: ignore[assignment]
        return state


def _action(action: Any, callbacks: Any) -> int | Reduction:
    """One entry of lark's table: a state's number, or a rule to reduce by."""
    if isinstance(action, int):
        return action
    size, origin = len(action.expansion), str(action.origin.name)
    passed_on = size == 1 and action.options.expand1 and not action.alias
    return size, None if passed_on else callbacks[action], origin
