"""Network namespaces: which network this process, and what it starts, is in."""
import contextlib
import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000


def _call(name, *args):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, "%s: %s" % (name, os.strerror(code)))


def enter(path):
    """This thread, and what it starts, is in that network from now on."""
    fd = os.open(path, os.O_RDONLY)
    try:
        _call("setns", fd, CLONE_NEWNET)
    finally:
        os.close(fd)


@contextlib.contextmanager
def own():
    """A network of one's own with nothing but loopback, in which no interface comes or goes. Who may
    not make one stays in the machine's."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        try:
            _call("unshare", CLONE_NEWNET)
        except PermissionError:
            yield
            return
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            yield
        finally:
            _call("setns", before, CLONE_NEWNET)
    finally:
        os.close(before)
