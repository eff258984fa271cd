"""Kills a process that watches services in virtual time, restarts it, and compares it with a steady one.

- `world`: the services: what they return at each minute.
- `worker`: the process that is killed: pipeline, alerts, evidence and storage, in virtual time.
- `run`: starts, kills and restarts workers, and reads what they print.
"""
