"""Folders of images out of a zip archive, and nothing else out of it."""

import os
import shutil
import stat
import zipfile
import zlib
from pathlib import PurePosixPath
from uuid import uuid4

from coursekit.data.pictures import SUFFIXES

MOST_BYTES = 4 * 2**30


def unpack_folders(archive, target, folders):
    """Unpack ``ROOT/FOLDER/IMAGE`` of a zip archive to ``target/FOLDER/IMAGE``, all of it or nothing.

    Other members are passed over. The images appear at `target` in one step, when all of them are written.

    Parameters
    ----------
    archive : path-like
    target : pathlib.Path
        A folder that is not there yet. Where another process has made it in the meantime, that one stays.
    folders : sequence of str
        The folders wanted.

    Raises
    ------
    ValueError
        If the archive is damaged, a name in it points out of `target` or is there twice, one of the images is a link or
        encrypted, or they are larger than 4 GiB in all.
    OSError
        If `target` cannot be written.
    """
    part = target.with_name(f".{target.name}.{uuid4().hex}.part")
    try:
        with zipfile.ZipFile(archive) as content:
            members = _wanted(content, folders)
            for folder in folders:
                (part / folder).mkdir(parents=True)
            for (folder, name), member in members.items():
                (part / folder / name).write_bytes(_read(content, member))
        try:
            os.rename(part, target)
        except OSError:
            if not target.is_dir():
                raise
    except zipfile.BadZipFile as error:
        raise ValueError(f"is not a whole zip archive ({error})") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _wanted(content, folders):
    """Members by (folder, name)."""
    found = {}
    for member in content.infolist():
        path = PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename:
            raise ValueError(f"has a name that points elsewhere: {member.filename!r}")
        if member.is_dir() or len(path.parts) != 3 or path.parts[1] not in folders:
            continue
        if not path.name.lower().endswith(SUFFIXES) or path.name.startswith("."):
            continue
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ValueError(f"has a link among its images: {member.filename!r}")
        if member.flag_bits & 0x1:
            raise ValueError(f"has an encrypted image: {member.filename!r}")
        if path.parts[1:] in found:
            raise ValueError(f"has {member.filename!r} twice")
        found[path.parts[1:]] = member
    size = sum(member.file_size for member in found.values())
    if size > MOST_BYTES:
        raise ValueError(f"unpacks to {size} bytes, too many")
    return found


def _read(content, member):
    """Bytes of a member, never more than its header says; its checksum is verified."""
    try:
        return content.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError(f"has a damaged member {member.filename!r} ({error})") from None
