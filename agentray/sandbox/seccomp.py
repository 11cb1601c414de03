"""The system calls a command may not make, as a seccomp program for bubblewrap.

What no program of an agent needs and what kernels have been broken through: mounts, name spaces, modules,
keys, BPF, performance counters, io_uring, tracing; socket families that a network name space does not hold
back (AF_VSOCK reaches the host of a virtual machine); memory that no other limit counts (memfd, System V
segments); keystrokes into a terminal. Docker's default profile refuses most of them too.
"""

from __future__ import annotations

import errno
import os
import platform
import struct
from collections.abc import Mapping

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH of linux/audit.h. Elsewhere there is no filter."""
REFUSED: Mapping[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mbind": (237, 235),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "set_mempolicy": (238, 237),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "shmget": (29, 194),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
"""Number on x86_64 and on aarch64."""
_CLONE, _CLONE3, _SOCKET, _IOCTL = (56, 220), (435, 435), (41, 198), (16, 29)
_NEW_NAMESPACES = 0x7E02_0000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET of linux/sched.h."""
_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK of linux/socket.h."""
_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX of asm-generic/ioctls.h."""

_X32 = 0x4000_0000
_LOAD, _AND = 0x20, 0x54
_IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x15, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_NR, _ARCH, _ARGUMENT_0, _ARGUMENT_1 = 0, 4, 16, 24
"""Offsets in `struct seccomp_data`; of the arguments the low half, on a little-endian machine."""


def program(machine: str) -> bytes | None:
    """The filter as `struct sock_filter[]`, or None where the numbers of the system calls are not known.

    Args:
        machine: As `platform.machine()` names it.
    """
    if machine not in _ARCHITECTURES:
        return None
    column = list(_ARCHITECTURES).index(machine)
    lines = [_line(_LOAD, _ARCH), _line(_IF_EQUAL, _ARCHITECTURES[machine], 1, 0), _refuse(errno.ENOSYS)]
    lines += [_line(_LOAD, _NR), _line(_IF_AT_LEAST, _X32, 0, 1), _refuse(errno.ENOSYS)]
    for numbers in REFUSED.values():
        number = numbers[column]
        lines += [] if number is None else [_line(_IF_EQUAL, number, 0, 1), _refuse(errno.EPERM)]
    lines += [_line(_IF_EQUAL, _CLONE3[column], 0, 1), _refuse(errno.ENOSYS)]  # the C library then uses clone
    lines += [_line(_IF_EQUAL, _CLONE[column], 0, 5), _line(_LOAD, _ARGUMENT_0), _line(_AND, _NEW_NAMESPACES)]
    lines += [_line(_IF_EQUAL, 0, 1, 0), _refuse(errno.EPERM), _line(_RETURN, _ALLOW)]
    lines += _only_if(_SOCKET[column], _ARGUMENT_0, _FAMILIES, errno.EAFNOSUPPORT)
    lines += _never(_IOCTL[column], _ARGUMENT_1, _TERMINAL_INPUT)
    return b"".join([*lines, _line(_RETURN, _ALLOW)])


def open_filter() -> int | None:
    """A new file descriptor to read this machine's filter from."""
    code = program(platform.machine())
    if code is None:
        return None
    descriptor = os.memfd_create("seccomp")
    os.write(descriptor, code)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _refuse(error: int) -> bytes:
    return _line(_RETURN, _ERRNO | error)


def _only_if(number: int, argument: int, accepted: tuple[int, ...], error: int) -> list[bytes]:
    """Lines that refuse a call unless its argument is one of the accepted."""
    tests = [_line(_IF_EQUAL, value, len(accepted) - index, 0) for index, value in enumerate(accepted)]
    body = [_line(_LOAD, argument), *tests, _refuse(error), _line(_RETURN, _ALLOW)]
    return [_line(_IF_EQUAL, number, 0, len(body)), *body]


def _never(number: int, argument: int, refused: tuple[int, ...]) -> list[bytes]:
    """Lines that refuse a call if its argument is one of the refused."""
    tests = [part for value in refused for part in (_line(_IF_EQUAL, value, 0, 1), _refuse(errno.EPERM))]
    body = [_line(_LOAD, argument), *tests, _line(_RETURN, _ALLOW)]
    return [_line(_IF_EQUAL, number, 0, len(body)), *body]
