"""`vitalsd completion SHELL`: each shell completes with the script that vitalsd prints for it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest

from support.vitalsd import run
from support.waiting import PATIENCE

# How a shell reads the script and shows the arguments of a command.
SHELLS = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        "source ./script; vitalsd() { printf 'ran:'; printf ' <%s>' \"$@\"; echo; }",
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        "autoload -U compinit; compinit -u -D; source ./script; "
        "vitalsd() { printf 'ran:'; printf ' <%s>' \"$@\"; echo; }",
    ),
}
CASES = {
    "vitalsd che\t--for\tjs\t": ["check", "--format", "json"],
    "vitalsd check --kin\tpostg\t": ["check", "--kind", "postgres"],
    "vitalsd conf\tche\t--str\tmy-f\t": ["config", "check", "--strict", "my-file.yaml"],
    "vitalsd rul\tabs\t--conf\tmy-f\t": ["rules", "absent", "--config", "my-file.yaml"],
    "vitalsd help heal\t": ["help", "healthcheck"],
    "vitalsd completion zs\t": ["completion", "zsh"],
}


class Terminal:
    """An interactive shell on a terminal."""

    def __init__(self, command: list[str], directory: Path) -> None:
        self.master, slave = pty.openpty()
        self.output = ""
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=directory,
            start_new_session=True,
            env={"PATH": os.environ["PATH"], "HOME": str(directory), "TERM": "dumb"},
        )
        os.close(slave)

    def enter(self, text: str, expected: str) -> None:
        """Types a line and waits until the text appears."""
        self.output = ""
        os.write(self.master, text.encode() + b"\n")
        end = time.monotonic() + 20 * PATIENCE
        while expected not in self.output:
            left = end - time.monotonic()
            assert left > 0, f"{expected!r} is not in {self.output!r}"
            if select.select([self.master], [], [], left)[0]:
                self.output += os.read(self.master, 65536).decode(errors="replace")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes(shell: str, tmp_path: Path) -> None:
    script = run("completion", shell)
    assert (script.returncode, script.stderr) == (0, "")
    (tmp_path / "script").write_text(script.stdout)
    (tmp_path / "my-file.yaml").touch()
    command, prepare = SHELLS[shell]
    terminal = Terminal(command, tmp_path)
    try:
        # The echo of the command is not its output.
        terminal.enter(prepare + "; echo rea''dy", "ready")
        for typed, arguments in CASES.items():
            terminal.enter(typed, "ran: " + " ".join(f"<{each}>" for each in arguments))
    finally:
        terminal.close()


def test_fish_completes(tmp_path: Path) -> None:
    """fish shows on a terminal what `complete -C` prints."""
    script = run("completion", "fish")
    assert (script.returncode, script.stderr) == (0, "")
    (tmp_path / "script").write_text(script.stdout)
    (tmp_path / "my-file.yaml").touch()
    for typed, arguments in CASES.items():
        line = " ".join(["vitalsd", *arguments[:-1], typed.split("\t")[-2].split()[-1]])
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source script; complete -C '{line}'"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert arguments[-1] in [each.split("\t")[0] for each in done.stdout.splitlines()], done


def test_bash_completes_after_an_equals_sign(tmp_path: Path) -> None:
    (tmp_path / "script").write_text(run("completion", "bash").stdout)
    for words in ("vitalsd check --format =", "vitalsd check --format = js"):
        count = len(words.split()) - 1
        ask = f"source ./script; COMP_WORDS=({words}) COMP_CWORD={count}; _vitalsd"
        done = subprocess.run(
            ["bash", "-c", ask + "; echo ${COMPREPLY[@]}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "json" in done.stdout.split(), done
        assert "--quiet" not in done.stdout


def test_an_unknown_shell() -> None:
    done = run("completion", "tcsh")
    assert (done.returncode, done.stdout) == (2, "")
    assert "tcsh" in done.stderr
