"""Files to and from S3, and the results of a job: with moto in a process of its own, over HTTP."""

import io
import os
import tarfile
import urllib.request

import pytest
from botocore.stub import Stubber

from awsdet.runtime import archives
from awsdet.runtime.errors import UserError
from awsdet.sagemaker import downloads, jobs, services, storage
from awsdet.sagemaker.request import create_training_job
from awsdet.sagemaker.services import Absent
from tests.sagemaker.aws import description, moto_server
from tests.sagemaker.job import REGION, job


@pytest.fixture(scope="module")
def connected():
    """Clients that talk to moto."""
    with moto_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield services.connect(REGION)


@pytest.fixture
def clients(connected):
    """The same, with nothing but an empty bucket in the account."""
    urllib.request.urlopen(f"{connected.s3.meta.endpoint_url}/moto-api/reset", data=b"", timeout=30)
    connected.s3.create_bucket(Bucket="bucket")
    return connected


def keys(clients):
    return [entry["Key"] for entry in clients.s3.list_objects_v2(Bucket="bucket").get("Contents", ())]


def put_archive(clients, key, files):
    """Puts a tar.gz of {name: bytes} into the bucket."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    clients.s3.put_object(Bucket="bucket", Key=key, Body=stream.getvalue())


def test_folder_comes_back_file_by_file(clients, tmp_path):
    for name, content in {"a.bin": os.urandom(1000), "sub/deep/b.bin": b""}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert storage.upload_folder(clients.s3, tmp_path, "s3://bucket/here/") == 2
    assert keys(clients) == ["here/a.bin", "here/sub/deep/b.bin"]
    storage.download_file(clients.s3, "s3://bucket/here/a.bin", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "a.bin").read_bytes()


def test_what_cannot_be_copied_is_named(clients, tmp_path):
    with pytest.raises(UserError, match="is not a folder that holds files"):
        storage.upload_folder(clients.s3, tmp_path, "s3://bucket/x")
    with pytest.raises(UserError, match="nothing is not a file"):
        storage.upload_file(clients.s3, tmp_path / "nothing", "s3://bucket/x")
    (tmp_path / "a").touch()
    with pytest.raises(UserError, match="copying .* to s3://elsewhere/x: .*create the bucket"):
        storage.upload_file(clients.s3, tmp_path / "a", "s3://elsewhere/x")
    with pytest.raises(Absent, match="fetching s3://bucket/nothing"):
        storage.download_file(clients.s3, "s3://bucket/nothing", tmp_path / "b")


@pytest.fixture
def done(clients):
    """The clients, with a job "mine-1" that moto says has completed."""
    clients.sagemaker.create_training_job(**create_training_job(job()))
    return clients


def test_model_and_output_are_unpacked(done, tmp_path):
    assert jobs.artifacts(jobs.describe(done, "mine-1")) == "s3://bucket/out/mine-1/output/model.tar.gz"
    put_archive(done, "out/mine-1/output/model.tar.gz", {"weights": b"w", "sub/config": b"c"})
    put_archive(done, "out/mine-1/output/output.tar.gz", {"metrics": b"m"})
    folder = tmp_path / "deep" / "mine"
    found = downloads.download(done, "mine-1", folder)
    assert found == (folder, 3, ("model.tar.gz", "output.tar.gz"))
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert files == {"weights": b"w", "sub/config": b"c", "output/metrics": b"m"}
    assert os.listdir(tmp_path / "deep") == ["mine"]


def test_a_job_may_leave_only_one_archive(done, tmp_path):
    put_archive(done, "out/mine-1/output/output.tar.gz", {"metrics": b"m"})
    assert downloads.download(done, "mine-1", tmp_path / "x").archives == ("output.tar.gz",)


def test_nothing_is_left_of_a_download_that_failed(done, tmp_path):
    with pytest.raises(UserError, match="is not there any more"):
        downloads.download(done, "mine-1", tmp_path / "x")
    put_archive(done, "out/mine-1/output/model.tar.gz", {"good": b"1", "../evil": b"2"})
    with pytest.raises(UserError, match="the path '../evil', which leads out of the archive"):
        downloads.download(done, "mine-1", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_results_that_the_disk_has_no_room_for(done, tmp_path, monkeypatch):
    put_archive(done, "out/mine-1/output/model.tar.gz", {"weights": b"12345"})
    monkeypatch.setattr(archives, "room", lambda folder: 4)
    with pytest.raises(UserError, match="model.tar.gz extracts to more than .* no room for; free some"):
        downloads.download(done, "mine-1", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_existing_folder_is_kept(done, tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(UserError, match="x exists already; name another folder"):
        downloads.download(done, "mine-1", tmp_path / "x")


@pytest.mark.parametrize("status, text", [("InProgress", "is not over yet"), ("Failed", "left no model")])
def test_job_without_results(clients, tmp_path, status, text):
    with Stubber(clients.sagemaker) as stubber:
        answer = {**description(status, status), "ModelArtifacts": {"S3ModelArtifacts": ""}}
        stubber.add_response("describe_training_job", answer)
        with pytest.raises(UserError, match=f"job mine-1 {text}"):
            downloads.download(clients, "mine-1", tmp_path / "x")


def test_job_that_does_not_exist(clients, tmp_path):
    with pytest.raises(UserError, match="there is no job none in us-east-1"):
        downloads.download(clients, "none", tmp_path / "x")
