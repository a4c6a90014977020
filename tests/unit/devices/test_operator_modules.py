"""An operator gets a module only where it is certain: as many of a kind ran as the graph has, in the graph's order."""

from __future__ import annotations

from dvfl_mobile.delegation import Delegation, Operation
from dvfl_mobile.devices.harness.operator_modules import Timed, with_modules

GRAPH = [
    Operation("conv_2d", "stem.proj", True),
    Operation("mean", "stem.norm", True),
    Operation("mul", "stem.norm", True),
    Operation("mean", "stem.norm", True),
    Operation("mul", "stem.norm", True),
    Operation("reshape", "stem", True),
    Operation("fully_connected", "block0.fc1", True),
    Operation("gelu", "block0", True),
    Operation("fully_connected", "block0.fc2", True),
    Operation("mul", "block0", True),
]
RAN = [
    "Convolution (NHWC, F32) IGEMM",
    "Mean (ND) Reduce2",
    "Mean Squared (ND) Reduce2",
    "Multiply (ND)",
    "Static Reshape (NC)",
    "Fully Connected (NC, F32) GEMM",
    "GELU (NC)",
    "Fully Connected (NC, F32) GEMM",
    "Multiply (ND)",
]


def _modules(names: list[str], calls: int | None = 1) -> list[str]:
    timed = [Timed(name, True, 10 * index) for index, name in enumerate(names)]
    return [each.module for each in with_modules(timed, Delegation.of("XNNPACK", calls, GRAPH))]


def test_the_nth_of_a_kind_that_ran_is_the_nth_of_the_graph() -> None:
    assert _modules(RAN) == [
        "stem.proj",
        "stem.norm",
        "stem.norm",
        "stem.norm",
        "",
        "block0.fc1",
        "block0",
        "block0.fc2",
        "block0",
    ]


def test_times_and_names_stay_with_their_operators() -> None:
    found = with_modules([Timed(name, True, 10 * i) for i, name in enumerate(RAN)], Delegation.of("X", 1, GRAPH))
    assert [(each.index, each.name, each.duration_ns) for each in found] == [
        (i, name, 10 * i) for i, name in enumerate(RAN)
    ]


def test_a_kind_of_which_another_number_ran_has_no_modules_and_the_others_keep_theirs() -> None:
    found = _modules([*RAN, "Fully Connected (NC, F32) GEMM"])
    assert [found[5], found[7], found[9]] == ["", "", ""]
    assert (found[0], found[6]) == ("stem.proj", "block0")


def test_where_a_module_and_its_part_may_have_changed_places_the_module_is_named_which_holds_both() -> None:
    graph = [
        Operation("add", "block0.modulation", True),
        Operation("add", "block0", True),
        Operation("add", "block0.mlp.norm", True),
        Operation("add", "block0", True),
        Operation("add", "block1.modulation", True),
    ]
    timed = [Timed("Add (ND)", True, 1)] * len(graph)
    found = [each.module for each in with_modules(timed, Delegation.of("XNNPACK", 1, graph))]
    assert found == ["block0.modulation", "block0", "block0", "block0", "block1.modulation"]


def test_a_graph_in_pieces_runs_in_another_order_and_has_none() -> None:
    assert set(_modules(RAN, calls=2)) == {""}
    assert set(_modules(RAN, calls=None)) == {""}


def test_what_the_runtime_ran_itself_is_known_by_its_number_in_the_graph() -> None:
    graph = [
        Operation("gelu", "block0.focal0", False),
        Operation("gelu", "block0.focal1", False),
        Operation("fully_connected", "block0.h", True),
        Operation("gelu", "block0.mlp", False),
    ]
    # The delegate's pieces let branches run side by side: 27 and 48 come together, and 30 after them.
    timed = [Timed("GELU", False, 7, 27), Timed("GELU", False, 8, 48), Timed("Fully Connected (NC, QS8)", True, 9)]
    timed.append(Timed("GELU", False, 10, 30))
    found = with_modules(timed, Delegation.of("XNNPACK", 3, graph))
    assert [each.module for each in found] == ["block0.focal0", "block0.mlp", "", "block0.focal1"]


def test_without_numbers_what_the_runtime_ran_itself_has_none() -> None:
    graph = [Operation("gelu", "block0", False), Operation("gelu", "block1", False)]
    timed = [Timed("GELU", False, 7), Timed("GELU", False, 8)]
    assert {each.module for each in with_modules(timed, Delegation.of("XNNPACK", 3, graph))} == {""}
