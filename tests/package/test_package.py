"""The Debian package that CPack creates from the build: installed in a separate Debian, upgraded,
removed and purged. Needs root."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import REPOSITORY
from support.debian import Debian
from support.process import Server, free_port
from support.vitalsd import binary, run, sanitized

pytestmark = pytest.mark.skipif(sanitized(), reason="what is packed is a release build")

CONFIGURATION = "/etc/vitalsd/vitalsd.yaml"
STATE = "/var/lib/vitalsd"
# The options of unattended upgrades.
APT = ["apt-get", "-qq", "-o=Dpkg::Options::=--force-confdef", "-o=Dpkg::Options::=--force-confold"]

# Replaces systemd, which is missing in a chroot, and records its calls.
SYSTEMCTL = """#!/bin/sh
echo "$*" >>/run/told
echo enabled
"""


def pack(directory: Path, *variables: str) -> Path:
    """Creates the package from the build with a restrictive umask."""
    configuration = binary().parent / "CPackConfig.cmake"
    command: list[str | Path] = ["cpack", "--config", configuration, "-B", directory]
    for variable in variables:
        command += ["-D", variable]
    done = subprocess.run(command, capture_output=True, text=True, check=False, umask=0o077)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = directory.glob("*.deb")
    return made


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("package"))


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A package of a later version with a different configuration."""
    edit = tmp_path / "edit.cmake"
    edit.write_text(
        f'file(GLOB file "${{CPACK_TEMPORARY_DIRECTORY}}/*{CONFIGURATION}")\n'
        'file(APPEND "${file}" "# newer\\n")\n'
    )
    options = ["CPACK_PACKAGE_VERSION=99", f"CPACK_PRE_BUILD_SCRIPTS={edit}"]
    return pack(tmp_path / "newer", *options)


@pytest.fixture
def debian() -> Iterator[Debian]:
    made = Debian()
    yield made
    made.close()


def test_lintian_finds_no_fault(package: Path) -> None:
    command = ["lintian", "--allow-root", "--fail-on=error,warning", package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def words(*command: str) -> set[str]:
    """Returns all options and commands in the help."""
    said = run(*command, "--help").stdout
    found = set(re.findall("--[a-z]+", said))
    for name in re.findall(r"^  (\S+)", said.partition("Subcommands:\n")[2], re.MULTILINE):
        found |= {name} | words(*command, name)
    return found


def test_the_manual_page_lacks_no_option() -> None:
    page = (REPOSITORY / "deploy" / "debian" / "vitalsd.8").read_text().replace("\\", "")
    assert {word for word in words() if not re.search(rf"(?<![a-z]){word}\b", page)} == set()


def install(debian: Debian, package: Path) -> None:
    shutil.copy(package, debian.root / "tmp")
    debian.run(*APT, "install", "--no-install-recommends", "--yes", f"/tmp/{package.name}")


class Installed(Server):
    name = "installed"


def scrape(debian: Debian) -> str:
    """Returns the metrics of the daemon, started as in the unit."""
    unit = (debian.root / "usr/lib/systemd/system/vitalsd.service").read_text()
    start = re.search("^ExecStart=(.*)", unit, re.MULTILINE)
    state = re.search("^StateDirectory=(.*)", unit, re.MULTILINE)
    assert start and state and f"/var/lib/{state[1]}" == STATE
    debian.run("install", "--directory", "--owner=vitalsd", "--group=vitalsd", STATE)

    address = f"127.0.0.1:{free_port()}"

    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=60) as response:
            return response.read().decode()

    daemon = Installed()
    daemon.enter = debian.enter("--userspec=vitalsd:vitalsd")
    try:
        daemon.launch([*shlex.split(start[1]), f"--listen={address}"], lambda: get("/-/ready"))
        page = get("/metrics")
        assert daemon.stop() == 0, daemon.tail()
    finally:
        daemon.close()
    return page


@pytest.mark.timeout(600)  # the first run downloads a Debian
def test_from_install_to_purge(debian: Debian, package: Path, newer: Path) -> None:
    debian.run("apt-get", "-qq", "update")
    install(debian, package)
    assert debian.run("vitalsd", "--version") == run("--version").stdout
    assert "valid" in debian.run("vitalsd", "config", "check", CONFIGURATION)
    assert "disks" in debian.run("vitalsd", "check")
    assert 'probe_success{probe="disks",instance="disks"} 1' in scrape(debian)
    wanted = debian.root / "etc/systemd/system/multi-user.target.wants/vitalsd.service"
    assert wanted.is_symlink()

    # From here on systemd is present.
    (debian.root / "run/systemd/system").mkdir(parents=True)
    systemctl, told = debian.root / "usr/bin/systemctl", debian.root / "run/told"
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)

    configuration = debian.root / CONFIGURATION[1:]
    changed = configuration.read_text().replace("interval: 30s", "interval: 20s")
    configuration.write_text(changed)
    install(debian, newer)
    assert debian.run("dpkg-query", "--show", "--showformat=${Version}", "vitalsd") == "99"
    assert configuration.read_text() == changed
    assert configuration.with_suffix(".yaml.dpkg-dist").read_text().endswith("# newer\n")
    assert "restart vitalsd.service" in told.read_text()
    assert 'probe_success{probe="disks",instance="disks"} 1' in scrape(debian)

    told.unlink()
    debian.run(*APT, "remove", "--yes", "vitalsd")
    assert "stop vitalsd.service" in told.read_text()
    assert not (debian.root / "usr/bin/vitalsd").exists()
    assert configuration.read_text() == changed
    assert (debian.root / STATE[1:]).is_dir()

    debian.run(*APT, "purge", "--yes", "vitalsd")
    assert not configuration.parent.exists()
    assert not (debian.root / STATE[1:]).exists()
    assert not wanted.is_symlink()
