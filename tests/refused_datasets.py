"""How a data set is refused."""

import pytest

from motive.clips import read_dataset
from motive.errors import DatasetError


def refusal(source, **options) -> str:
    """The message with which a data set is refused, in one line."""
    with pytest.raises(DatasetError) as error:
        read_dataset(source, **options)
    assert "\n" not in str(error.value)
    return str(error.value)
