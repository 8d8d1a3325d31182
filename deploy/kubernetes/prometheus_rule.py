#!/usr/bin/env python3
"""Writes components/monitoring/prometheusrule.yaml: the rules of deploy/prometheus/clf.rules.yml, for the operator.

Run it when the rules have changed; a test finds out. Needs the standard library only.
"""

import textwrap
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
RULES: Final = HERE.parent / "prometheus" / "clf.rules.yml"
MANIFEST: Final = HERE / "components" / "monitoring" / "prometheusrule.yaml"
HEAD: Final = """\
# Written by prometheus_rule.py from deploy/prometheus/clf.rules.yml: change that, and run it again.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: clf
  labels:
    app.kubernetes.io/name: clf
spec:
"""


def manifest() -> str:
    """The whole file: a rule file as it stands is what `spec` holds."""
    return HEAD + textwrap.indent(RULES.read_text("utf-8"), "  ")


if __name__ == "__main__":
    MANIFEST.write_text(manifest(), "utf-8")
