"""`awsdet evaluate` in two processes gives what one process gives."""

import sys

from tests.evaluation.saved_checkpoint import save_checkpoint
from tests.evaluation.truth_detector import shape_records


def test_two_ranks_give_the_numbers_of_one(horovodrun, tmp_path, monkeypatch):
    # Each rank has as many threads as one process alone, since some processors add up in another order with more.
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    manifest = shape_records(tmp_path, images=7)
    save_checkpoint(tmp_path / "run", manifest.class_names, manifest.category_ids)

    def evaluated(processes):
        results = tmp_path / f"{processes}.json"
        arguments = [f"--checkpoint={tmp_path / 'run'}", f"--records={tmp_path / 'records'}", f"--output={results}"]
        done = horovodrun(processes, [sys.executable, "-m", "awsdet.cli.main", "evaluate", *arguments])
        assert done.code == 0, done.output
        assert not any(done.lines(rank) for rank in range(1, processes))
        return [line.rstrip().replace(str(results), "FILE") for line in done.lines(0)], results.read_bytes()

    (table, detections), both = evaluated(1), evaluated(2)
    assert both[1] == detections and len(detections) > 1000
    assert both[0] == table and len(table) > 10
