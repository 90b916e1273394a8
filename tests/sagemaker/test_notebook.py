"""sagemaker/awsdet_sagemaker.ipynb: every cell runs, with either SDK, and the request and the results are right.

AWS is moto, in the kernel. What a job leaves is that of a real, tiny training run, so that the cells that fetch and use
the result do real work.
"""

import base64
import fcntl
import io
import json
import os
import pathlib
import subprocess
import sysconfig
import tarfile
from typing import NamedTuple

import pytest
from PIL import Image

from awsdet.sagemaker import metrics
from tests.sagemaker.aws import CREDENTIALS, ROOT, SDK_SETTINGS, awsdet, sdk_python
from tests.sagemaker.job import IMAGE

NOTEBOOK = ROOT / "sagemaker" / "awsdet_sagemaker.ipynb"
BUCKET = "notebook-bucket"
ROLE = "arn:aws:iam::123456789012:role/Training"  # 123456789012 is the account that moto plays
PARAMETERS = f"""
IMAGE, ROLE, BUCKET = "{IMAGE}", "{ROLE}", "{BUCKET}"
INSTANCE_TYPE, INSTANCES, IMAGES, EPOCHS, FOLDER = "ml.g5.xlarge", 2, 8, 3, "work"
ENDPOINT_TYPE = "ml.m5.xlarge"
"""


def test_stored_without_outputs():
    notebook = json.loads(NOTEBOOK.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    for cell in notebook["cells"]:
        assert cell["cell_type"] in ("markdown", "code") and cell["source"]
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


def test_links_lead_somewhere():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    links = [part.partition(")")[0] for part in text.split("](")[1:]]
    assert links and all((NOTEBOOK.parent / link).is_file() for link in links)


def run(*arguments, folder):
    done = awsdet(*arguments, folder=folder, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def archives(tmp_path_factory, worker_id):
    """A folder with the archives of a real run, which the first test process makes while the others wait."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "sagemaker-run"
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "archives").exists():
            folder.mkdir(exist_ok=True)
            make_archives(folder)
    return folder / "archives"


def make_archives(base):
    """Trains for one epoch on 8 images and packs what the container leaves into BASE/archives."""
    run("shapes", "--output=shapes", "--train_images=8", "--val_images=4", folder=base)
    for split in ("train", "val"):
        annotations = f"--annotations=shapes/annotations/instances_{split}.json"
        images = f"--images=shapes/images/{split}"
        run("convert", annotations, images, "--output=records", f"--split={split}", "--shards=1", folder=base)
    config = f"--config={ROOT / 'configs' / 'shapes_mask_rcnn.py'}"
    settings = ("--config.data.train_records=records", "--config.train.epochs=1")
    run("train", config, "--output=run", *settings, folder=base)
    run("weights", "run", "weights.safetensors", folder=base)
    contents = {
        "model.tar.gz": ("weights.safetensors", "run/config.json"),
        "output.tar.gz": ("run/metrics.jsonl", "run/examples.png"),
    }
    (base / "new").mkdir()
    for name, files in contents.items():
        with tarfile.open(base / "new" / name, "w:gz") as tar:
            for file in files:
                tar.add(base / file, arcname=file.rpartition("/")[2])
    (base / "new").rename(base / "archives")


class Executed(NamedTuple):
    """A notebook that ran. cells: with their outputs. requests: those that were sent. folder: where it worked."""

    sdk: str
    cells: list
    requests: list
    folder: pathlib.Path


def execute(sdk, archives, folder):
    """Runs the notebook with an SDK, "v2" or "v3", in a folder. Returns Executed."""
    python = sdk_python(sdk)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
        **CREDENTIALS,
        "PYTHONPATH": f"{ROOT / 'tests' / 'sagemaker' / 'kernel'}{os.pathsep}{ROOT}",
        **SDK_SETTINGS,
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "jupyter"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "AWSDET_TEST_BUCKET": BUCKET,
        "AWSDET_TEST_ARCHIVES": str(archives),
        "AWSDET_TEST_REQUESTS": str(folder / "requests"),
        "AWSDET_TEST_PACKAGES": sysconfig.get_path("purelib"),
    }
    command = [python, ROOT / "tests" / "sagemaker" / "run_notebook.py", NOTEBOOK, "out.ipynb", PARAMETERS]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder, timeout=590, check=False
    )
    assert done.returncode == 0, done.stderr[-6000:]
    notebook = json.loads((folder / "out.ipynb").read_text())
    requests = [json.loads(line) for line in (folder / "requests").read_text().splitlines()]
    return Executed(sdk, notebook["cells"], requests, folder)


@pytest.fixture(scope="module", params=["v2", "v3"])
def sdk(request):
    """An SDK that is there."""
    sdk_python(request.param)
    return request.param


def test_cells_run_from_top_to_bottom(sdk, archives, tmp_path):
    executed = execute(sdk, archives, tmp_path)
    counts = [cell["execution_count"] for cell in executed.cells if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    check_request(executed)
    check_text(executed)
    check_endpoint(executed)
    check_download(executed, archives)
    check_pictures(executed)


def text_of(cells):
    """All that the cells printed."""
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    return "".join("".join(output.get("text", ())) for output in outputs if output["output_type"] == "stream")


def check_request(executed):
    """The SDK sent the job of the cells."""
    assert len(executed.requests) == 1
    sent = executed.requests[0]
    assert sent["TrainingJobName"].startswith("shapes-20")
    assert sent["HyperParameters"] == {"config": "configs/shapes_mask_rcnn.py", "train.epochs": "3"}
    assert sent["AlgorithmSpecification"]["TrainingImage"] == IMAGE and sent["RoleArn"] == ROLE
    assert sent["AlgorithmSpecification"]["MetricDefinitions"] == metrics.definitions()
    assert "ContainerEntrypoint" not in sent["AlgorithmSpecification"]  # the image's own starts
    channels = {entry["ChannelName"]: entry["DataSource"]["S3DataSource"]["S3Uri"] for entry in sent["InputDataConfig"]}
    assert channels == {"train": f"s3://{BUCKET}/awsdet/records/shapes/"}
    assert sent["ResourceConfig"]["InstanceType"] == "ml.g5.xlarge" and sent["ResourceConfig"]["InstanceCount"] == 2
    assert sent["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600}
    assert sent["CheckpointConfig"]["LocalPath"] == "/opt/ml/checkpoints"
    assert "DebugHookConfig" not in sent


def check_text(executed):
    """The cells print the steps of the job, its files, and real detections."""
    text = text_of(executed.cells)
    assert f"region us-east-1, SageMaker SDK {executed.sdk[1]}" in text
    assert f"files are in s3://{BUCKET}/awsdet/records/shapes" in text
    name = executed.requests[0]["TrainingJobName"]
    assert f"job {name} completed: s3://{BUCKET}/awsdet/jobs/{name}/output/model.tar.gz" in text
    for line in ("weights.safetensors", "config.json", "output/metrics.jsonl", "output/examples.png"):
        assert f"\n{line}\n" in text
    found = [
        line for line in text.splitlines() if line.split()[:1] in (["circle"], ["rectangle"], ["triangle"], ["star"])
    ]
    assert len(found) == 8 + 1 and found[-1].split(maxsplit=2) == ["star", "0.88", "[1.0, 2.0, 30.5, 40.0]"], text


def check_endpoint(executed):
    """What the job left is deployed, asked for a picture, and deleted."""
    lines = (executed.folder / "requests.endpoint").read_text().splitlines()
    sent = {request.pop("operation"): request for request in map(json.loads, lines)}
    name = executed.requests[0]["TrainingJobName"]
    assert len(sent) == len(lines) == 7
    archive = f"s3://{BUCKET}/awsdet/jobs/{name}/output/model.tar.gz"
    assert sent["CreateModel"]["PrimaryContainer"] == {"Image": IMAGE, "ModelDataUrl": archive}
    (variant,) = sent["CreateEndpointConfig"]["ProductionVariants"]
    assert variant["InstanceType"] == "ml.m5.xlarge" and variant["ModelName"] == name
    picture = min((executed.folder / "work/shapes/images/val").iterdir())
    body = {"ContentType": "application/x-image", "Body": picture.stat().st_size}
    assert sent["InvokeEndpoint"] == {"EndpointName": name, **body}
    assert sent["DeleteEndpoint"] == {"EndpointName": name} and sent["DeleteModel"] == {"ModelName": name}


def check_download(executed, archives):
    """The downloaded weights are those of the run."""
    fetched = executed.folder / "work" / executed.requests[0]["TrainingJobName"]
    with tarfile.open(archives / "model.tar.gz") as tar:
        assert (fetched / "weights.safetensors").read_bytes() == tar.extractfile("weights.safetensors").read()


def check_pictures(executed):
    """The graph of the metrics and the predictions are shown."""
    outputs = [output for cell in executed.cells for output in cell.get("outputs", ())]
    encoded = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", ())]
    assert len(encoded) == 2
    for picture in (Image.open(io.BytesIO(base64.b64decode(text))) for text in encoded):
        assert picture.width > 90 and len(picture.convert("RGB").getcolors(1 << 24)) > 3
