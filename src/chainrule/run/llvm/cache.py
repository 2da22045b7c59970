"""Object code on disk, so that the next process does not compile what this one has compiled.

A file's name is the hash of everything that decides what is in it. Files are written under another
name and then moved into place, so that other processes see either all of one or nothing of it; each
begins with the hash of its content, so that one that was damaged is never run. The oldest are
removed when there are too many. Whatever the disk refuses, compilation goes on without it.

``CHAINRULE_CACHE_DIR`` says where the files are, ``CHAINRULE_CACHE=0`` that there are none, and
``CHAINRULE_CACHE_SIZE`` how many bytes they may take. A directory of another user, or one that
everybody may write to, is not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from itertools import count
from pathlib import Path

_SUFFIX = ".object"
_SIZE = 512 << 20
# The files are counted when one with such a name is written, one of 256: with many of them it takes
# longer than a small program takes to compile. Then enough are removed for a while.
_COUNTED = "00"
_REST = 0.75
_DIGEST = 32

_numbers = count()


def directory() -> Path | None:
    """Where the files are; ``None`` if nothing is kept."""
    if os.environ.get("CHAINRULE_CACHE", "1").lower() in ("0", "off", "no", "false"):
        return None
    given = os.environ.get("CHAINRULE_CACHE_DIR")
    if given:
        return Path(given)
    try:
        home = Path.home()
    except RuntimeError:  # nobody's
        return None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else home / "AppData" / "Local") / "chainrule" / "Cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "chainrule"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else home / ".cache") / "chainrule"


def key(*parts: str) -> str:
    """The name of what these decide."""
    found = hashlib.blake2b(digest_size=_DIGEST)
    for part in parts:
        data = part.encode()
        found.update(len(data).to_bytes(8, "little"))
        found.update(data)
    return found.hexdigest()


def _is_ours(where: Path) -> bool:
    """Whether nobody else may write there: what is found is run."""
    if os.name != "posix":
        return True
    try:
        status = where.stat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & 0o002


def load(name: str) -> bytes | None:
    """What was stored under a name, whole; ``None`` if there is nothing."""
    where = directory()
    if where is None or not _is_ours(where):
        return None
    path = where / (name + _SUFFIX)
    try:
        data = path.read_bytes()
    except OSError:
        return None
    content = data[_DIGEST:]
    if hashlib.blake2b(content, digest_size=_DIGEST).digest() != data[:_DIGEST]:
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # so that what is used stays
    return content


def store(name: str, content: bytes) -> None:
    """Keep something under a name, if the disk lets us."""
    where = directory()
    if where is None:
        return
    # A name that no other thread or process has, also where it is on another machine's disk.
    temporary = where / f"{name}.{os.getpid()}.{next(_numbers)}.{os.urandom(6).hex()}.part"
    try:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(where):
            return
        file = open(temporary, "xb")  # noqa: SIM115 - closed below, removed if that fails
    except OSError:
        return
    try:
        with file:
            file.write(hashlib.blake2b(content, digest_size=_DIGEST).digest())
            file.write(content)
        os.replace(temporary, where / (name + _SUFFIX))
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        return
    if name.startswith(_COUNTED):
        shrink(where)


def shrink(where: Path, size: int | None = None) -> None:
    """Of more than ``size`` bytes, remove what was not used for longest, and some more."""
    if size is None:
        given = os.environ.get("CHAINRULE_CACHE_SIZE", "")
        size = int(given) if given.isdigit() else _SIZE
    found = []
    try:
        with os.scandir(where) as entries:
            for e in entries:
                if e.name.endswith((_SUFFIX, ".part")):
                    with contextlib.suppress(OSError):
                        status = e.stat()
                        found.append((status.st_mtime, status.st_size, e.path))
    except OSError:
        return
    total = sum(n for _, n, _ in found)
    if total <= size:
        return
    for _, n, path in sorted(found):
        if total <= _REST * size:
            return
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= n
