"""What namespaces are made of: system calls that Python has no function for. Imports the standard library only."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import subprocess
from pathlib import Path

# <linux/sched.h>
NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)

# <linux/mount.h>
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18

# <linux/prctl.h>, <linux/seccomp.h>
_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_SECCOMP = 1, 15, 22
_SECCOMP_MODE_FILTER = 2
_SECCOMP_RET_ERRNO, _SECCOMP_RET_ALLOW = 0x00050000, 0x7FFF0000

# <linux/audit.h>, and the number of setgroups() there; its 32-bit variants fail as ever.
_SETGROUPS = {"x86_64": (0xC000003E, 116), "aarch64": (0xC00000B7, 159)}

# <linux/sockios.h>, and the struct ifreq that goes with them: the name of a bridge, the index of an interface.
_SIOCBRADDIF, _SIOCBRDELIF = 0x89A2, 0x89A3
_IFREQ = struct.Struct("16si20x")

# <linux/if_packet.h>, <linux/if_ether.h>
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_ETH_P_ALL = 3

#: Bytes of frames that may wait to be read; the kernel may allow less.
_FRAMES_ROOM = 1 << 22

# <linux/if_ether.h>
_ETH_P_ARP = 0x0806

#: So much of what a program has said is told.
_LINES = 5


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave namespaces for new ones. Raises `OSError`."""
    _check(_libc().unshare(flags), "unshare")


def enter(namespace: str) -> None:
    """Enter the namespace that a file below /proc/PID/ns stands for. Raises `OSError`."""
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc().setns(descriptor, 0), f"setns {namespace}")
    finally:
        os.close(descriptor)


def become_root(uid: int, gid: int) -> None:
    """Be root in the user namespace that was just unshared; `uid` and `gid` were ours before. Raises `OSError`."""
    # One user and one group are all that an ordinary user may map without setuid helpers (user_namespaces(7)).
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")


def mount(source: str, target: str, kind: str, options: str = "") -> None:
    """Mount a file system of the kernel's, without setuid programs and devices. Raises `OSError`."""
    # devpts has devices to be used.
    flags = _MS_NOSUID | (0 if kind == "devpts" else _MS_NODEV)
    _mount(source, target, kind, flags, options)


def bind(source: str, target: str) -> None:
    """Have `target`, which must exist, be `source`. Raises `OSError`."""
    _mount(source, target, "", _MS_BIND | _MS_REC, "")


def make_mounts_private() -> None:
    """Keep what is mounted from now on to ourselves. Raises `OSError`."""
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE, "")


def _mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    result = _libc().mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _check(result, f"mount {target}")


def set_host_name(name: str) -> None:
    """Set the name of the machine, that is of our UTS namespace. Raises `OSError`."""
    encoded = name.encode()
    _check(_libc().sethostname(encoded, len(encoded)), "sethostname")


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send us a signal when our parent ends. Raises `OSError`."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def name_process(name: str) -> None:
    """Be known by another name; the kernel keeps 15 bytes of it. Raises `OSError`."""
    text = ctypes.create_string_buffer(name.encode())
    _prctl(_PR_SET_NAME, ctypes.addressof(text))


def _prctl(option: int, argument: int) -> None:
    _check(
        _libc().prctl(*(ctypes.c_ulong(value) for value in (option, argument, 0, 0, 0))), f"prctl {option}"
    )


def ignore_setgroups() -> None:
    """Have setgroups() do nothing and succeed, for us and all that we start. Raises `OSError`.

    With a single group there is nothing that it could set, the kernel forbids it, and sshd takes that for an error.
    """
    try:
        architecture, number = _SETGROUPS[os.uname().machine]
    except KeyError:
        message = f"seccomp: the number of setgroups() on {os.uname().machine} is not known"
        raise OSError(errno.ENOSYS, message) from None
    # struct sock_filter (<linux/filter.h>): code, jump if true, if false, value. Loads are from struct seccomp_data.
    load, equal, give = 0x20, 0x15, 0x06
    program = [
        (load, 0, 0, 4),
        (equal, 0, 3, architecture),
        (load, 0, 0, 0),
        (equal, 0, 1, number),
        (give, 0, 0, _SECCOMP_RET_ERRNO),
        (give, 0, 0, _SECCOMP_RET_ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    result = _libc().prctl(
        _PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), header, ctypes.c_ulong(0), ctypes.c_ulong(0)
    )
    _check(result, "seccomp")


def has_interface(name: str) -> bool:
    """Whether our network namespace has an interface."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def join_bridge(bridge: str, interface: str) -> None:
    """Make an interface a port of a bridge, if it is none. Raises `OSError`."""
    _change_bridge(bridge, interface, _SIOCBRADDIF)


def leave_bridge(bridge: str, interface: str) -> None:
    """Take a port from a bridge. Raises `OSError`."""
    _change_bridge(bridge, interface, _SIOCBRDELIF)


def _change_bridge(bridge: str, interface: str, request: int) -> None:
    wish = _IFREQ.pack(bridge.encode(), socket.if_nametoindex(interface))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            fcntl.ioctl(any_socket, request, wish)
        except OSError as error:
            if request == _SIOCBRADDIF and error.errno == errno.EBUSY:
                return
            message = f"bridge {bridge}, interface {interface}: {error.strerror}"
            raise OSError(error.errno, message) from None


def open_port(interface: str) -> socket.socket:
    """Return what all frames that come in at an interface are read from, and others are put into it by: packet(7).

    With each comes and goes a struct virtio_net_hdr. Reading never waits. Raises `OSError`.
    """
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        port.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        port.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _FRAMES_ROOM)
        port.bind((interface, _ETH_P_ALL))
    except BaseException:
        port.close()
        raise
    return port


def configure_network(*commands: str) -> None:
    """Carry out commands of ip(8), given without its name, by one of it. Raises `OSError` at the first that fails."""
    run("ip", "-batch", "-", given="".join(f"{command}\n" for command in commands))


def announce(address: str, interface: str, hardware_address: str) -> None:
    """Tell everybody on the network whose an IPv4 address is from now on (RFC 5227, ARP announcement).

    Raises `OSError`.
    """
    everybody, own = b"\xff" * 6, bytes.fromhex(hardware_address.replace(":", ""))
    ip = socket.inet_aton(address)
    header = struct.pack("!6s6sH", everybody, own, _ETH_P_ARP)
    # Of Ethernet and IPv4, a request; to nobody in particular.
    message = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, own, ip, bytes(6), ip)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
        link.bind((interface, 0))
        link.send(header + message)


def run(*argv: str, given: str = "", timeout: float = 20.0) -> None:
    """Run a program to its end, with `given` as its input. Raises `OSError` with what it said where it fails."""
    try:
        done = subprocess.run(
            argv,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OSError(errno.ETIMEDOUT, f"{' '.join(argv)}: has not ended within {timeout:g} s") from None
    if done.returncode:
        said = done.stdout.strip().splitlines()
        told = "; ".join(said[-_LINES:]) or f"exit status {done.returncode}"
        raise OSError(errno.EIO, f"{' '.join(argv)}: {told}")
