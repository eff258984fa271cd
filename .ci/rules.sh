#!/usr/bin/env bash
# Copies deploy/prometheus/leakwatch.rules.yml to where Kubernetes needs it; run it after a change there, a test asks for it.
#
#   .ci/rules.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../deploy"

rules=prometheus/leakwatch.rules.yml
{
  cat <<'YAML'
# Made from deploy/prometheus/leakwatch.rules.yml by .ci/rules.sh: change it there.
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
# A chart holds all that it needs.
mkdir -p helm/leakwatch/files
cp "$rules" helm/leakwatch/files/leakwatch.rules.yml
