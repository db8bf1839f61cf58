"""Every PromQL query of dashboard, alerts and metrics adapter, and what a /metrics page has to answer them."""

import json
import re
from collections.abc import Iterable, Iterator

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.k8s.rendered import K8S

DASHBOARD = json.loads((K8S / "components/dashboard/rewright-dashboard.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((K8S / "monitoring/alerts.yaml").read_text(encoding="utf-8"))
ADAPTER = yaml.safe_load((K8S / "monitoring/prometheus-adapter.yaml").read_text(encoding="utf-8"))
SET_BY_PROMETHEUS = {"namespace", "pod", "le"}

Exported = dict[str, set[str]]
"""Sample names, each with its labels; no labels where no sample was there to show them."""


def all_queries() -> Iterator[tuple[str, str]]:
    """Where a query stands, and the query."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield f"dashboard: {panel['title']} {target['refId']}", target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield f"dashboard: {variable['name']}", variable["query"]["query"]
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield f"alert: {rule['alert']}", rule["expr"]
    for rule in ADAPTER["rules"]["custom"]:
        yield "adapter", rule["seriesQuery"]


def exported_by(pages: Iterable[str]) -> Exported:
    """What /metrics pages show together."""
    found: Exported = {}
    for page in pages:
        for family in text_string_to_metric_families(page):
            ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            for end in ends:
                found.setdefault(family.name + end, set())
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


def names_in(query: str) -> set[str]:
    return set(re.findall(r"\brewright_\w+", query))


def labels_in(query: str) -> dict[str, set[str]]:
    """Per metric, the labels that its matchers name; those of `by (…)` too where the query has one metric alone."""
    names = names_in(query)
    found: dict[str, set[str]] = {name: set() for name in names}
    for name, matchers in re.findall(r"\b(rewright_\w+)\{([^}]*)\}", query):
        found[name] |= set(re.findall(r"(\w+)(?:=~|!=|=)", matchers))
    if len(names) == 1:
        for labels in re.findall(r"\bby \(([^)]*)\)", query):
            found[next(iter(names))] |= {label.strip() for label in labels.split(",")}
    return {name: labels - SET_BY_PROMETHEUS for name, labels in found.items()}


def without_kind(name: str) -> str:
    """The family of a sample name."""
    return re.sub(r"_(total|bucket|sum|count)$", "", name)
