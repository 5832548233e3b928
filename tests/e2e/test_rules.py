"""The shipped alert rules without a daemon: they are valid, match the documents, and all are
tested."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import shorten_rules
from support import REPOSITORY
from support.prometheus import ABSENCE_RULES, SHIPPED

HERE = Path(__file__).parent
RECOMMENDED = SHIPPED / "recommended.yaml"
RULE_FILES = [SHIPPED / "documented.yaml", SHIPPED / "vitalsd.yaml", RECOMMENDED, ABSENCE_RULES]
TEST_FILES = sorted((HERE / "rules").glob("*_test.yaml"))
RUNBOOKS = "https://github.com/vitalsd/vitalsd/blob/main/docs/runbooks/"


def rules_of(file: Path, what: str = "alert") -> list[dict[str, Any]]:
    """Returns the alerting rules, or with `record` the recording rules."""
    groups = yaml.safe_load(file.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if what in rule]


def promtool(*arguments: str | Path) -> str:
    run = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def test_promtool_finds_no_fault_with_the_rules() -> None:
    for word in ("fail", "duplicate", "error", "warn"):
        assert word not in promtool("check", "rules", *RULE_FILES).lower()


def test_promtool_finds_no_fault_with_the_scrape_configuration() -> None:
    promtool("check", "config", SHIPPED / "prometheus.yaml")


def test_in_a_cluster_the_scrape_is_the_same() -> None:
    where = {"static_configs", "kubernetes_sd_configs", "relabel_configs"}
    here, there = (
        [
            {key: value for key, value in scrape.items() if key not in where}
            for scrape in yaml.safe_load((SHIPPED / name).read_text())["scrape_configs"]
        ]
        for name in ("prometheus.yaml", "kubernetes.yaml")
    )
    assert here == there


@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: file.stem)
def test_rules_fire_and_stay_silent(file: Path) -> None:
    promtool("test", "rules", file)


def test_every_rule_is_tested_firing_and_silent() -> None:
    firing: set[tuple[str, str | None]] = set()
    silent: set[str] = set()
    for file in TEST_FILES:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for case in test.get("alert_rule_test", []):
                alerts = case.get("exp_alerts") or []
                if not alerts:
                    silent.add(case["alertname"])
                firing |= {(case["alertname"], a["exp_labels"].get("document")) for a in alerts}
    rules = [rule for file in RULE_FILES for rule in rules_of(file)]
    assert firing == {(rule["alert"], rule["labels"].get("document")) for rule in rules}
    # Every rule with `for` has a test case in which it does not fire.
    assert {rule["alert"] for rule in rules if "for" in rule} - silent == set()


@pytest.mark.parametrize("document", ["guide", "manual"])
def test_documented_rules_are_as_documented(document: str) -> None:
    def interface(rule: dict[str, Any]) -> tuple[Any, ...]:
        labels = rule["labels"]
        return rule["alert"], rule["expr"], rule.get("for"), labels["severity"], labels["team"]

    documented = rules_of(HERE / "rules" / "documents" / f"alerts-{document}.yaml")
    shipped = [r for r in rules_of(RULE_FILES[0]) if r["labels"]["document"] == document]
    assert [interface(rule) for rule in shipped] == [interface(rule) for rule in documented]


def test_the_runbook_has_its_four() -> None:
    shipped = [r for r in rules_of(RULE_FILES[0]) if r["labels"]["document"] == "runbook"]
    assert [(rule["alert"], rule["for"], rule["labels"]["severity"]) for rule in shipped] == [
        ("APIDown", "2m", "critical"),
        ("HighErrorRate", "5m", "critical"),
        ("DatabaseDown", "1m", "critical"),
        ("DiskSpaceCritical", "1m", "critical"),
    ]


def test_every_rule_tells_what_to_do() -> None:
    for rule in (rule for file in RULE_FILES for rule in rules_of(file)):
        annotations = rule["annotations"]
        assert set(annotations) == {"summary", "description", "runbook_url"}
        assert annotations["runbook_url"] == f"{RUNBOOKS}{rule['alert']}.md"
        assert (REPOSITORY / "docs" / "runbooks" / f"{rule['alert']}.md").exists()


def test_a_queue_without_consumers_is_the_same_in_the_rule_and_in_the_check() -> None:
    reference = (REPOSITORY / "docs" / "configuration.md").read_text()
    (default,) = re.findall(r"(?m)^\| `no_consumers` \| regular expression \| `(.*?)` \|", reference)
    (rule,) = [r for r in rules_of(SHIPPED / "vitalsd.yaml") if r["alert"] == "QueueWithoutConsumers"]
    assert 'queue!~"' + default.replace("\\|", "|") + '"' in rule["expr"]


def test_shortened_rules_differ_in_durations_only(tmp_path: Path) -> None:
    for file in [*RULE_FILES, SHIPPED / "prometheus.yaml"]:
        text = file.read_text()
        short = shorten_rules.shorten(text)
        (tmp_path / file.name).write_text(short)
        # Without the durations, both texts are identical.
        durations = re.compile(r"(?m)^( *(?:for|keep_firing_for|\w*interval): ).*$")
        assert durations.sub(r"\1", short) == durations.sub(r"\1", text)
    promtool("check", "config", tmp_path / "prometheus.yaml")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        # Lines of an expression and of an annotation that look like keys, and a notation that the
        # rewriting does not recognise. It must refuse all of them.
        ("groups: [{rules: [{alert: A, expr: up, for: 5m}]}]", "became 5m"),
        ("groups:\n- rules:\n  - alert: A\n    expr: |\n      up\n      for: 5m\n", "became"),
        (
            "groups:\n- rules:\n  - alert: A\n    expr: up\n    annotations:\n"
            "      text: |\n        interval: 1h\n",
            "became",
        ),
    ],
)
def test_what_cannot_be_shortened_safely_is_refused(text: str, why: str) -> None:
    with pytest.raises(shorten_rules.NotOnlyShortened, match=why):
        shorten_rules.shorten(text)
