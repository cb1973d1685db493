import pytest

from tests.steps.adaptation_accounts import domains, write_tree


@pytest.fixture(scope="session")
def adaptation_tree(tmp_path_factory):
    """The data tree that the adaptation scripts are run on."""
    return write_tree(tmp_path_factory.mktemp("two domains"), domains())
