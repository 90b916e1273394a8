"""`awsdet evaluate --watch`: the checkpoints of a run are evaluated beside its training, each once."""

import json
import os
import shutil
import signal
import threading

import pytest

from awsdet.cli import main as cli
from awsdet.inference import checkpoint
from awsdet.runtime.errors import UserError
from awsdet.training.evaluations_folder import EvaluationsFolder, mark_of
from awsdet.training.lookout import Look, Lookout
from awsdet.training.run_folder import End, RunFolder, read_end
from tests.cli.conftest import restored_logging
from tests.training.tiny_run import logged_lines

__all__ = ["restored_logging"]


def watch(run, records, *more):
    return cli.main(["evaluate", "--watch", f"--checkpoint={run}", f"--records={records}", *more])


def test_same_numbers_as_within_training_and_no_checkpoint_twice(finished_run, training_folder, tmp_path, capsys):
    """The run averages its weights. Its checkpoint of step 4 lies between two evaluations of its own.

    The evaluation of its first one was broken off, and the run has dropped that one since.
    """
    run, records = tmp_path / "run", training_folder / "records"
    shutil.copytree(finished_run[0], run, symlinks=True)
    steps = [checkpoint.read_info(path)["step"] for path in checkpoint.whole(run / "checkpoints")]
    assert steps[-2:] == [4, 6] and read_end(run) == End("complete", 6)
    first = checkpoint.whole(run / "checkpoints")[0]
    EvaluationsFolder(run / "evaluations").hold(first)
    shutil.rmtree(first)
    assert watch(run, records) == 0
    folder, said = run / "evaluations", capsys.readouterr().out
    assert [line for line in said.splitlines() if line.startswith("step 6,")] == ["step 6, epoch 2"]
    assert said.count("AP   IoU 0.50:0.95") == len(steps) and "  best\n" in said
    lines = logged_lines(folder)
    assert [line["step"] for line in lines] == steps
    own = {line["step"]: line for line in logged_lines(run) if "box_ap" in line}
    assert 6 in own
    for line in lines:
        others = own.get(line["step"], {})
        assert {name: line[name] for name in others if name != "seconds"} == {
            name: value for name, value in others.items() if name != "seconds"
        }
    detections = (folder / "results" / "step-00000006.json").read_bytes()
    assert detections == (run / "results.json").read_bytes() and len(json.loads(detections)) > 10
    best = checkpoint.find(folder)
    assert checkpoint.read_info(best)["metrics"]["mask_ap"] == max(line["mask_ap"] for line in lines)
    assert cli.main(["plot", str(run), str(folder), f"--output={tmp_path / 'curves.svg'}"]) == 0

    before = (folder / "metrics.jsonl").read_bytes()
    assert watch(run, records) == 0
    assert (folder / "metrics.jsonl").read_bytes() == before and "COCO metrics" not in capsys.readouterr().out

    # Nothing is left to evaluate, so the numbers of val would be taken for those of train.
    for more in ([], ["--check"]):
        assert watch(run, records, "--split=train", *more) == 2
        assert "on other records or another split; give another --output" in capsys.readouterr().err


def test_it_waits_for_a_run_and_ends_by_sigterm_or_when_nothing_comes(training_folder, tmp_path, log):
    run, records = tmp_path / "run", training_folder / "records"
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    assert watch(run, records) == 0
    timer.join()
    assert f"{run} has no checkpoint yet; waiting" in log.text
    assert "stopped by SIGTERM; the same command goes on" in log.text
    assert watch(run, records, "--wait-seconds=0") == 1
    assert f"no new checkpoint of {run} and no sign of life for 0 s, and it is not complete" in log.text
    assert not list(tmp_path.rglob("run.lock"))
    assert watch(run, records, "--check") == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--checkpoint=run", "--watch", "--output=run"], "run is a run, whose files must stay"),
        (["--checkpoint=run", "--watch", "--output=run", "--check"], "run is a run, whose files must stay"),
        (["--checkpoint=other", "--watch", "--output=run/checkpoints"], "run/checkpoints is a run, whose files"),
        (["--checkpoint=run/checkpoints/step-00000004", "--watch"], "--watch follows a whole run; give its folder"),
        (["--checkpoint=run", "--wait-seconds=5"], "--wait-seconds does nothing without --watch"),
        (["--results=x.json", "--watch"], "--watch does nothing with --results"),
        (["--checkpoint=run", "--watch", "--split=other"], "no split other; it has train, val"),
        (["--checkpoint=run/file", "--watch"], "run/file is a file"),
    ],
)
def test_mistakes_end_in_one_line(training_folder, tmp_path, monkeypatch, capsys, flags, words):
    monkeypatch.chdir(tmp_path)
    publish(tmp_path / "run", 4)
    (tmp_path / "run" / "file").touch()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    assert cli.main(["evaluate", f"--records={training_folder / 'records'}", *flags]) == 2
    assert words in capsys.readouterr().err.splitlines()[-1]


def publish(run, step, **more):
    """Writes a checkpoint that holds no weights. Returns its path."""
    path = run / "checkpoints" / f"step-{step:08d}"
    path.mkdir(parents=True)
    (path / "state").write_text("weights")
    info = {"format": checkpoint.FORMAT, "step": step, "files": {"state": 7}, "metrics": None, **more}
    (path / "checkpoint.json").write_text(json.dumps(info))
    return path


def test_checkpoints_are_found_once_each_and_oldest_first(tmp_path, log):
    marks, run = {}, tmp_path / "run"
    lookout = Lookout(run, lambda: marks, wait_seconds=100)
    assert lookout.look() == Look() and "has no checkpoint yet" in log.text
    first, second, third = (publish(run, step) for step in (2, 4, 6))
    assert lookout.look() == Look(first)
    marks[2] = mark_of(checkpoint.read_info(first))
    lookout.taken(first)
    info = {**json.loads((first / "checkpoint.json").read_text()), "metrics": {"box_ap": 0.5}}
    (first / "checkpoint.json").write_text(json.dumps(info))  # training has evaluated it too
    assert lookout.look() == Look(second)
    shutil.rmtree(first)  # not told: it was evaluated
    shutil.rmtree(second)
    (third / "state").write_text("half")
    assert lookout.look() == lookout.look() == Look()
    assert "dropped step-00000004 before it was evaluated" in log.text and "step-00000002" not in log.text
    assert log.text.count("damaged checkpoint") == 1
    (third / "state").write_text("weights")
    assert lookout.look() == Look(third)


@pytest.mark.parametrize(("how", "words"), [("stopped", "it was stopped at step 6"), ("failed", "it has failed")])
def test_a_run_that_ends_early_is_waited_for(tmp_path, log, how, words):
    folder = RunFolder(tmp_path)
    folder.end(End(how, 6))
    assert read_end(tmp_path) is None  # it is not this run's folder
    folder.take()
    folder.end(End(how, 6))
    lookout = Lookout(tmp_path, dict, wait_seconds=0)
    assert lookout.look() == Look()  # a sign of life
    assert lookout.look() == Look(over=True) and words in lookout.problem and words[3:] in log.text
    folder.end(End("complete", 6))
    lookout = Lookout(tmp_path, dict, wait_seconds=0)
    assert lookout.look() == Look(over=True) and not lookout.problem
    folder.release()


def test_a_complete_run_with_a_damaged_checkpoint(tmp_path):
    """One that was evaluated before it was damaged does not count."""
    (tmp_path / "ended.json").write_text('{"how": "complete", "step": 6}')
    for step in (4, 6):
        (publish(tmp_path, step) / "state").write_text("half")
    lookout = Lookout(tmp_path, lambda: {4: "mark"}, wait_seconds=100)
    assert lookout.look() == Look(over=True)
    assert "complete, but damaged and so not evaluated: step-00000006; if it is still being copied" in lookout.problem


def test_damaged_files_of_a_run_are_named(tmp_path):
    for text in ("{", "[1]", '{"how": "stopped", "step": "x"}', '{"how": "well", "step": 1}', "[" * 10_000):
        (tmp_path / "ended.json").write_text(text)
        with pytest.raises(UserError, match=r"ended\.json cannot be read \(it is damaged\); remove it"):
            read_end(tmp_path)
    for key in ("step", "files"):
        path = publish(tmp_path / key, 2)
        info = json.loads((path / "checkpoint.json").read_text())
        del info[key]
        (path / "checkpoint.json").write_text(json.dumps(info))
        assert checkpoint.damage(path) == f"the damaged checkpoint {path}: checkpoint.json does not say its {key}"


def test_a_checkpoint_that_is_dropped_while_it_is_read(tmp_path):
    source = publish(tmp_path / "run", 2)
    folder = EvaluationsFolder(tmp_path / "evaluations")
    held = folder.hold(source)
    shutil.rmtree(source)
    assert checkpoint.is_whole(held) and (held / "state").read_text() == "weights"
    assert folder.hold(source) is None
    assert [path.name for path in held.parent.iterdir()] == ["step-00000002"]
    gone = publish(tmp_path / "run", 4)
    (gone / "state").unlink()  # not dropped, but damaged
    with pytest.raises(FileNotFoundError):
        folder.hold(gone)


def test_a_checkpoint_of_another_run_replaces_what_came_after_it(tmp_path):
    """One of a step between two others does not; the folder keeps the best checkpoint and the last one."""
    run, folder = tmp_path / "run", EvaluationsFolder(tmp_path / "evaluations")
    folder.open()

    def enter(step, ap, mark):
        folder.hold(publish(run, step))
        shutil.rmtree(run)
        folder.enter({"step": step, "checkpoint": mark}, {"box_ap": ap})

    def state():
        kept = [path.name for path in checkpoint.whole(folder.path / "checkpoints")]
        return folder.marks(), kept, checkpoint.find(folder.path).name

    for step, ap in ((2, 0.4), (6, 0.3), (8, 0.2), (4, 0.1)):
        enter(step, ap, "a")
    assert state() == ({2: "a", 4: "a", 6: "a", 8: "a"}, ["step-00000002", "step-00000008"], "step-00000002")
    enter(6, 0.5, "b")
    assert state() == ({2: "a", 4: "a", 6: "b"}, ["step-00000006"], "step-00000006")
    folder.close()
    again = EvaluationsFolder(folder.path)
    again.open()
    assert again.marks() == {2: "a", 4: "a", 6: "b"} and logged_lines(folder.path) == again.records
    again.close()
