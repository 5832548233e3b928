"""A separate Debian 12 in a directory, for tests that change a whole system."""

from __future__ import annotations

import shutil
import subprocess

from support import REPOSITORY
from support.process import server_directory

BOOTSTRAP = REPOSITORY / "tests" / "image" / "debootstrap.sh"

# A separate mount namespace, so that its mounts end with it. The root must be a mount point;
# otherwise programs in it cannot find its file system.
ENTER = 'mount --bind "$0" "$0"; mount -t proc proc "$0/proc"; exec chroot "$@"'


class Debian:
    def __init__(self) -> None:
        self.root = server_directory("debian")
        try:
            subprocess.run([BOOTSTRAP, self.root], check=True)
        except BaseException:
            self.close()
            raise

    def enter(self, *options: str) -> list[str]:
        """Returns the command prefix that runs a command there in the same process. `options` are
        options of chroot."""
        root = str(self.root)
        return ["unshare", "--mount", "sh", "-ec", ENTER, root, *options, root]

    def run(self, *command: str) -> str:
        """Runs a command, which must succeed, and returns its output."""
        done = subprocess.run(
            [*self.enter(), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG": "C.UTF-8",
                "DEBIAN_FRONTEND": "noninteractive",
            },
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def close(self) -> None:
        shutil.rmtree(self.root)
