#!/usr/bin/env bash
# Updates the copies of files that are needed in several places. Run it after a change; a test compares the copies.
#
#   .ci/copies.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../deploy"

rules=prometheus/leakwatch.rules.yml
{
  cat <<'YAML'
# Generated from deploy/prometheus/leakwatch.rules.yml by .ci/copies.sh; edit that file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: leakwatch
  labels:
    app.kubernetes.io/name: leakwatch
    # Many installations select rules by a label, kube-prometheus-stack by release: <name of its release>
spec:
YAML
  sed 's/^./  &/' "$rules"
} >kubernetes/fleet/components/prometheus-rule/prometheusrule.yaml
# A chart must contain all files that it uses.
mkdir -p helm/leakwatch/files/dashboards
cp "$rules" prometheus/leakwatch.recording.yml kubernetes/fleet/base/leakwatch.yml helm/leakwatch/files/
cp grafana/*.json helm/leakwatch/files/dashboards/
