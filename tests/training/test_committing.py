"""A commit in memory, and what is put back. tests/elastic has whole runs that go on from one."""

import types

import numpy as np
import pytest

from awsdet.training.committing import commit_of, put_back
from awsdet.training.progress import Progress
from tests.training.test_checkpoint import all_values, model_and_optimizer, train_steps


def run_of(model, its_optimizer, mark, updated):
    """What a commit needs of a run."""
    place = Progress(mark, updated, 1, 1, 1, None)
    world = types.SimpleNamespace(number=3)
    return types.SimpleNamespace(
        detector=model,
        optimizer=its_optimizer,
        world=world,
        progress=lambda metrics: place._replace(metrics=metrics),
    )


@pytest.mark.parametrize("name", ["sgd", "novograd", "lamb"])
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_what_is_put_back_goes_on_bit_for_bit(name, precision):
    """Weights, momentum, averages, loss scale and counters, in another model and optimizer, as in a new process."""
    model, its_optimizer = model_and_optimizer(name, precision)
    scaled = precision == "mixed_float16"
    if scaled:
        its_optimizer._loss_scale._current_loss_scale.assign(2.0**9)
    train_steps(model, its_optimizer, 3)
    commit = commit_of(run_of(model, its_optimizer, "here", "here"))
    train_steps(model, its_optimizer, 3)
    wanted = all_values(model, its_optimizer)

    again, its_other = model_and_optimizer(name, precision, seed=2)
    train_steps(again, its_other, 1)
    put_back(commit, again, its_other)
    assert int(again.step) == 3
    if scaled:
        assert float(its_other.loss_scale) == 2.0**9
    train_steps(again, its_other, 3)
    found = all_values(again, its_other)
    assert len(wanted) == len(found) > 4 * 2
    for a, b in zip(wanted, found):
        np.testing.assert_array_equal(a, b)


def test_a_commit_within_an_update_is_of_the_update_before():
    """The gradients that have been accumulated since are of no use to others, nor are metrics of a later step."""
    model, its_optimizer = model_and_optimizer()
    commit = commit_of(run_of(model, its_optimizer, "within", "before"), metrics={"box_ap": 0.5})
    assert commit.progress.mark == "before" and commit.progress.metrics is None and commit.world == 3
    commit = commit_of(run_of(model, its_optimizer, "before", "before"), metrics={"box_ap": 0.5})
    assert commit.progress.metrics == {"box_ap": 0.5}
