"""The image as an endpoint: `entry.py serve` on a tree like /opt/ml, asked and ended as SageMaker does."""

import signal
import sys

import pytest

from awsdet.runtime.errors import UserError
from tests.sagemaker.fake_jobs import SAGEMAKER, job_environment, run_entry
from tests.serve import tiny_model
from tests.serve.running import SECONDS, Running, b64, encoded

import container_serve  # isort: skip


def test_an_endpoint_from_its_start_to_its_end(tmp_path):
    tiny_model.write(tmp_path / "model" / "exported")
    (tmp_path / "model" / "weights.safetensors").touch()  # as a training job leaves it
    environment = job_environment(
        AWSDET_SM_ROOT=tmp_path, SAGEMAKER_BIND_TO_PORT=0, AWSDET_SERVE_FLAGS="--max-images=2"
    )
    server = Running([sys.executable, str(SAGEMAKER / "entry.py"), "serve"], environment)
    try:
        assert server.ask("GET", "/ping")[0] == 503  # the model is being loaded
        server.until(lambda health: health["state"] == "ready")
        assert server.ask("GET", "/ping")[0] == 200
        image = encoded()
        status, answer, _ = server.ask("POST", "/invocations", image, Content_Type="image/png")
        assert status == 200 and answer["predictions"][0]["boxes"][0] == [10, 5, 30, 25]
        for count, expected in ((2, 200), (3, 413)):
            body = {"instances": [b64(image)] * count}
            assert server.ask("POST", "/invocations", body, Content_Type="application/json")[0] == expected
        rows = f"{b64(image)['b64']}\n" * 2
        status, answer, _ = server.ask("POST", "/invocations", rows, Content_Type="text/csv", Accept="text/csv")
        assert status == 200 and [row[0] for row in answer.decode().splitlines()] == ["0", "0", "1", "1"]
        asked_for = server.ask("GET", "/execution-parameters")[1]
        assert asked_for["MaxConcurrentTransforms"] * asked_for["MaxPayloadInMB"] <= 100  # or no batch transform starts
        server.process.send_signal(signal.SIGTERM)
        errors = server.process.communicate(timeout=SECONDS)[1]
        assert server.process.returncode == 0 and "Traceback" not in errors, errors
    finally:
        server.process.kill()


def test_without_a_model_one_line_says_what_to_do(tmp_path):
    ended = run_entry(tmp_path, ["serve"])
    assert ended.code == 2 and ended.log.count("\n") == 1
    assert "holds no exported model" in ended.log and "awsdet export" in ended.log


def test_the_exported_model_is_found_or_its_absence_explained(tmp_path, monkeypatch):
    def export(folder):
        folder.mkdir(parents=True)
        (folder / "awsdet.json").touch()

    (tmp_path / "other").mkdir()
    (tmp_path / "weights.safetensors").touch()
    with pytest.raises(UserError, match="weights of a training job"):
        container_serve.find_exported(tmp_path)
    export(tmp_path / "exported" / "2")
    assert container_serve.find_exported(tmp_path) == tmp_path / "exported"
    export(tmp_path / "second")
    with pytest.raises(UserError, match=r"several exported models \(exported, second\)"):
        container_serve.find_exported(tmp_path)
    export(tmp_path / "1")
    assert container_serve.find_exported(tmp_path) == tmp_path
    monkeypatch.setenv("AWSDET_SM_ROOT", str(tmp_path.parent))
    monkeypatch.setenv("AWSDET_SERVE_FLAGS", "'--timeout=3")
    tmp_path.rename(tmp_path.parent / "model")
    assert container_serve.run_server() == 2
