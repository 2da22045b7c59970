"""Pytrees: what has leaves, what the leaves are called, and what comes out is like what went in."""

import collections
import dataclasses

import numpy as np
import pytest

import chainrule as cr
from chainrule import tree
from chainrule.errors import ArgumentsError, NotDifferentiableError

Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass(frozen=True)
class Layer:
    weight: np.ndarray
    bias: float = 1.0
    note: object = None


@dataclasses.dataclass
class Derived:
    side: float
    area: float = dataclasses.field(init=False)

    def __post_init__(self):
        self.area = self.side * self.side


@dataclasses.dataclass
class Configured:
    a: float
    scale: dataclasses.InitVar[float] = 1.0

    def __post_init__(self, scale):
        self.factor = scale


class Registered:
    def __init__(self, x, name):
        self.x, self.name = x, name


cr.register_pytree_node(
    Registered, lambda r: ((r.x,), r.name), lambda name, children: Registered(*children, name)
)


def test_leaves_are_called_as_one_would_write_them():
    params = {
        "W1": [1.0, 2.0],
        "p": Point(3.0, {"k": 4.0}),
        7: (Layer(5.0),),
        "r": Registered(6, ""),
    }
    assert list(tree.leaves(params, "params")) == [
        ("params[7][0].weight", 5.0), ("params[7][0].bias", 1.0), ("params['W1'][0]", 1.0),
        ("params['W1'][1]", 2.0), ("params['p'].x", 3.0), ("params['p'].y['k']", 4.0),
        ("params['r'][0]", 6),
    ]  # fmt: skip


def test_the_order_of_the_leaves_does_not_depend_on_the_order_of_the_keys():
    first = {"b": 1.0, "a": 2.0, 1: 3.0, "1": 4.0}
    second = dict(reversed(first.items()))
    assert list(tree.leaves(first)) == list(tree.leaves(second))
    assert cr.jvp(lambda p: p["b"] * p[1], (first,), (second,)) == (3.0, 6.0)
    assert list(cr.grad(lambda p: p["b"] * p["a"] * p[1] * p["1"])(first)) == ["b", "a", 1, "1"]


@pytest.mark.parametrize(
    "given",
    [
        collections.OrderedDict(b=2.0, a=3.0), collections.defaultdict(float, b=2.0, a=3.0),
        {"b": 2.0, "a": 3.0},
    ],
    ids=lambda d: type(d).__name__,
)  # fmt: skip
def test_a_dictionary_of_any_kind_stays_of_its_kind(given):
    gradient = cr.grad(lambda p: p["b"] * p["a"] ** 2)(given)
    assert type(gradient) is type(given)
    assert list(gradient.items()) == [("b", 9.0), ("a", 12.0)]
    if isinstance(given, collections.defaultdict):
        assert cr.grad(lambda p: p["b"] + p["missing"])(collections.defaultdict(float, b=2.0)) == {
            "b": 1.0
        }


def test_lists_and_tuples_of_any_kind_stay_of_their_kind():
    class Stack(list):
        pass

    gradient = cr.grad(lambda p: p[0] * p[1])(Stack([2.0, 3.0]))
    assert (type(gradient), gradient) == (Stack, [3.0, 2.0])
    assert cr.grad(lambda p: p.x * p.y)(Point(2.0, 3.0)) == Point(3.0, 2.0)
    assert cr.grad(lambda p: p["a"])({"a": 1.0, "b": [], "c": (), "d": None}) == {
        "a": 1.0, "b": [], "c": (), "d": None,
    }  # fmt: skip


def test_dataclasses_keep_what_they_have_besides_their_fields():
    gradient = cr.grad(lambda p: np.sum(p.weight) * p.bias)(Layer(np.ones(2), 3.0))
    assert (gradient.weight.tolist(), gradient.bias, gradient.note) == ([3.0, 3.0], 2.0, None)
    f = lambda p: p.a**2 * p.factor
    assert cr.grad(f)(Configured(3.0, scale=5.0)).a == 30.0
    # What follows from the fields is made anew: the derivative goes through it.
    assert cr.grad(lambda p: p.area * p.side)(Derived(2.0)).side == 12.0


def test_a_registered_class_keeps_its_auxiliary_data():
    gradient = cr.grad(lambda r: r.x**2 * len(r.name))(Registered(3.0, "ab"))
    assert (gradient.x, gradient.name) == (12.0, "ab")
    batch = cr.vmap(lambda r: Registered(r.x * 2, "out"))(Registered(np.arange(3.0), "in"))
    assert (batch.x.tolist(), batch.name) == ([0.0, 2.0, 4.0], "out")
    for kind in (Registered, dict, Point):
        with pytest.raises(ArgumentsError, match="pytree already"):
            cr.register_pytree_node(kind, lambda r: ((), None), lambda _, c: None)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"W1": [1.0, 2]}, "params['W1'][1] of loss: it is a scalar of dtype int64"),
        (Layer(np.ones(2), note="text"), "params.note of loss: it is 'text'"),
        ({1.0}, "params of loss: it is an object of type set"),
        (object(), "params of loss: it is an object"),
        ([Point(1.0, True)], "params[0].y of loss: it is True"),
    ],
)
def test_what_is_no_float_is_named_along_the_tree(given, says):
    def loss(params):
        return 0.0

    with pytest.raises(NotDifferentiableError) as caught:
        cr.grad(loss)(given)
    assert says in str(caught.value)


def test_an_absent_gradient_is_named_along_the_tree():
    def loss(params):
        return params["W1"][0] * 2.0

    with pytest.warns(cr.AbsentGradientWarning) as caught:
        cr.grad(loss)({"W1": [1.0, 2.0], "b": Point(1.0, np.ones(2))})
    named = [str(w.message).split(":")[0] for w in caught]
    assert named == [
        f"loss does not depend on params{n}" for n in ("['W1'][1]", "['b'].x", "['b'].y")
    ]


def test_trees_that_do_not_fit_are_described():
    with pytest.raises(ArgumentsError, match=r"a dict with \['b'\] where a dict with \['a'\]"):
        cr.jvp(lambda p: p["a"], ({"a": 1.0},), ({"b": 1.0},))
    with pytest.raises(ArgumentsError, match=r"a list with \[0\] where a list with \[0\], \[1\]"):
        cr.jvp(lambda p: p[0], ([1.0, 2.0],), ([1.0],))
    with pytest.raises(ArgumentsError, match="a leaf"):
        cr.vjp(lambda x: (x, x), 1.0)[1](1.0)


def test_results_may_hold_what_is_no_number():
    value, pull = cr.vjp(lambda x: {"s": "text", "y": x, "n": None}, 2.0)
    assert value == {"s": "text", "y": 2.0, "n": None}
    assert pull({"s": "", "y": 3.0, "n": None}) == (3.0,)


def test_a_leaf_or_a_container_that_stands_twice_is_two():
    one = np.float64(2.0)
    assert cr.grad(lambda p: p[0] * p[1] ** 2)([one, one]) == [4.0, 8.0]
    inner = [2.0]
    assert cr.grad(lambda p: p[0][0] * p[1][0] ** 2)([inner, inner]) == [[4.0], [8.0]]


def test_a_function_may_put_something_else_into_the_trees_that_it_is_given():
    def f(params):
        params["w"] = params["w"] * 2.0
        params["new"] = params["w"] ** 2
        params["list"].append(1.0)
        params["list"][0] *= 3.0
        return params["new"] + params["list"][0]

    given = {"w": 3.0, "list": [1.0]}
    assert cr.grad(f)(given) == {"w": 24.0, "list": [3.0]}
    assert given == {"w": 3.0, "list": [1.0]}
    assert cr.jvp(f, (given,), (given,))[1] == 75.0
    assert cr.vmap(f)({"w": np.ones(2), "list": [np.ones(2)]}).tolist() == [7.0, 7.0]
    assert cr.grad(cr.checkpoint(f))(given) == {"w": 24.0, "list": [3.0]}


def test_no_instance_of_a_class_is_made_of_anything_but_values():
    made = []

    class Checked:
        def __init__(self, x):
            made.append(x)
            assert hasattr(x, "dtype")
            self.x = x

    cr.register_pytree_node(Checked, lambda c: ((c.x,), None), lambda _, c: Checked(*c))
    f = lambda c: Checked(c.x * c.x)
    point = Checked(np.float64(3.0))
    assert cr.grad(lambda c: f(c).x)(point).x == 6.0
    assert cr.jvp(f, (point,), (point,))[1].x == 18.0
    assert cr.vjp(f, point)[1](point)[0].x == 18.0
    assert cr.vmap(f)(Checked(np.ones(2))).x.tolist() == [1.0, 1.0]
    assert len(made) > 10


@dataclasses.dataclass(frozen=True)
class Scaled:
    weight: np.ndarray
    power: int = tree.static_field(default=2)
    function: object = tree.static_field(default=np.sin)

    def __call__(self, x):
        return np.sum(self.function(self.weight * x) ** self.power)


def test_static_fields_are_no_leaves_and_stay_as_they_are():
    layer = Scaled(np.ones(2), 3)
    assert [name for name, _ in tree.leaves(layer, "m")] == ["m.weight"]
    gradient = cr.grad(lambda m: m(2.0))(layer)
    assert (gradient.power, gradient.function) == (3, np.sin)
    assert np.allclose(gradient.weight, 6 * np.sin(2.0) ** 2 * np.cos(2.0))
    assert tree.map_leaves(lambda v: 2 * v, layer).power == 3


def test_trees_with_other_static_values_are_built_otherwise_and_compiled_by_themselves():
    layers = [Scaled(np.ones(2)), Scaled(np.ones(2), 3), Scaled(np.ones(2), 3, np.cos)]
    assert len({tree.structure(layer) for layer in layers}) == 3
    assert tree.structure(Scaled(np.zeros(5))) == tree.structure(layers[0])
    compiled = cr.jit(lambda m, x: m(x))
    for layer in [*layers, *layers]:
        assert np.isclose(compiled(layer, 0.7), layer(0.7), rtol=1e-14)
