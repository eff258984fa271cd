"""Credential plugins that are shell scripts."""

import json
import shlex
from pathlib import Path
from typing import Any

from leakwatch.discovery.kubernetes.exec_plugin import ExecConfig, ExecPlugin
from leakwatch.http.settings import TlsConfig

V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"


def output(status: dict[str, str], api_version: str = V1) -> str:
    """Return the output of a plugin with this status."""
    return json.dumps({"apiVersion": api_version, "kind": "ExecCredential", "status": status})


TOKEN = output({"token": "x"})


def echo(text: str) -> str:
    """Return the shell command that prints a text."""
    return f"printf %s {shlex.quote(text)}"


def script(path: Path, commands: str) -> None:
    """Write a shell script."""
    path.write_text(f"#!/bin/sh\n{commands}\n")
    path.chmod(0o755)


def plugin(folder: Path, commands: str = "", *, timeout: float = 300.0, **settings: Any) -> ExecPlugin:
    """Return a plugin that runs shell commands."""
    script(folder / "plugin", commands)
    config = {"apiVersion": V1, "interactiveMode": "Never", "command": "./plugin", **settings}
    return ExecPlugin(
        kubeconfig=folder / "config",
        config=ExecConfig.model_validate(config),
        cluster={"server": "https://k8s"},
        tls_config=TlsConfig(),
        timeout=timeout,
    )


def printing(folder: Path, text: str, **settings: Any) -> ExecPlugin:
    """Return a plugin that prints a text."""
    return plugin(folder, echo(text), **settings)
