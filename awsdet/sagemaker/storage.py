"""Files in S3: uploads of files and folders, and downloads of files."""

import pathlib

from awsdet.runtime.errors import UserError
from awsdet.sagemaker.request import split_s3
from awsdet.sagemaker.services import explained


def upload_file(s3, path, address):
    """Copies a file to an S3 address. Raises UserError or ServiceFailure."""
    bucket, key = split_s3(address)
    if not pathlib.Path(path).is_file():
        raise UserError(f"{path} is not a file")
    with explained(f"copying {path} to {address}"):
        s3.upload_file(str(path), bucket, key)


def upload_folder(s3, folder, address):
    """Copies all files of a folder, at any depth, to keys below an S3 address. Returns their number.

    Raises UserError (also for a folder without files) or ServiceFailure.
    """
    folder = pathlib.Path(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise UserError(f"{folder} is not a folder that holds files")
    for path in files:
        upload_file(s3, path, f"{address.rstrip('/')}/{path.relative_to(folder).as_posix()}")
    return len(files)


def download_file(s3, address, path):
    """Copies an object of S3 to a file. Raises UserError (Absent if there is no such object) or ServiceFailure."""
    bucket, key = split_s3(address)
    with explained(f"fetching {address}"):
        s3.download_file(bucket, key, str(path))
