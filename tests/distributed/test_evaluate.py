"""`awsdet evaluate` in two processes gives what one process gives."""

import sys

from awsdet.data.reader.builder import reader_options
from awsdet.evaluation import evaluate, format_table
from awsdet.inference import checkpoint
from awsdet.runtime.world import World
from tests.evaluation.saved_checkpoint import save_checkpoint
from tests.evaluation.truth_detector import shape_records


def test_two_ranks_give_the_numbers_of_one(horovodrun, tmp_path):
    manifest = shape_records(tmp_path, images=7)
    save_checkpoint(tmp_path / "run", manifest.class_names, manifest.category_ids)
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    arguments = [f"--checkpoint={tmp_path / 'run'}", f"--records={tmp_path / 'records'}", f"--output={two}"]
    done = horovodrun(2, [sys.executable, "-m", "awsdet.cli.main", "evaluate", *arguments])
    assert done.code == 0, done.output
    assert not done.lines(1)

    detector, info = checkpoint.load(tmp_path / "run")
    metrics = evaluate(detector, manifest, reader_options(info["config"].data), World(), output=one)
    table = format_table(metrics).splitlines()
    assert [line.rstrip() for line in done.lines(0)[: len(table)]] == [line.rstrip() for line in table]
    assert two.read_bytes() == one.read_bytes() and one.stat().st_size > 1000
