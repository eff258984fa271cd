#!/usr/bin/env bash
# Copies what is needed in more places than one, after a change to it; a test fails until then.
#
#   .ci/copies.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../deploy"

rules=prometheus/leakwatch.rules.yml
{
  cat <<'YAML'
# Made from deploy/prometheus/leakwatch.rules.yml by .ci/copies.sh: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: leakwatch
  labels:
    app.kubernetes.io/name: leakwatch
    # Many installations select rules by a label, kube-prometheus-stack by: release: <its release>
spec:
YAML
  sed 's/^./  &/' "$rules"
} >kubernetes/fleet/components/prometheus-rule/prometheusrule.yaml
# A chart has to hold all that it needs.
mkdir -p helm/leakwatch/files
cp "$rules" kubernetes/fleet/base/leakwatch.yml helm/leakwatch/files/
