"""What may fail, how, and the block of memory by which the shim is told so (shim.c reads it)."""
import errno
import mmap
import struct
from pathlib import Path

# The errors that each really gives, of those in its manual page; EAGAIN and EINTR where they occur.
MEMORY = {"malloc": ("ENOMEM",)}
CALLS = {
    "socket": ("EMFILE", "ENFILE", "ENOBUFS", "EACCES", "EAFNOSUPPORT"),
    "connect": ("ENETUNREACH", "EADDRNOTAVAIL", "ECONNREFUSED", "EAGAIN", "EPERM"),
    "bind": ("EADDRINUSE", "EACCES", "EADDRNOTAVAIL", "ENOMEM"),
    "listen": ("EADDRINUSE",),
    "accept4": ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "EINTR", "EAGAIN", "EPERM",
                "EPROTO", "ENETDOWN"),
    "getsockname": ("ENOBUFS",),
    "setsockopt": ("ENOPROTOOPT", "EPERM", "ENOMEM"),
    "getsockopt": ("ENOMEM",),
    "send": ("EAGAIN", "EINTR", "ENOBUFS", "ENOMEM", "ECONNRESET", "EPIPE", "EPERM", "ENETUNREACH",
             "ECONNREFUSED"),
    "sendmmsg": ("EAGAIN", "EINTR", "ENOBUFS", "ENOMEM", "EPERM", "ENETUNREACH", "EINVAL",
                 "EMSGSIZE"),
    "recv": ("EAGAIN", "EINTR", "ENOMEM", "ECONNRESET", "ECONNREFUSED", "ETIMEDOUT",
             "EHOSTUNREACH"),
    "recvmmsg": ("EAGAIN", "EINTR", "ENOMEM", "ECONNREFUSED"),
    "read": ("EINTR", "EIO"),  # of files
    "read_event": ("EAGAIN", "EINTR"),
    "write": ("EAGAIN", "EINTR", "EIO", "ENOSPC", "EPIPE"),  # to stdout and stderr
    "poll": ("EINTR", "ENOMEM"),
    "epoll_create": ("EMFILE", "ENFILE", "ENOMEM"),
    "epoll_ctl": ("ENOMEM", "ENOSPC"),
    "epoll_wait": ("EINTR",),
    "eventfd": ("EMFILE", "ENFILE", "ENOMEM"),
    "timerfd": ("EMFILE", "ENFILE", "ENOMEM"),
    "pipe": ("EMFILE", "ENFILE"),
    "open": ("EMFILE", "ENFILE", "ENOMEM", "EACCES", "ENOENT"),
    "close": ("EINTR", "EIO"),
    "stat": ("ENOMEM", "EACCES"),
    "mmap": ("ENOMEM", "EAGAIN"),
    "madvise": ("ENOMEM", "EAGAIN"),
    "getrandom": ("EINTR",),
    "pthread_create": ("EAGAIN",),
    "getpwnam": ("EMFILE", "ENOMEM", "EIO"),
    "initgroups": ("EPERM", "ENOMEM"),
    "setresgid": ("EPERM",),
    "setresuid": ("EPERM", "EAGAIN"),
}

# Those that may last: a process that meets one again and again must not spin.
LASTING = {
    "malloc": ("ENOMEM",),
    "socket": ("EMFILE", "ENOBUFS"),
    "connect": ("ENETUNREACH", "EPERM"),
    "accept4": ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EPERM"),
    "send": ("ENOBUFS", "ENOMEM", "EPERM", "ENETUNREACH"),
    "sendmmsg": ("EAGAIN", "ENOBUFS", "EPERM", "ENETUNREACH"),
    "recv": ("ENOMEM",),
    "epoll_ctl": ("ENOMEM", "ENOSPC"),
    "write": ("EIO", "ENOSPC", "EAGAIN"),
}

FOR_EVER = 0xffffffff
ORDER = struct.Struct("=24sIIIIII")  # kind, at, many, error, armed, count, failed
COUNTS = struct.Struct("=IIQq")      # count, failed, calls, blocks
ARMED, COUNT = 36, 40                # where `armed` and `count` stand


class Control:
    """The shim's orders and what it tells."""

    def __init__(self, path):
        self.path = Path(path)
        size = COUNT + COUNTS.size
        self.path.write_bytes(bytes(size))
        self.path.chmod(0o666)
        with open(self.path, "r+b") as file:
            self.block = mmap.mmap(file.fileno(), size)

    def arm(self, kind, at, error="ENOMEM", many=1):
        """From now on the at-th call of that kind fails, and so many from there on. at 0: none,
        they are counted; with many 0 the place of each is written down as eight octets."""
        self.disarm()
        ORDER.pack_into(self.block, 0, kind.encode(), at, many, getattr(errno, error), 0, 0, 0)
        struct.pack_into("=I", self.block, ARMED, 1)

    def disarm(self):
        struct.pack_into("=I", self.block, ARMED, 0)

    def counts(self):
        return COUNTS.unpack_from(self.block, COUNT)

    @property
    def count(self):
        """Calls of the kind since it was armed."""
        return self.counts()[0]

    @property
    def failed(self):
        return self.counts()[1]

    @property
    def calls(self):
        """System calls of all kinds, ever."""
        return self.counts()[2]

    @property
    def blocks(self):
        """Blocks of memory that are allocated now."""
        return self.counts()[3]
