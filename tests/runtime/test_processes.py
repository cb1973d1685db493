"""What several processes leave behind."""

import os
import subprocess
import sys

LEAVING = """
from pathlib import Path

from runtime.processes import join_processes, leave_processes, of_all


def threads():
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


join_processes("cpu")
import torch.distributed.nn.functional  # as PyTorch itself does during training

of_all(None)
assert any("gloo" in name for name in threads()), threads()
leave_processes()
assert not any("gloo" in name for name in threads()), threads()
"""


def test_no_thread_outlives_the_group(root, tmp_path):
    script = tmp_path / "leaving.py"
    script.write_text(LEAVING)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = subprocess.run(
        [sys.executable, *launcher, str(script)],
        cwd=root,
        env=dict(os.environ, PYTHONPATH="."),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
