"""Alerts that leakwatch sends to Alertmanager, with the rules and states of Prometheus's alerts.

- `rules`: leaks and target health -> active conditions. Pure.
- `alerts`: pending, firing and resolved alerts, and when each is sent again. Pure.
- `queue`: the alerts that one Alertmanager has not accepted yet. Pure.
- `alertmanager`: sends the alerts of a queue; one client per Alertmanager.
- `notifier`: discovers the Alertmanagers, evaluates the rules and fills the queues.
"""
