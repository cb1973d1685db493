import pytest
from torch import nn
from torch.nn.functional import softplus

from tests.steps.adaptation_accounts import domains, write_tree


@pytest.fixture(scope="session")
def adaptation_tree(tmp_path_factory):
    """The data tree that the adaptation scripts are run on."""
    return write_tree(tmp_path_factory.mktemp("two domains"), domains())


@pytest.fixture(scope="module")
def smooth_activations():
    """Rectifiers without their kink, for a run and its account alike.

    Near the kink, rounding decides whether a unit takes part in a step, and Adam makes whole steps of small gradients.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.ReLU, "forward", lambda self, x: softplus(x))
        patch.setattr(
            nn.LeakyReLU,
            "forward",
            lambda self, x: self.negative_slope * x + (1 - self.negative_slope) * softplus(x),
        )
        patch.setattr(nn.ReLU6, "forward", lambda self, x: softplus(x) - softplus(x - 6))
        yield
