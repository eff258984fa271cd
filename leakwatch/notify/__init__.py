"""Alerts that we push to Alertmanager, by level as Prometheus's rules make them of our metrics.

- `rules`: leaks and health -> what is to be told now. Pure.
- `alerts`: for how long it fires, when it is sent again, when it is resolved. Pure.
- `outbox`: what one Alertmanager has yet to be told. Pure.
- `sender`: the requests, one sender per Alertmanager.
- `notifier`: finds the Alertmanagers and keeps all of that going.
"""
