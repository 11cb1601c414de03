"""What a hostile command tries. Each prints what it achieved, and what it should print is beside it.

`@WORD` is replaced by something of the host that a case attacks; see `test_hostile.Host`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

MIB = 2**20
ABSENT = "this sandbox has no"
"""Begins what a case prints that cannot be tried, for lack of a tool."""
BWRAP = ("bwrap",)
OURS = ("bwrap", "unshare")
"""Docker limits with control groups, and shows more of its own /dev, /sys and image."""


@dataclass(frozen=True)
class Case:
    """One attempt.

    Args:
        name: Says what it tries.
        script: For bash.
        out: Standard output; None where it does not matter.
        code: Exit code; None where it does not matter.
        ended: As of `Result`; None where it does not matter.
    """

    name: str
    script: str
    out: str | None = "held\n"
    code: int | None = 0
    ended: str | None = "exited"
    limits: Mapping[str, float] = field(default_factory=dict)
    stdin: str = ""
    on: tuple[str, ...] = ("bwrap", "unshare", "docker")
    """Backends that hold it in this way; docs/sandbox.md says what the others do."""


def python(name: str, script: str, **more: object) -> Case:
    return Case(name, f"python3 -I - <<'SCRIPT'\n{script}\nSCRIPT", **more)


def refused(name: str, command: str, tool: str = "", **more: object) -> Case:
    """A command that must fail, and not for lack of the tool that it needs: its first word by default."""
    attempt = f"if {{ {command}; }} >/dev/null 2>&1; then echo escaped; else echo held; fi"
    tool = tool or command.split()[0]
    return Case(
        name, f"if type {tool} >/dev/null 2>&1; then {attempt}; else echo {ABSENT} {tool}; fi", **more
    )


def call(name: str, expression: str, **more: object) -> Case:
    """A Python expression that must raise OSError or, if it calls the C library as `c`, be negative."""
    script = f"""
import ctypes, fcntl, mmap, os, socket
c = ctypes.CDLL(None)
try:
    result = {expression}
except OSError:
    result = -1
print("held" if isinstance(result, int) and result < 0 else "escaped")"""
    return python(name, script, **more)


def endless(name: str, script: str, out: str | None = "", wall_s: float = 0.5, **more: object) -> Case:
    """A command that does not end by itself."""
    return Case(name, script, out, None, "timeout", {"wall_s": wall_s}, **more)


def fill(name: str, directory: str) -> Case:
    script = f"""
cd {directory}
for each in $(seq 40); do head -c 1M /dev/zero >fill$each || break; done 2>/dev/null
[ $(du -xsm . | cut -f1) -le 17 ] && echo held"""
    return Case(name, script, limits={"disk_bytes": 16 * MIB})


PROCESSES = (
    Case("fork bomb", ":(){ :|:& };:; sleep 1; echo over", None, None, None, {"wall_s": 2}),
    python(
        "forks counted",
        """
import os, signal
children = []
try:
    while len(children) < 500:
        child = os.fork()
        if not child:
            signal.pause()
        children.append(child)
except OSError:
    pass
print("held" if len(children) < 64 else "escaped", flush=True)
for child in children:
    os.kill(child, signal.SIGKILL)""",
    ),
    python(
        "thread bomb",
        """
import threading
wait = threading.Event()
count = 0
try:
    while count < 500:
        threading.Thread(target=wait.wait, daemon=True).start()
        count += 1
except RuntimeError:
    pass
print("held" if count < 64 else "escaped", flush=True)
import os; os._exit(0)""",
        limits={"memory_bytes": 4096 * MIB},
    ),
    python(
        "zombies",
        """
import os
count = 0
try:
    while count < 500:
        if not os.fork():
            os._exit(0)
        count += 1
except OSError:
    pass
print("held" if count < 64 else "escaped")""",
    ),
    Case("daemon by setsid", "setsid sleep 1000 & echo held"),
    Case("daemon by nohup", "nohup sleep 1000 >/dev/null 2>&1 & echo held"),
    Case("daemon by disown", "sleep 1000 & disown; echo held"),
    Case("daemon that closed its streams", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo held"),
    Case("daemon deaf to signals", "(trap '' HUP INT TERM; while :; do sleep 9; done) & echo held"),
    python(
        "daemon by double fork",
        """
import os, time
if not os.fork():
    os.setsid()
    if not os.fork():
        for each in range(3):
            os.close(each)
        time.sleep(1000)
    os._exit(0)
print("held")""",
    ),
    endless("sleep", "echo first; sleep 1000", "first\n", wall_s=2),
    endless("deaf to signals", "trap '' HUP INT QUIT TERM; while :; do sleep 9; done"),
    endless("stopping itself", "kill -STOP $$; echo over"),
    endless("stopping everything", "kill -STOP -1; sleep 1000", None),
    endless("streams closed, then sleeping", "exec <&- >&- 2>&-; sleep 1000"),
    endless("a pipe nobody writes", "mkfifo pipe; cat pipe"),
    endless("daemons and a sleep", "setsid sleep 1000 & nohup sleep 1000 & sleep 1000", None),
    Case("killing itself", "kill -9 $$", "", 137),
    Case("segmentation fault", "kill -SEGV $$", "", 139),
    Case("killing its parent", "kill -9 $PPID 2>/dev/null; echo held", None, None),
    Case("killing process 1", "kill -9 1 2>/dev/null; kill -TERM 1 2>/dev/null; echo held", None, None),
    Case("killing everything", "kill -9 -1; echo over", None, None),
    refused("killing the caller", "kill -9 @PID"),
    refused("killing the caller's group", "kill -9 -- -@GROUP"),
    Case("raising the limit of processes", "ulimit -u 4096 2>/dev/null && echo escaped; echo held", on=OURS),
    Case(
        "raising the limit of memory", "ulimit -v unlimited 2>/dev/null && echo escaped; echo held", on=OURS
    ),
    Case("raising the limit of files", "ulimit -n 100000 2>/dev/null && echo escaped; echo held"),
    refused("more priority", "renice -5 $$"),
    refused("realtime", "chrt -f 1 true"),
)

MEMORY = (
    python("memory", "try: held = bytearray(2**31)\nexcept MemoryError: print('held')", on=OURS),
    call("shared memory", "mmap.mmap(-1, 2**31)", on=OURS),
    call("memory file", "os.memfd_create('x')", on=BWRAP),
    call("System V memory", "c.shmget(0, 2**20, 0o1600)", on=BWRAP),
    Case("processor time", "while :; do :; done", "", 152, limits={"cpu_s": 1, "wall_s": 60}),
    Case(
        "processor time, deaf",
        "trap '' XCPU; while :; do :; done",
        "",
        137,
        limits={"cpu_s": 1, "wall_s": 60},
    ),
    python(
        "file descriptors",
        """
opened = []
try:
    while len(opened) < 5000:
        opened.append(open("/dev/null"))
except OSError:
    print("held")""",
    ),
)

DISK = (
    fill("filling the working directory", "."),
    fill("filling /tmp", "/tmp"),
    fill("filling /dev/shm", "/dev/shm"),
    fill("filling /etc", "/etc"),
    fill("filling /", "/var"),
    Case(
        "a large file",
        "(head -c 100M /dev/zero >file) 2>/dev/null; [ $(stat -c %s file) = 1048576 ] && echo held",
        limits={"file_bytes": MIB},
    ),
    refused("a sparse file", "truncate -s 10G file"),
    Case(
        "many files",
        "for each in $(seq 100000); do : >$each; done; echo held",
        None,
        None,
        None,
        {"wall_s": 1},
    ),
    python(
        "deep directories",
        """
import os
for each in range(3000):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
print("held")""",
    ),
    Case("a name with newlines", "touch -- $'a\\nb' $'-rf' && ls | wc -l", "3\n"),
    Case("a core dump", "ulimit -c unlimited 2>/dev/null; bash -c 'kill -SEGV $$'; ls | wc -l", "0\n"),
    Case("everything removed", "rm -rf --no-preserve-root / 2>/dev/null", None, None, None, {"wall_s": 2}),
)

FILES = (
    Case("users of the host", "echo evil >>/etc/passwd; echo evil >/etc/agentray-evil; echo held"),
    refused("programs of the host", "echo evil >/usr/bin/agentray-evil"),
    refused("replacing a program", "mv /usr/bin/env /usr/bin/agentray-evil"),
    refused("permissions of a program", "chmod 4755 /usr/bin/env"),
    Case("the home of root", "ls -A /root | wc -l", "0\n"),
    Case("homes", "ls -A /home", "agent\n"),
    refused("the repository", "ls @REPOSITORY"),
    refused("a file of the host", "cat @SECRET"),
    refused("a file of the host through process 1", "cat /proc/1/root/@SECRET"),
    refused("a file of the host through every process", "cat /proc/*/root/@SECRET /proc/*/cwd/@SECRET"),
    refused("above the root", "cat /../../../../@SECRET"),
    refused("a link to a file of the host", "ln -s @SECRET link; cat link"),
    refused("a hard link to a program", "ln /usr/bin/env link"),
    refused("passwords", "cat /etc/shadow"),
    refused("keys", "cat /etc/ssh/*_key /root/.ssh/* /home/*/.ssh/*"),
    Case("data of services", "ls -A /srv /mnt /opt /var | grep -v : | tr -d '\\n'", "tmp", on=OURS),
    refused("Docker's socket", "ls /var/run/docker.sock /run/docker.sock"),
    Case(
        "devices",
        "ls /dev | tr '\\n' ' '",
        "fd full null random shm stderr stdin stdout urandom zero ",
        on=OURS,
    ),
    refused("kernel memory", "head -c 1 /proc/kcore"),
    refused("the kernel's log", "dmesg"),
    refused("a disk", "mknod disk b 8 0"),
    refused("memory as a device", "mknod memory c 1 1"),
    Case("the kernel's objects", "ls -A /sys 2>/dev/null | wc -l", "0\n", on=OURS),
    Case("control groups", "grep -c cgroup /proc/mounts", "0\n", 1, on=OURS),
    refused("settings of the kernel", "cat /proc/sys/vm/swappiness >/proc/sys/vm/swappiness"),
    refused("the core pattern", "cat /proc/sys/kernel/core_pattern >/proc/sys/kernel/core_pattern"),
    refused("the magic key", "echo h >/proc/sysrq-trigger"),
    refused("protection from the memory killer", "echo -1000 >/proc/self/oom_score_adj"),
    refused("other users", "echo '0 0 1' >/proc/self/uid_map"),
    Case("open files of the caller", "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 "),
    Case("the caller's environment", "cat /proc/[0-9]*/environ | grep -ac @MARK", "0\n", 1),
    Case(
        "its own environment",
        "env | grep -vE '^(CASE|_|SHLVL|PWD|OLDPWD)=' | cut -d= -f1 | sort | tr '\\n' ' '",
        "HOME LANG PATH TERM USER ",
        on=OURS,
    ),
    Case("processes of the host", "[ $(ls /proc | grep -c '^[0-9]') -lt 12 ] && echo held"),
)

PRIVILEGES = (
    Case(
        "who it is",
        "id -u; id -un; grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status | cut -f2 | sort -u; "
        "grep NoNewPrivs /proc/self/status",
        "1000\nagent\n0000000000000000\nNoNewPrivs:\t1\n",
        on=OURS,
    ),
    refused("a mount", "mount -t tmpfs none /mnt"),
    refused("a bind mount", "mount --bind / /mnt"),
    refused("programs writable", "mount -o remount,rw /usr"),
    refused("unmounting", "umount -l /proc"),
    refused("another root", "chroot / true"),
    refused("a name space of users", "unshare --user --map-root-user true"),
    refused("a name space of mounts", "unshare --mount true"),
    refused("a name space of networks", "unshare --net true"),
    refused("the name spaces of process 1", "nsenter -t 1 -a true"),
    call("clone with a new user name space", "c.syscall(@CLONE, 0x10000000 | 17, 0, 0, 0, 0)"),
    refused("su", "su root -c true </dev/null"),
    refused("sudo", "sudo -n true"),
    refused("a setuid copy of a shell", "cp /bin/sh s && chmod 4755 s && [ $(./s -pc 'id -u') = 0 ]"),
    call("becoming root", "os.setuid(0)"),
    call("joining a group", "os.setgroups([0])"),
    refused("file capabilities", "setcap cap_sys_admin+ep /bin/sh"),
    refused("the host's name", "hostname evil"),
    refused("the clock", "date -s @0"),
    refused("a kernel module", "insmod /dev/null || modprobe dummy"),
    call("tracing the caller", "c.ptrace(16, @PID, 0, 0)"),
    call("the caller's memory", "open('/proc/@PID/mem')"),
    call("typing into a terminal", "[fcntl.ioctl(each, 0x5412, b'x') for each in range(3)]"),
    refused(
        "a terminal or console",
        "[ -e /dev/tty ] || [ -e /dev/console ] || [ -e /dev/pts ] || tty -s",
        on=OURS,
    ),
    refused("swap", "truncate -s 1M swap && mkswap swap && swapon swap", "swapon"),
)

NETWORK = (
    refused("TCP to the host", "exec 3<>/dev/tcp/127.0.0.1/@TCP"),
    refused("TCP to the host by IPv6", "exec 3<>/dev/tcp/::1/@TCP"),
    Case("UDP to the host", "echo evil >/dev/udp/127.0.0.1/@UDP 2>/dev/null; echo held"),
    refused("TCP to the world", "exec 3<>/dev/tcp/1.1.1.1/80"),
    refused("the cloud's metadata", "exec 3<>/dev/tcp/169.254.169.254/80"),
    refused("names", "getent hosts example.com"),
    call("a socket of the host", "socket.socket(socket.AF_UNIX).connect('@SOCKET')"),
    call("an abstract socket of the host", "socket.socket(socket.AF_UNIX).connect('\\0@ABSTRACT')"),
    call("raw packets", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"),
    call("raw addresses", "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"),
    call("the host of the virtual machine", "socket.socket(40, socket.SOCK_STREAM)", on=BWRAP),
    call("the kernel's ciphers", "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)", on=BWRAP),
    Case("interfaces", "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' \\n'", "lo"),
)

STREAMS = (
    Case("endless output", "yes", None, None, "output"),
    Case("endless errors", "yes >&2", None, None, "output"),
    Case("endless output on both", "yes & yes >&2", None, None, "output"),
    Case("endless output without a newline", "cat /dev/zero", None, None, "output"),
    Case(
        "endless output, deaf",
        "trap '' PIPE TERM; while :; do echo x; done",
        None,
        None,
        "output",
        {"output_bytes": 99},
    ),
    Case("random bytes", "head -c 1000 /dev/urandom", None),
    Case("bytes that are no text", r"printf 'a\xff\xfeb'", "a��b"),
    Case("half a character", r"printf '\xe2\x82'", "�"),
    Case("zero bytes", r"printf 'a\0b'", "a\0b"),
    Case("escapes of a terminal", r"printf '\033]0;evil\007'", "\033]0;evil\007"),
    Case("a long line", "head -c 1000000 /dev/zero | tr '\\0' x", "x" * 1_000_000),
    Case("both streams", "for each in $(seq 999); do echo out; echo err >&2; done", "out\n" * 999),
    Case("input never read", "echo held", stdin="x" * 3_000_000),
    Case("input read to its end", "wc -c", "3000000\n", stdin="x" * 3_000_000),
    Case("input that ends", "cat; cat; read each; echo held"),
    Case("an unclosed quote", "echo 'held", "", 2),
    Case("no such command", "agentray-evil", "", 127),
    Case("no program", "/tmp", "", 126),
)

CASES = (*PROCESSES, *MEMORY, *DISK, *FILES, *PRIVILEGES, *NETWORK, *STREAMS)
