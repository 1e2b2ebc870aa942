"""A folder that nobody else can change or exchange: each folder on the way to it is checked, and it is held open.

Code is compiled in such folders and loaded from them. A check of the last folder alone is worth nothing: the owner of
any folder above it can exchange it between the check and the use. So the way is walked from the root, as sshd does for
its keys, and each step is taken from the folder that was checked before, not from a path that is read again.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import EngineError
from .quick_dataclass import dataclass
from .staging import staged

# Windows has neither owners in numbers nor steps from an open folder; its profile folders are private by default
_STEPS_ARE_CHECKED = hasattr(os, "getuid") and os.open in os.supports_dir_fd
_HELD = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_STEP = _HELD | getattr(os, "O_PATH", os.O_RDONLY)  # O_PATH: a folder may be passed through without being readable
_MOST_LINKS = 40  # Linux follows as many


@dataclass(frozen=True, kw_only=True)
class PrivateFolder:
    """A checked folder; its files are opened as `os.open(folder.at(name), flags, dir_fd=folder.descriptor)`.

    descriptor  the open folder, which stays the same one if its path is exchanged; None on Windows
    """

    path: Path
    descriptor: int | None

    def at(self, name: str) -> str:
        """Return the name of a file of this folder, as calls with `dir_fd=descriptor` take it."""
        return str(self.path / name) if self.descriptor is None else name


@contextlib.contextmanager
def private_folder(path: Path, *, purpose: str, variable: str) -> Iterator[PrivateFolder]:
    """Yield the folder `path`, made with mode 0700 if missing, as are the folders above it.

    It belongs to this user and only this user can enter it. Each folder above it belongs to this user or root. It is
    not writable by others (a group of this user alone is not others) unless it is sticky, as /tmp is. A link is
    followed only above the folder, and only one that this user or root made.

    purpose, variable  for messages: `cache`, and the environment variable that names another folder

    Raises EngineError that names the folder at fault.
    """
    path = path.absolute()  # `resolve` would follow links unchecked
    words = _Words(purpose=purpose, path=path, variable=variable)
    try:
        descriptor = _open_private(path, words)
    except OSError as error:
        raise EngineError(
            f"the {purpose} folder {path} cannot be made ({error.strerror}); set {variable} to a folder of yours"
        ) from error
    try:
        yield PrivateFolder(path=path, descriptor=descriptor)
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new private folder below the system's folder for temporary files; it is removed when the block ends.

    The next one to be made there removes those of killed processes, which folders of `tempfile` outlive. Raises
    EngineError if another user could exchange it, or it cannot be made.
    """
    import tempfile

    with contextlib.ExitStack() as stack:
        try:
            parent = Path(tempfile.gettempdir())
            if _STEPS_ARE_CHECKED:
                os.close(_reach(parent, _Words(purpose="temporary", path=parent, variable="TMPDIR")))
            folder = stack.enter_context(staged(parent, "work")).partial
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise EngineError(
                f"a temporary folder cannot be made ({error.strerror}); set TMPDIR to a folder of yours"
            ) from error
        yield folder


@dataclass(frozen=True, kw_only=True)
class _Words:
    """What a message names: the folder that was asked for, and the variable that names another one."""

    purpose: str
    path: Path
    variable: str

    def untrusted(self, folder: Path, fault: str, mend: str) -> EngineError:
        return EngineError(
            f"the {self.purpose} folder {self.path} cannot be trusted: {folder} {fault}; "
            f"{mend} or set {self.variable} to a folder of yours"
        )


def _open_private(path: Path, words: _Words) -> int | None:
    if not _STEPS_ARE_CHECKED:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return None
    parent = _reach(path.parent, words)
    try:
        if _link(parent, path.name) is not None:
            raise words.untrusted(path, "is not a folder but a link", "remove it")
        descriptor = _enter(parent, path.name, _HELD | os.O_RDONLY)
    except NotADirectoryError as error:
        raise words.untrusted(path, "is not a folder", "remove it") from error
    finally:
        os.close(parent)
    try:
        _check_own(path, os.fstat(descriptor), words)
    except EngineError:
        os.close(descriptor)
        raise
    return descriptor


def _reach(path: Path, words: _Words) -> int:
    """Return a descriptor of the folder `path`, made if missing; raises EngineError if others can exchange it."""
    held, where, links = os.open("/", _STEP), Path("/"), 0
    # the owner of the root can exchange Python itself; in a user namespace that may be any number
    trusted = {0, os.getuid(), os.fstat(held).st_uid}
    steps = list(path.parts[:0:-1])
    try:
        while steps:
            name = steps.pop()
            link = _link(held, name)
            if link is not None:
                links += 1
                _check_link(where / name, link, trusted, links, words)
                target = Path(link.target)
                name = "/" if target.is_absolute() else "."
                steps += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            inner = _enter(held, name, _STEP)
            os.close(held)
            held, where = inner, where / name
            _check(where, os.fstat(held), trusted, words)
    except BaseException:
        os.close(held)
        raise
    return held


@dataclass(frozen=True, kw_only=True)
class _Link:
    """A symbolic link: where it points to, and who made it."""

    target: str
    owner: int


def _link(held: int, name: str) -> _Link | None:
    try:
        found = os.stat(name, dir_fd=held, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(found.st_mode):
        return None
    return _Link(target=os.readlink(name, dir_fd=held), owner=found.st_uid)


def _enter(held: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags, dir_fd=held)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):  # another process was first
            os.mkdir(name, 0o700, dir_fd=held)
        return os.open(name, flags, dir_fd=held)


def _check_link(path: Path, link: _Link, trusted: set[int], links: int, words: _Words) -> None:
    if link.owner not in trusted:
        fault = f"is a link of another user ({link.owner}; expected {os.getuid()} or root)"
        raise words.untrusted(path, fault, "remove it")
    if links > _MOST_LINKS:
        raise words.untrusted(path, f"is reached through more than {_MOST_LINKS} links", "remove them")


def _check(folder: Path, found: os.stat_result, trusted: set[int], words: _Words) -> None:
    if folder == folder.parent:  # who can write to the root can exchange Python itself
        return
    if found.st_uid not in trusted:
        raise words.untrusted(
            folder, f"belongs to another user ({found.st_uid}; expected {os.getuid()} or root)", "give it to this user"
        )
    others = 0o002 if _is_own_group(found) else 0o022
    if found.st_mode & others and not found.st_mode & stat.S_ISVTX:
        fault = f"can be changed by others (mode {_mode(found)}; expected no write bits for them)"
        raise words.untrusted(folder, fault, f"run `chmod go-w {folder}`")


def _is_own_group(found: os.stat_result) -> bool:
    """Return whether a writable folder's group is this user's own: many systems give each user one, and umask 002."""
    if not found.st_mode & 0o020 or found.st_gid == 0:
        return False
    import grp
    import pwd

    try:
        group, user = grp.getgrgid(found.st_gid), pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return False
    return group.gr_name == user and {*group.gr_mem} <= {user}


def _check_own(folder: Path, found: os.stat_result, words: _Words) -> None:
    if found.st_uid != os.getuid():
        fault = f"belongs to another user ({found.st_uid}; expected {os.getuid()})"
        raise words.untrusted(folder, fault, "remove it")
    if found.st_mode & 0o077:
        fault = f"is open to others (mode {_mode(found)}; expected 700)"
        raise words.untrusted(folder, fault, f"run `chmod 700 {folder}`")


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):o}"
