"""Every write below the data root: written whole or not at all, claimed or refused.

Nobody else opens a file there for writing. Trees that hold other users' files go through `native`.
"""

from __future__ import annotations

import errno

from pyrt import system as os
from pyrt.errors import Exists, KernelError, from_os_error


def write_whole(path: str, data: bytes, *, mode: int = 0o600, durable: bool = False) -> None:
    """Replace `path` by `data`; readers and a crash see the old file or the new one.

    With `durable` that holds for power loss too: file and directory are synced. Raises PyrtError
    with `path`.
    """
    directory, name = os.path.split(path)
    temporary = f"{directory}/.{name}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            try:
                os.fchmod(fd, mode)  # the caller's umask is not its wish here
                write_all(fd, data)
                if durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        if durable:
            sync_directory(directory)
    except OSError as error:
        raise from_os_error(error, "write", path) from None


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` to `fd`, however often the kernel takes only a part."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class Output:
    """A file that the user named, written to by its descriptor `fd`: whole at `path` when the
    context ends well, else not there.

    A device or pipe, such as /dev/stdout, is written to as it is.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.temporary = ""
        if os.path.exists(path) and not os.path.isfile(path):
            self.fd = self.open(path, os.O_WRONLY)
            return
        # Beside the file itself, not beside a link to it.
        directory, name = os.path.split(os.path.realpath(path))
        temporary = f"{directory}/.{name}.{os.getpid()}.{os.urandom(4).hex()}"
        self.fd = self.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self.temporary = temporary

    def open(self, path: str, flags: int) -> int:
        """Its descriptor."""
        try:
            return os.open(path, flags | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise from_os_error(error, "create", self.path) from None

    def __enter__(self) -> Output:
        """Itself."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Named, or removed."""
        os.close(self.fd)
        if not self.temporary:
            return
        if kind is not None:
            remove_file(self.temporary)
            return
        try:
            os.rename(self.temporary, os.path.realpath(self.path))
        except OSError as error:
            remove_file(self.temporary)
            raise from_os_error(error, "create", self.path) from None


def copy_out(fd: int, path: str) -> None:
    """Write the file `fd`, from its start to its end, to `path`: whole or not there."""
    with Output(path) as output:
        at = 0
        while data := os.pread(fd, 1 << 20, at):
            append(output.fd, data, path)
            at += len(data)


def seal(fd: int, path: str, *, mode: int) -> None:
    """Give the file on `fd`, called `path`, its mode and make its content survive power loss."""
    try:
        os.fchmod(fd, mode)
        os.fsync(fd)
    except OSError as error:
        raise from_os_error(error, "write", path) from None


def sync_directory(path: str) -> None:
    """Make the names in `path` survive power loss."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(path: str, *, mode: int = 0o700) -> None:
    """Make `path`, whose parent is there, with just this mode; Exists if it is there already."""
    try:
        os.mkdir(path, mode)
        os.chmod(path, mode)  # the caller's umask is not its wish here
    except OSError as error:
        raise from_os_error(error, "mkdir", path) from None


def ensure_directory(path: str, *, mode: int = 0o700) -> None:
    """Make `path` and its parents where they are missing."""
    try:
        os.mkdir(path, mode)
        os.chmod(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise KernelError("mkdir", path, "Not a directory") from None
    except FileNotFoundError:
        ensure_directory(os.path.dirname(path), mode=mode)
        # Once more, not for ever: in /proc nothing can be made, and that is what it says.
        make_or_find(path, mode)
    except OSError as error:
        raise from_os_error(error, "mkdir", path) from None


def make_or_find(path: str, mode: int) -> None:
    """Make `path`, whose parent is there; another may have been quicker."""
    try:
        make_directory(path, mode=mode)
    except Exists:
        return


def claim_name(path: str, id: str) -> None:
    """Claim the name whose symlink is `path` for the container `id`; Exists if it is taken."""
    try:
        os.symlink(id, path)
    except FileExistsError:
        name = os.path.basename(path)
        holder = claimed_by(path)
        hint = f"remove that container (pyrt rm {name}) or choose another name"
        raise Exists("name", name, f"in use by {holder[:12]}", hint=hint) from None
    except FileNotFoundError:
        ensure_directory(os.path.dirname(path))
        claim_name(path, id)
    except OSError as error:
        raise from_os_error(error, "claim name", path) from None


def claimed_by(path: str) -> str:
    """The ID that the name symlink `path` points to, "" if nobody claims it."""
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise from_os_error(error, "read name", path) from None


def release_name(path: str, id: str) -> None:
    """Give the name up if `id` holds it; a name held by another, or by nobody, is left alone."""
    if claimed_by(path) == id:
        remove_file(path)


def remove_file(path: str) -> None:
    """Unlink `path`; absent is no error."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise from_os_error(error, "remove", path) from None


def commit(temporary: str, path: str) -> bool:
    """Rename `temporary` to `path`; False if another was first (`temporary` is then still there).

    For directories and for blobs alike: what is committed is never replaced.
    """
    if os.path.lexists(path):
        return False
    try:
        os.rename(temporary, path)
    except OSError as error:
        if os.path.lexists(path):
            return False
        raise from_os_error(error, "commit", path) from None
    return True


def exchange_empty(directory: str, empty: str) -> None:
    """Put `directory` in the place of the directory `empty`, unless that is not empty any more."""
    try:
        os.rename(directory, empty)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise from_os_error(error, "rename", directory) from None


def create_temporary(directory: str, prefix: str) -> tuple[int, str]:
    """A new empty file in `directory`, open for reading and writing: its descriptor and path."""
    ensure_directory(directory)
    path = f"{directory}/{prefix}{os.urandom(8).hex()}"
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), path
    except OSError as error:
        raise from_os_error(error, "create", path) from None


def open_growing(path: str) -> int:
    """The file `path`, made if it is missing, open for reading and writing where it is."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise from_os_error(error, "open", path) from None


def append(fd: int, data: bytes, path: str) -> None:
    """Write `data` at the offset of `fd`, which errors call `path`."""
    try:
        write_all(fd, data)
    except OSError as error:
        raise from_os_error(error, "write", path) from None


def cut(fd: int, size_bytes: int, path: str) -> None:
    """Make the file on `fd` this long, and go to its end."""
    try:
        os.ftruncate(fd, size_bytes)
        os.lseek(fd, 0, os.SEEK_END)
    except OSError as error:
        raise from_os_error(error, "write", path) from None


def lock_descriptor(fd: int, path: str) -> bool:
    """Take a flock on the open file `fd`, called `path`; False if another holds it. Closing it ends
    that.
    """
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise from_os_error(error, "lock", path) from None
    return True


def lock(path: str, *, shared: bool = False, wait: bool = True, create: bool = False) -> int | None:
    """Take a flock on the file or directory `path`: the descriptor that holds it until closed.

    None if `wait` is false and another holds it. With `create` a missing file is made. Raises
    NotFound if absent.
    """
    import fcntl

    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC if create else os.O_RDONLY | os.O_CLOEXEC
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    try:
        fd = os.open(path, flags, 0o600)
        try:
            fcntl.flock(fd, how)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
    except OSError as error:
        raise from_os_error(error, "lock", path) from None
    return fd


def hold(path: str, *, shared: bool = False) -> int:
    """`lock` on the file `path`, made if it is missing, after waiting for whoever has it."""
    fd = lock(path, shared=shared, create=True)
    if fd is None:
        raise KernelError("lock", path, "not had after waiting")
    return fd


def unlock(fd: int) -> None:
    """Give back the lock that `lock` took."""
    os.close(fd)


def open_log(path: str) -> int | None:
    """A file that grows, open for reading; None if there is none yet."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os_error(error, "open log", path) from None


def read(path: str) -> bytes | None:
    """The whole of a file that pyrt wrote; None if there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os_error(error, "read", path) from None
    try:
        size = os.fstat(fd).st_size
        data = os.read(fd, size + 1)
        while len(data) < size:
            chunk = os.read(fd, size - len(data))
            if not chunk:
                break
            data += chunk
        return data
    except OSError as error:
        raise from_os_error(error, "read", path) from None
    finally:
        os.close(fd)


def read_part(path: str, count: int, offset: int) -> bytes:
    """`count` bytes of a file that pyrt wrote, from `offset` on; fewer where it ends, b"" if there
    is none.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise from_os_error(error, "read", path) from None
    try:
        return os.pread(fd, count, offset)
    except OSError as error:
        raise from_os_error(error, "read", path) from None
    finally:
        os.close(fd)


def read_text(path: str) -> str:
    """A system file's text; "" if it is missing or closed to us."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
