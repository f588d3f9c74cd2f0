"""`backend=replay` generates nothing and says which command does what was meant."""

from __future__ import annotations

import pytest

from mindgap.backends.replay import ReplayBackend
from mindgap.core.errors import UnavailableError
from mindgap.core.model import ModelSpec


def test_the_command_that_imports_is_named_while_the_configuration_is_checked() -> None:
    (lacking,) = ReplayBackend().lacks(ModelSpec("tiny"), frozenset({"generate"}))
    assert "python -m mindgap.replay FILE" in lacking
    with pytest.raises(UnavailableError, match=r"mindgap\.replay"):
        ReplayBackend().open(ModelSpec("tiny"))
