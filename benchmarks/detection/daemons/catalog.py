"""The daemons that watch.py starts, each with its healthy load, and its planted leak if it has one.

All are of Debian 12, except those of the folder `--programs`, which README.md shows how to build. Each listens on
the loopback address, on three ports of its own: the main port, the next one for profiles, one for peers.
"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from string import Template

from place import Daemon, Make, Place, swing


def with_leak(make: Make, kind: str, path: str, per_hour: float, **more: object) -> Make:
    """Return a daemon as `make` does, with sessions that never end."""

    def leaking(name: str, place: Place) -> Daemon:
        daemon = make(name, place)
        leak = {
            "Name": f"{name}.leak",
            "Kind": kind,
            "URL": place.url + path,
            "PerHour": per_hour,
            "Limit": 100_000,
        }
        daemon.sessions.append({**leak, **more})
        return daemon

    return leaking


def polled(path: str, *command: str, config: str = "", **more: object) -> Make:
    """Return a daemon with pprof at its main address, and requests on connections that stay open for a while.

    `command`: with places as in `configs`; `$config` is the path of the file `config`, filled in.
    """

    def make(name: str, place: Place) -> Daemon:
        fields = {
            "address": place.address,
            "home": str(place.home),
            "config": place.config(config) if config else "",
        }
        url = Template(place.url + path).substitute(backend=place.backend)
        return Daemon(
            name=name,
            command=[Template(part).substitute(fields) for part in command],
            profiles=place.address,
            sessions=[swing(f"{name}.poll", "poll", url, (5, 50), 120, **{"Every": 20, **more})],
        )

    return make


def prometheus(name: str, place: Place) -> Daemon:
    """Scrape targets that come and go, for vmagent too, and run queries."""
    command = ["prometheus", f"--config.file={place.config('prometheus.yml')}"]
    return Daemon(
        name=name,
        command=[*command, f"--storage.tsdb.path={place.home}", f"--web.listen-address={place.address}"],
        profiles=place.address,
        sessions=[
            swing("targets", "target", "", (10, 100), 600),
            swing(f"{name}.query", "poll", f"{place.url}/api/v1/query?query=up", (4, 40), 120, Every=20),
        ],
    )


def vmagent(name: str, place: Place) -> Daemon:
    """Scrape the targets of prometheus."""
    return Daemon(
        name=name,
        command=[
            "vmagent", f"-promscrape.config={place.config('prometheus.yml')}", f"-httpListenAddr={place.address}",
            f"-remoteWrite.tmpDataPath={place.home}", f"-remoteWrite.url=http://{place.backend}/write",
            "-remoteWrite.queues=1",
        ],
        profiles=place.address,
        sessions=[],
    )  # fmt: skip


def alertmanager(name: str, place: Place) -> Daemon:
    """Let alerts fire for a while, each in a group of its own."""
    command = ["prometheus-alertmanager", f"--config.file={place.config('alertmanager.yml')}"]
    options = [
        f"--storage.path={place.home}",
        f"--web.listen-address={place.address}",
        "--cluster.listen-address=",
    ]
    return Daemon(
        name=name,
        command=command + options,
        profiles=place.address,
        sessions=[
            swing(f"{name}.alert", "alert", f"{place.url}/api/v2/alerts", (10, 100), 300, Every=60),
            swing(f"{name}.status", "poll", f"{place.url}/api/v2/status", (4, 40), 60, Every=15),
        ],
    )


def victoria(name: str, place: Place) -> Daemon:
    """Run queries, and slow imports that stay below the limit of imports at a time."""
    row = '{"metric":{"__name__":"load","session":"#"},"values":[1],"timestamps":[1760000000000]}\n'
    command = ["victoria-metrics", f"-storageDataPath={place.home}", f"-httpListenAddr={place.address}"]
    return Daemon(
        name=name,
        command=[*command, "-memory.allowedBytes=100MB"],
        profiles=place.address,
        sessions=[
            swing(f"{name}.query", "poll", f"{place.url}/api/v1/query?query=up", (4, 40), 180, Every=20),
            swing(f"{name}.import", "upload", f"{place.url}/api/v1/import", (1, 6), 60, Every=5, Body=row),
        ],
    )


def etcd(name: str, place: Place) -> Daemon:
    """Watch a key that changes and one that does not, and write."""
    peers = f"http://127.0.0.1:{place.peers}"
    put = json.dumps({"key": encoded("hot"), "value": encoded("value")})
    return Daemon(
        name=name,
        command=[
            place.program(name, "etcd"), "--enable-pprof", "--unsafe-no-fsync",
            "--data-dir", str(place.home / "data"),
            "--listen-client-urls", place.url, "--advertise-client-urls", place.url, "--listen-peer-urls", peers,
            "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}",
        ],
        profiles=place.address,
        sessions=[
            swing(f"{name}.watch", "stream", f"{place.url}/v3/watch", (5, 50), 120, Body=watch("hot")),
            swing(f"{name}.idle", "stream", f"{place.url}/v3/watch", (3, 30), 300, Body=watch("cold")),
            swing(f"{name}.put", "poll", f"{place.url}/v3/kv/put", (2, 20), 60, Every=40, Body=put),
        ],
    )  # fmt: skip


def watch(key: str) -> str:
    """Return the body of a request that watches a key of etcd."""
    return json.dumps({"create_request": {"key": encoded(key)}})


def encoded(text: str) -> str:
    """Return a text as the JSON of etcd has bytes."""
    return base64.b64encode(text.encode()).decode()


def nats(name: str, place: Place) -> Daemon:
    """Connect clients that publish and receive, and clients that are idle but for the pings of the server."""
    command = [place.program(name, "nats-server"), "-a", "127.0.0.1", "-p", str(place.port)]
    return Daemon(
        name=name,
        command=[*command, "--profile", str(place.profile)],
        profiles=f"127.0.0.1:{place.profile}",
        sessions=[
            swing(f"{name}.client", "nats", place.url, (8, 80), 120, Every=20),
            swing(f"{name}.idle", "nats", place.url, (4, 40), 300),
        ],
    )


def caddy(name: str, place: Place) -> Daemon:
    """Send requests to a proxy: short ones, with slow responses, with responses that stop after the first line."""
    command = [place.program(name, "caddy"), "run", "--adapter", "caddyfile"]
    return Daemon(
        name=name,
        command=[*command, "--config", place.config("Caddyfile")],
        profiles=f"127.0.0.1:{place.profile}",
        environment={"XDG_DATA_HOME": str(place.home), "XDG_CONFIG_HOME": str(place.home)},
        sessions=[
            swing(f"{name}.short", "poll", f"{place.url}/metrics", (5, 50), 120, Every=20),
            swing(f"{name}.stream", "stream", f"{place.url}/stream", (5, 50), 90),
            swing(f"{name}.silent", "stream", f"{place.url}/silent", (2, 20), 180),
        ],
    )


def registry(name: str, place: Place) -> Daemon:
    """Upload slowly and cancel each upload at its end, and send short requests."""
    return Daemon(
        name=name,
        command=["docker-registry", "serve", place.config("registry.yml")],
        profiles=f"127.0.0.1:{place.profile}",
        sessions=[
            swing(f"{name}.upload", "upload", f"{place.url}/v2/load/blobs/uploads/", (4, 40), 90, Every=5),
            swing(f"{name}.short", "poll", f"{place.url}/v2/", (4, 40), 120, Every=15),
        ],
    )


def syncthing(name: str, place: Place) -> Daemon:
    """Poll for events; each request waits for up to 20 s."""
    place.config("syncthing.xml", "config.xml")
    url = f"{place.url}/rest/events?since=0&events=LoginAttempt&timeout=20"
    profiles = f"127.0.0.1:{place.profile}"
    return Daemon(
        name=name,
        command=[
            "syncthing",
            "serve",
            f"--home={place.home}",
            "--no-browser",
            "--no-default-folder",
            "--no-upgrade",
        ],
        profiles=profiles,
        environment={"STPROFILER": profiles, "HOME": str(place.home), "STNORESTART": "1"},
        sessions=[swing(f"{name}.events", "poll", url, (5, 50), 120, Every=1, Header={"X-API-Key": "load"})],
    )


DAEMONS: dict[str, Make] = {
    "prometheus": prometheus,
    "alertmanager": alertmanager,
    "node_exporter": polled(
        "/metrics", "prometheus-node-exporter", "--web.listen-address=$address", "--collector.disable-defaults",
        "--collector.loadavg",
    ),
    "victoria": victoria,
    "vmagent": vmagent,
    "etcd": etcd,
    "nats": nats,
    "caddy": caddy,
    "registry": registry,
    "syncthing": syncthing,
    "pushgateway": polled(
        "/metrics/job/load/instance/#", "prometheus-pushgateway", "--web.listen-address=$address", Body="load 1\n"
    ),
    "blackbox": polled(
        "/probe?module=http&target=http://$backend/slow", "prometheus-blackbox-exporter",
        "--web.listen-address=$address", "--config.file=$config", config="blackbox.yml", Every=5,
    ),
    "influxdb": polled("/query?q=CREATE+DATABASE+load", "influxd", "run", "-config", "$config",
                       config="influxdb.conf", Body=" "),
    "rclone": polled(
        "/rc/noop", "rclone", "rcd", "--rc-addr=$address", "--rc-no-auth", "--cache-dir=$home", Body=" "
    ),
    "etcd-new": etcd,
    "nats-new": nats,
    "caddy-new": caddy,
    "caddy-leak-60": with_leak(caddy, "hold", "/big", 60),
    "etcd-leak-30": with_leak(etcd, "stream", "/v3/watch", 30, Body=watch("cold")),
    "nats-leak-60": with_leak(nats, "nats", "", 60),
    "nats-leak-30": with_leak(nats, "nats", "", 30),
    "caddy-leak-1000": with_leak(caddy, "hold", "/big", 1000, After=600),
    "nats-leak-3600": with_leak(nats, "nats", "", 3600, After=1500, Limit=450),
    "etcd-leak-1800": with_leak(etcd, "stream", "/v3/watch", 1800, After=1500, Limit=450, Body=watch("cold")),
}  # fmt: skip
"""All daemons by name. The rate of a planted leak, per hour, is the end of the name."""


def daemons(folder: Path, programs: Path, port: int, only: str) -> Iterator[Daemon]:
    """Yield the daemons of which the name matches `only`, each with a folder of its own in `folder`.

    A daemon with a name in -new is omitted if `programs` does not have it. `port`: the first of all ports.
    """
    for number, (name, make) in enumerate(DAEMONS.items(), 1):
        if not re.fullmatch(only, name) or (name.endswith("-new") and not (programs / name).exists()):
            continue
        home = folder / "homes" / name
        home.mkdir(parents=True, exist_ok=True)
        backend = f"127.0.0.1:{port + 2}"
        yield make(
            name, Place(folder=folder, home=home, port=port + 10 * number, programs=programs, backend=backend)
        )
