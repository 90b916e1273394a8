"""Fetches the results of a job: unpacks model.tar.gz and output.tar.gz from S3."""

import pathlib
import tempfile
from typing import NamedTuple

from awsdet.runtime import archives
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import written_aside
from awsdet.sagemaker import jobs, storage
from awsdet.sagemaker.services import Absent, Clients

# Archive of a job -> the folder that it is unpacked to, below that of the download; "" is that itself.
_ARCHIVES = {"model.tar.gz": "", "output.tar.gz": "output"}


class Downloaded(NamedTuple):
    """What was fetched. folder: where to. files: number of files. archives: names of the archives that there were."""

    folder: pathlib.Path
    files: int
    archives: tuple[str, ...]


def download(clients: Clients, name: str, folder) -> Downloaded:
    """Fetches the results of a job that ended.

    The model (weights, export, metrics) comes to `folder`, logs and pictures to `folder/output`. The folder appears
    only when all of it is there.

    Raises UserError (also if the job still runs or left nothing, if the folder exists, or for an archive that would
    write outside the folder), ServiceFailure or OSError.
    """
    folder = pathlib.Path(folder)
    if folder.exists():
        raise UserError(f"{folder} exists already; name another folder, or remove it")
    job = jobs.describe(clients, name)
    model, status = jobs.artifacts(job), job["TrainingJobStatus"]
    if status not in jobs.ENDED:
        raise UserError(f"job {name} is not over yet ({status}); awsdet sagemaker logs {name} follows it")
    if not model:
        raise UserError(f"job {name} left no model ({status}); awsdet sagemaker describe {name} says more")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(folder) as aside:
        aside.mkdir()
        counts = {
            archive: count
            for archive, place in _ARCHIVES.items()
            if (count := _fetch(clients, model, archive, aside / place)) is not None
        }
        if not counts:
            raise UserError(f"{model} is not there any more; the job's results were removed from S3")
    return Downloaded(folder, sum(counts.values()), tuple(counts))


def _fetch(clients, model, archive, folder):
    """Unpacks an archive that lies beside `model` in S3. Returns the number of its files; None if there is none."""
    address = f"{model.rpartition('/')[0]}/{archive}"
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".aside-") as scratch:
        path = pathlib.Path(scratch) / archive
        try:
            storage.download_file(clients.s3, address, path)
        except Absent:
            return None
        folder.mkdir(exist_ok=True)
        try:
            return archives.extract(path, folder, archives.room(folder)).files
        except archives.TooLarge as error:
            raise UserError(
                f"{error}, which this disk has no room for; free some, or name a folder elsewhere"
            ) from error
