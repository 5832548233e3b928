#!/usr/bin/python3
"""Shortens the durations in Prometheus files, so that a live test gets alerts within seconds.

In a rule file it shortens `for`, `keep_firing_for` and the `interval` of a group, in a scrape
configuration also the global intervals. No other byte changes: it replaces the values in the text,
then parses and compares both texts. A test with the result therefore uses the shipped expressions.

    shorten_rules.py [--divide 60] [--at-most 5s] [--interval 200ms] IN OUT
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

WAITS = ("for", "keep_firing_for")
INTERVALS = ("interval", "scrape_interval", "scrape_timeout", "evaluation_interval")

UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
LINE = re.compile(r"^([ -]*)(\w+):[ \t]+([0-9][0-9a-z]*)([ \t]*(?:#.*)?)$", re.MULTILINE)


class NotOnlyShortened(Exception):
    """The result would differ in more than durations."""


def milliseconds(duration: str) -> int:
    """Returns a duration in Prometheus's format, for example 1h30m."""
    parts = re.findall(r"(\d+)(ms|[smhdw])", duration)
    if "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"not a duration: {duration!r}")
    return sum(int(number) * UNITS_MS[unit] for number, unit in parts)


def shorten(
    text: str,
    *,
    divide: float = 60,
    at_most: str = "5s",
    interval: str = "200ms",
    waits: Sequence[str] = WAITS,
) -> str:
    """Returns the text of a rule file or scrape configuration with shorter durations, after a check
    that nothing else has changed. `waits` are the keys that are shortened in addition to
    intervals."""

    def replacement(match: re.Match[str]) -> str:
        indent, key, value, rest = match.groups()
        if key in waits:
            shorter = min(milliseconds(value) / divide, milliseconds(at_most))
        elif key in INTERVALS:
            shorter = milliseconds(interval)
        else:
            return match[0]
        shorter = round(min(shorter, milliseconds(value)))  # a rule without `for` gets none
        return f"{indent}{key}: {shorter}ms{rest}"

    shortened = LINE.sub(replacement, text)
    longest = dict.fromkeys(waits, milliseconds(at_most))
    longest |= dict.fromkeys(INTERVALS, milliseconds(interval))
    prove_only_shortened(text, shortened, longest)
    return shortened


def prove_only_shortened(before: str, after: str, longest: dict[str, int]) -> None:
    """Raises NotOnlyShortened unless both differ only in durations and all durations are short.

    Compares the parsed documents. This detects a `for:` in an expression or annotation that the
    rewriting treated as a key, and a key in a notation that the rewriting did not recognise.
    `longest` maps the keys that may differ to their maximum in milliseconds.
    """
    old, new = yaml.safe_load(before), yaml.safe_load(after)
    walk(old, new, longest, "")
    if expressions(old) != expressions(new):
        raise NotOnlyShortened("an expression differs")


def walk(old: Any, new: Any, longest: dict[str, int], where: str) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        if list(old) != list(new):
            raise NotOnlyShortened(f"{where or 'the file'}: other keys")
        for key in old:
            at = f"{where}.{key}".lstrip(".")
            if key not in longest:
                walk(old[key], new[key], longest, at)
            elif milliseconds(new[key]) > min(milliseconds(old[key]), longest[key]):
                raise NotOnlyShortened(f"{at}: {old[key]} became {new[key]}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=False)):
            walk(one, other, longest, f"{where}[{index}]")
    elif old != new:
        raise NotOnlyShortened(f"{where}: {old!r} became {new!r}")


def expressions(document: Any) -> list[tuple[str, str]]:
    """Returns the name and the exact expression of every rule."""
    return [
        (rule.get("alert") or rule["record"], rule["expr"])
        for group in (document or {}).get("groups", [])
        for rule in group["rules"]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--divide", type=float, default=60, help="`for` is divided by this")
    parser.add_argument("--at-most", default="5s", help="... and no longer than this")
    parser.add_argument("--interval", default="200ms", help="for every interval")
    parser.add_argument("source", type=Path, metavar="IN")
    parser.add_argument("target", type=Path, metavar="OUT")
    options = parser.parse_args()
    options.target.write_text(
        shorten(
            options.source.read_text(),
            divide=options.divide,
            at_most=options.at_most,
            interval=options.interval,
        )
    )


if __name__ == "__main__":
    main()
