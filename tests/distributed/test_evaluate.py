"""`awsdet evaluate` in two processes gives what it gives in one."""

import sys

from tests.evaluation.saved import save_checkpoint
from tests.evaluation.truth import shape_records


def test_two_ranks_give_the_numbers_of_one(horovodrun, tmp_path):
    manifest = shape_records(tmp_path, images=7)
    save_checkpoint(tmp_path / "run", manifest.class_names, manifest.category_ids)
    tables, files = [], []
    for processes in (1, 2):
        files.append(tmp_path / f"results-{processes}.json")
        command = ["evaluate", f"--checkpoint={tmp_path / 'run'}", f"--records={tmp_path / 'records'}"]
        done = horovodrun(processes, [sys.executable, "-m", "awsdet.cli.main", *command, f"--output={files[-1]}"])
        assert done.code == 0, done.output
        tables.append(done.lines(0)[:-1])
        assert not done.lines(1)
    assert tables[0] == tables[1] and tables[0][0].startswith("COCO metrics")
    assert files[0].read_bytes() == files[1].read_bytes() and files[0].stat().st_size > 1000
