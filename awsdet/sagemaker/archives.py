"""Unpacks the archives of a job. An archive is data from outside: it must not write anywhere but into its folder."""

import gzip
import lzma
import os
import pathlib
import tarfile
import zlib

from awsdet.runtime.errors import UserError

_CHUNK = 1 << 20  # bytes


def extract(archive, folder):
    """Unpacks a tar file, compressed or not, into a folder that exists.

    Everything is checked before anything is written. Only files, folders and links may be in the archive, and no name
    and no target of a link may be absolute or go up (".."), so that no chain of links leads out of the folder either.
    Owners and special permissions are not restored.

    Args:
        archive: path of the file.
        folder: where to.

    Returns the number of files. Raises UserError if the archive is broken or has an entry that is not allowed, OSError
    if the disk is full or cannot be written.
    """
    archive = pathlib.Path(archive)
    try:
        with tarfile.open(archive) as tar:
            members = tar.getmembers()
            for member in members:
                fault = _fault(member)
                if fault:
                    raise UserError(f"{archive.name} is refused: its entry {member.name!r} {fault}")
            while tar.fileobj.read(_CHUNK):  # to the end, where gzip's checksum is: tarfile does not read that far
                pass
            # The second lock, where this Python has it.
            options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            tar.extractall(folder, map(_plain, members), **options)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise UserError(f"{archive.name} cannot be unpacked ({reason}); fetch it again") from error
    return sum(member.isfile() for member in members)


def _plain(member):
    """The entry as a file or folder of this user, with nobody else allowed to write and no special permissions."""
    member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
    member.mode = member.mode & 0o755 | (0o700 if member.isdir() else 0o600)
    return member


def _fault(member):
    """What is wrong with an entry; "" if nothing."""
    if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
        return "is a device, a pipe or another special file"
    if _may_leave(member.name):
        return "lies outside the folder"
    if (member.issym() or member.islnk()) and _may_leave(member.linkname):
        return f"is a link to {member.linkname!r}, outside its folder"
    return ""


def _may_leave(path):
    return path.startswith("/") or "\\" in path or ".." in path.split("/")
