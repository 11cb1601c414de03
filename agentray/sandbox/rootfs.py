"""The root file system of a sandbox: one file system in memory with the host's programs in it, read-only.

Everything else is the command's own to write, and gone when it ends. Nothing of /home, /root, /var, /run,
/sys or /tmp of the host is there, and of /etc only what programs read and is no secret.
"""

from __future__ import annotations

import os
import shlex

from agentray.sandbox.launch import HOME

_DIRECTORIES = (
    "dev/shm",
    "etc",
    "home/agent",
    "mnt",
    "opt",
    "proc",
    "root",
    "run",
    "srv",
    "tmp",
    "usr",
    "var/tmp",
)
_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Links into /usr on today's systems, directories on older ones."""
_DEVICES = ("null", "zero", "full", "random", "urandom")
_STREAMS = ("dev/fd", "dev/stdin", "dev/stdout", "dev/stderr")
"""Links into /proc/self."""
_SETTINGS = ("alternatives", "ld.so.cache", "localtime", "mime.types", "ssl/certs", "ssl/openssl.cnf")
_MAX_FILES = 65536
"""Of the unshare backend; bubblewrap cannot set it."""


def for_bwrap(size_bytes: int) -> list[str]:
    """Options of bubblewrap that make it."""
    options = ["--size", str(size_bytes), "--tmpfs", "/"]
    for path in _directories():
        options += ["--dir", f"/{path}"]
    for path, target in _links().items():
        options += ["--symlink", target, f"/{path}"]
    for path in _read_only():
        options += ["--ro-bind", f"/{path}", f"/{path}"]
    for name in _DEVICES:
        options += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    return [*options, "--proc", "/proc"]


def script(size_bytes: int) -> str:
    """A shell script that makes it, enters it and becomes its arguments.

    It runs with every capability in name spaces of its own, and with none on the machine. It takes away the
    right to make further user name spaces but one, which `unshare` uses to leave these capabilities behind.
    """
    files = [path for path in _read_only() if not os.path.isdir(f"/{path}")]
    files += [f"dev/{name}" for name in _DEVICES]
    directories = [*_directories(), *(path for path in _read_only() if path not in files)]
    mounts = [f"/{path} /tmp/{path} none rbind,ro,nosuid,nodev" for path in _read_only()]
    mounts += [f"/dev/{name} /tmp/dev/{name} none bind" for name in _DEVICES]
    mounts += ["proc /tmp/proc proc nosuid,nodev,noexec"]
    lines = [
        "set -e",
        "echo 1 >/proc/sys/user/max_user_namespaces",
        f"mount -t tmpfs -o size={size_bytes},nr_inodes={_MAX_FILES},mode=755,nosuid,nodev tmpfs /tmp",
        "cd /tmp",
        f"mkdir -p {shlex.join(directories)}",
        *(f": >{shlex.quote(path)}" for path in files),
        f"(cd / && cp -P --parents {shlex.join(_links())} /tmp)",
        f"printf '%s\\n' {shlex.join(mounts)} >etc/fstab",
        "mount -a -T etc/fstab",
        "pivot_root . mnt",
        "umount -l mnt",
        f"cd {HOME}",
        'exec "$@"',
    ]
    return "\n".join(lines)


def _directories() -> list[str]:
    return [*_DIRECTORIES, *{os.path.dirname(path): None for path in _read_only() if "/" in path}]


def _links() -> dict[str, str]:
    paths = [path for path in (*_SYSTEM, *_STREAMS) if os.path.islink(f"/{path}")]
    return {path: os.readlink(f"/{path}") for path in paths}


def _read_only() -> list[str]:
    system = [path for path in _SYSTEM if os.path.isdir(f"/{path}") and not os.path.islink(f"/{path}")]
    settings = [f"etc/{name}" for name in _SETTINGS if os.path.exists(f"/etc/{name}")]
    return ["usr", *system, *settings]
