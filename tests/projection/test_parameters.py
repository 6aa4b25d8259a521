"""The parameter table: what a feature is made of, and the refusal of another."""

import pytest
import torch

from motive.errors import FingerprintError
from motive.projection import ParameterTable


def test_a_table_survives_being_written_down():
    table = ParameterTable.of(torch.nn.Sequential(torch.nn.Linear(3, 2)).named_parameters())
    assert ParameterTable.from_json(table.to_json()) == table
    assert ParameterTable.from_json(table.to_json()).identity() == table.identity()


def test_sizes_and_offsets_are_exact_beyond_32_bits():
    table = ParameterTable((("a", (1 << 17, 1 << 16)), ("b", (3,)), ("c", ())))
    assert table.size == (1 << 33) + 4
    assert table.offsets() == {"a": 0, "b": 1 << 33, "c": (1 << 33) + 3}


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ([("a", (2,)), ("c", (3,))], r"number 1 is b \[3\] here and c \[3\] there"),
        ([("a", (2,)), ("b", (4,))], r"number 1 is b \[3\] here and b \[4\] there"),
        ([("b", (3,)), ("a", (2,))], r"number 0 is a \[2\] here and b \[3\] there"),
        ([("a", (2,))], r"number 1 is b \[3\] here and absent there"),
    ],
)
def test_the_first_parameter_that_changed_is_named(there, words):
    here = ParameterTable((("a", (2,)), ("b", (3,))))
    other = ParameterTable(tuple(there))
    assert here.identity() != other.identity()
    with pytest.raises(FingerprintError, match=words):
        here.require_same(other, "index.lance")
    here.require_same(here, "index.lance")
