"""What somebody can do about an error of a file or a folder, by its number: not everything is cured by root."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

_CURES: Final = {
    errno.EROFS: "its disk cannot be written; choose another place, or make it writable (mount -o remount,rw)",
    errno.ENOSPC: "make room on its disk",
    errno.EDQUOT: "make room on its disk",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "choose another name: a file stands where a folder is needed",
    errno.EEXIST: "choose another name: a file stands where a folder is needed",
    errno.EISDIR: "choose another name: a folder stands where a file is needed",
    errno.ENOENT: "make its folder first",
    errno.ELOOP: "choose another name: its links lead round in a ring",
}


def in_words(error: OSError) -> str:
    """What was wrong, and the cure where one is known."""
    said = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.EACCES, errno.EPERM):
        cure = (
            "run this as root (sudo)"
            if os.geteuid()
            else "root may not either: look who owns it, and whether it is immutable (ls -ld, lsattr)"
        )
    else:
        cure = _CURES.get(error.errno or 0, "")
    return f"{said}; {cure}" if cure else said


def require_place(folder: Path, *, is_written: bool = True) -> None:
    """Raise OSError where something else than a folder is there, or what stands nearest to it is none; with
    `is_written` also where it cannot be written, nor be made. Nothing is made."""
    for one in (folder, *folder.parents):
        try:
            mode = one.stat().st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(one))
        if is_written and not os.access(one, os.W_OK | os.X_OK):
            number = errno.EROFS if os.statvfs(one).f_flag & os.ST_RDONLY else errno.EACCES
            raise OSError(number, os.strerror(number), str(one))
        return
