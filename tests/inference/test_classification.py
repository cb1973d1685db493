"""From pictures to labels: chunks, and how classifiers agree."""

import numpy as np
import torch

from inference.classification import accuracy, class_probabilities, in_chunks, vote
from models import NETWORKS
from runtime.device import Execution

CPU = Execution(torch.device("cpu"))


def test_a_picture_does_not_depend_on_the_others():
    torch.manual_seed(0)
    classifier = CPU.place(NETWORKS["dann-lenet-classifier"](width=8)).eval()
    images = np.random.RandomState(0).randint(0, 256, (203, 28, 28, 3), np.uint8)
    probabilities = class_probabilities(classifier, images, CPU)
    assert probabilities.shape == (203, 10) and np.allclose(probabilities.sum(1), 1)
    assert np.array_equal(class_probabilities(classifier, images[:7], CPU), probabilities[:7])
    labels = probabilities.argmax(1)
    labels[:20] = (labels[:20] + 1) % 10
    assert accuracy(classifier, images, labels, CPU) == 183 / 203


def test_functions_see_pictures_between_minus_one_and_one():
    images = np.array([0, 255, 51], np.uint8)[:, None, None, None].repeat(3, 3)
    assert np.allclose(in_chunks(lambda inputs: inputs.mean((1, 2, 3)), images, CPU, chunk=2), [-1, 1, -0.6])


def test_the_last_chunk_is_filled_up_with_black():
    seen = []

    def spy(inputs):
        seen.append(inputs.clone())
        return inputs.amax((1, 2, 3))

    images = np.full((5, 28, 28, 3), 255, np.uint8)
    assert in_chunks(spy, images, CPU, chunk=3).tolist() == [1] * 5
    assert [inputs.shape for inputs in seen] == [(3, 3, 28, 28)] * 2
    assert (seen[1][2] == -1).all()
    seen.clear()
    in_chunks(spy, images, CPU)
    assert seen[0].shape == (200, 3, 28, 28)


def test_probabilities_are_the_softmax_of_the_logits_of_scaled_pictures():
    torch.manual_seed(0)
    classifier = CPU.place(NETWORKS["dann-lenet-classifier"](width=8)).eval()
    images = np.random.RandomState(0).randint(0, 256, (3, 28, 28, 3), np.uint8)
    with torch.no_grad():
        logits = classifier(torch.from_numpy(images / 127.5 - 1).float().permute(0, 3, 1, 2)).double().numpy()
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(class_probabilities(classifier, images, CPU), expected, atol=1e-6)


def one(**shares):
    """Probabilities of one picture over ten classes, the rest 0: one(c3=0.9, c1=0.1)."""
    row = np.zeros(10)
    for name, share in shares.items():
        row[int(name[1:])] = share
    return row


def test_majority_and_mean_may_differ():
    voters = np.stack([one(c3=0.6, c5=0.4), one(c3=0.6, c5=0.4), one(c5=1.0)])[:, None]
    assert vote(voters, "majority").tolist() == [3]
    assert vote(voters, "mean").tolist() == [5]


def test_ties_of_votes_go_to_the_higher_mean():
    tied = np.stack([one(c2=0.9, c7=0.1), one(c2=0.6, c7=0.4), one(c7=0.5, c4=0.5 - 1e-9), one(c7=0.9, c2=0.1)])
    other = np.stack([one(c2=0.6, c7=0.4), one(c2=0.6, c7=0.4), one(c7=0.9, c1=0.1), one(c7=0.9, c1=0.1)])
    assert vote(np.stack([tied, other], 1), "majority").tolist() == [7, 7]
    # A class without votes wins no tie, whatever its mean.
    unpopular = np.stack([one(c0=0.51, c9=0.49), one(c1=0.51, c9=0.49)])[:, None]
    assert vote(unpopular, "majority").tolist() == [0]
    assert vote(unpopular, "mean").tolist() == [9]


def test_a_single_classifier_decides():
    probabilities = np.random.RandomState(0).dirichlet(np.ones(10), 30)
    for how in ("majority", "mean"):
        assert np.array_equal(vote(probabilities[None], how), probabilities.argmax(1))
