import pytest

pytest.register_assert_rewrite("tests.simulation.oracle", "tests.simulation.world")
