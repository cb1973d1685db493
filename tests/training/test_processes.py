import json
import os
from pathlib import Path

import pytest
import torch

from runtime.errors import UserError
from training import processes

TWO_PROCESSES = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2)


def test_two_processes_do_what_one_does(run, dcgan_command, root, tmp_path, state):
    """SGD, as Adam makes large steps of gradients that are nothing but rounding."""
    script = Path(__file__).with_name("without_batch_norm.py")
    sgd = ("--d-optimizer", "sgd", "--g-optimizer", "sgd", "--d-lr", 0.1, "--g-lr", 0.1)
    options = ("--loss", "wgan-gp", "--flip", "--max-steps", 4, "--log-every", 2, *sgd)
    path = {"env": os.environ | {"PYTHONPATH": str(root)}}
    states = []
    for name, launcher in (("one", ()), ("two", TWO_PROCESSES)):
        done = run(*launcher, script, *dcgan_command(tmp_path, "sagan", *options, "--name", name), **path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("done, step 4 of 4") == 1
        assert json.loads((tmp_path / name / "config.json").read_text())["processes"] == len(states) + 1
        states.append(state(tmp_path / name))
    one, two = states
    for part in ("generator", "discriminator", "average"):
        for name, value in one["checkpoint"]["parts"][part].items():
            torch.testing.assert_close(two["checkpoint"]["parts"][part][name], value, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(two["weights"], one["weights"], rtol=1e-4, atol=1e-5)
    for line, other in zip(one["log"], two["log"], strict=True):
        assert line == pytest.approx(other, abs=1e-4)
    # Were it not for the gradients, the weights would hardly have moved, and any two runs would be alike.
    gamma = one["checkpoint"]["parts"]["discriminator"]["layers.6.gamma"]  # 0 at first
    assert gamma.abs().item() > 1e-3


def test_alone_the_whole_batch_is_ours():
    assert processes.world_size() == 1
    assert processes.is_first()
    assert processes.share_of(6) == slice(0, 6)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_every_process_takes_its_share_of_a_batch(monkeypatch, rank):
    monkeypatch.setattr(processes, "world_size", lambda: 3)
    monkeypatch.setattr(processes, "process_number", lambda: rank)
    assert list(range(6))[processes.share_of(6)] == [2 * rank, 2 * rank + 1]
    with pytest.raises(UserError, match="--batch-size 8 cannot be shared by 3 processes: use a multiple of 3"):
        processes.share_of(8)
    with pytest.raises(UserError, match="--batch-size 3 is one picture for each process: use 6 or more"):
        processes.share_of(3)
