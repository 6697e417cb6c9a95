import pytest

pytest.register_assert_rewrite("tests.engine.contract", "tests.engine.later")
