"""The machine under the agent, as Linux tells it: memory, processors, system, the data directory's disk.

Keys are those that Consul's answer has (the JSON names of its gopsutil structures). Sizes are bytes.
"""

from __future__ import annotations

import os
import platform
import socket
import time
from pathlib import Path
from typing import Any

KIB = 1024
PROC = Path("/proc")
DMI_ID = Path("/sys/class/dmi/id/product_uuid")
MACHINE_ID = Path("/etc/machine-id")
OS_RELEASE = Path("/etc/os-release")
MOUNTS = PROC / "self" / "mounts"

_MEMORY_KEYS = {
    "active": "Active",
    "inactive": "Inactive",
    "buffers": "Buffers",
    "cached": "Cached",
    "writeback": "Writeback",
    "dirty": "Dirty",
    "writebacktmp": "WritebackTmp",
    "shared": "Shmem",
    "slab": "Slab",
    "sreclaimable": "SReclaimable",
    "pagetables": "PageTables",
    "swapcached": "SwapCached",
    "commitlimit": "CommitLimit",
    "committedas": "Committed_AS",
    "hightotal": "HighTotal",
    "highfree": "HighFree",
    "lowtotal": "LowTotal",
    "lowfree": "LowFree",
    "swaptotal": "SwapTotal",
    "swapfree": "SwapFree",
    "mapped": "Mapped",
    "vmalloctotal": "VmallocTotal",
    "vmallocused": "VmallocUsed",
    "vmallocchunk": "VmallocChunk",
}
_HUGE_PAGE_KEYS = {"hugepagestotal": "HugePages_Total", "hugepagesfree": "HugePages_Free"}
_PLATFORM_FAMILIES = {
    "debian": "debian",
    "ubuntu": "debian",
    "fedora": "fedora",
    "rhel": "rhel",
    "centos": "rhel",
    "alpine": "alpine",
    "arch": "arch",
}


def describe(data_dir: str) -> dict[str, Any]:
    """Everything. What cannot be read is null, with the reason under `Errors` (null when there are none)."""
    errors: list[str] = []
    answer: dict[str, Any] = {}
    for key, part in (
        ("Memory", memory),
        ("CPU", processors),
        ("Host", system),
        ("Disk", lambda: disk(data_dir)),
    ):
        try:
            answer[key] = part()
        except (OSError, ValueError, KeyError) as error:
            answer[key] = None
            errors.append(f"{key}: {error}")
    answer["CollectionTime"] = time.time_ns()
    answer["Errors"] = errors or None
    return answer


def _meminfo() -> dict[str, int]:
    found: dict[str, int] = {}
    for line in (PROC / "meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words:
            found[name] = int(words[0]) * (KIB if len(words) > 1 else 1)
    return found


def memory() -> dict[str, Any]:
    """From /proc/meminfo."""
    info = _meminfo()
    total, free = info["MemTotal"], info["MemFree"]
    cached = info.get("Cached", 0) + info.get("SReclaimable", 0)
    used = total - free - info.get("Buffers", 0) - cached
    figures: dict[str, Any] = {
        "total": total,
        "available": info.get("MemAvailable", free),
        "used": used,
        "usedPercent": 100.0 * used / total,
        "free": free,
        "wired": 0,
        "laundry": 0,
    }
    figures |= {key: info.get(name, 0) for key, name in _MEMORY_KEYS.items()}
    figures["cached"] = cached
    figures |= {key: info.get(name, 0) for key, name in _HUGE_PAGE_KEYS.items()}
    figures["hugepagesize"] = info.get("Hugepagesize", 0)
    return figures


def processors() -> list[dict[str, Any]]:
    """From /proc/cpuinfo, one item per logical processor."""
    found = []
    for block in (PROC / "cpuinfo").read_text().strip().split("\n\n"):
        fields = {
            name.strip(): value.strip() for name, _, value in (line.partition(":") for line in block.splitlines())
        }
        if "processor" not in fields:
            continue
        found.append(
            {
                "cpu": int(fields["processor"]),
                "vendorId": fields.get("vendor_id", ""),
                "family": fields.get("cpu family", ""),
                "model": fields.get("model", ""),
                "stepping": int(fields.get("stepping", "0")) if fields.get("stepping", "0").isdigit() else 0,
                "physicalId": fields.get("physical id", ""),
                "coreId": fields.get("core id", ""),
                "cores": 1,
                "modelName": fields.get("model name", ""),
                "mhz": float(fields.get("cpu MHz", "0")),
                "cacheSize": int(fields.get("cache size", "0").split()[0]),
                "flags": fields.get("flags", fields.get("Features", "")).split(),
                "microcode": fields.get("microcode", ""),
            }
        )
    return found


def system() -> dict[str, Any]:
    """Names, versions, uptime."""
    release = platform.freedesktop_os_release() if OS_RELEASE.exists() else {}
    name = release.get("ID", "")
    boot_time_s = _boot_time_s()
    return {
        "hostname": socket.gethostname(),
        "uptime": int(time.time()) - boot_time_s,
        "bootTime": boot_time_s,
        "procs": sum(entry.isdigit() for entry in os.listdir(PROC)),
        "os": platform.system().lower(),
        "platform": name,
        "platformFamily": _PLATFORM_FAMILIES.get(name, release.get("ID_LIKE", "").partition(" ")[0]),
        "platformVersion": release.get("VERSION_ID", ""),
        "kernelVersion": platform.release(),
        "virtualizationSystem": "",
        "virtualizationRole": "",
        "hostid": _host_id(),
    }


def _boot_time_s() -> int:
    for line in (PROC / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return int(line.split()[1])
    raise ValueError("/proc/stat has no btime")


def _host_id() -> str:
    """The machine's own ID; that of the installation where only root may read the machine's."""
    try:
        return DMI_ID.read_text().strip().lower()
    except OSError:
        pass
    try:
        text = MACHINE_ID.read_text().strip()
    except OSError:
        return ""
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])) if len(text) == 32 else text


def disk(path: str) -> dict[str, Any]:
    """The file system that holds a path."""
    info = os.statvfs(path)
    total, free = info.f_blocks * info.f_frsize, info.f_bavail * info.f_frsize
    used = (info.f_blocks - info.f_bfree) * info.f_frsize
    inodes_used = info.f_files - info.f_ffree
    return {
        "path": path,
        "fstype": _file_system_type(path),
        "total": total,
        "free": free,
        "used": used,
        "usedPercent": 100.0 * used / (used + free) if used + free else 0.0,
        "inodesTotal": info.f_files,
        "inodesUsed": inodes_used,
        "inodesFree": info.f_ffree,
        "inodesUsedPercent": 100.0 * inodes_used / info.f_files if info.f_files else 0.0,
    }


def _file_system_type(path: str) -> str:
    """Of the mount point that is the longest beginning of the path."""
    real = os.path.realpath(path)
    best, kind = "", ""
    for line in MOUNTS.read_text().splitlines():
        words = line.split()
        point = words[1].replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, words[2]
    return kind
