"""Shell commands that show a leak on one of its targets. Pure."""

from shlex import quote

from leakwatch.leaks.model import Leak
from leakwatch.scrape.target_set import ScrapeTarget
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.models.leaks import Command
from leakwatch.web.api.models.types import valid_text

LINES = 12  # of a stack, after the line with its count


def commands(view: FleetView, leak: Leak) -> list[Command]:
    """Return commands that show a leak on one of its targets, if possible on a target that is up."""
    target = _scrape_target(view, leak)
    if target is None:
        return []
    socket = f" --unix-socket {quote(target.endpoint.socket)}" if target.endpoint.socket else ""
    url = target.endpoint.shown_url
    profile = target.endpoint.shown_profile_url
    get, function = f"curl -s{socket}", quote(valid_text(leak.stack.blamed.function))
    needs_secret = target.job.http.basic_auth or target.job.http.authorization or url != str(target.endpoint.url)
    secret = ", with the credentials of the job" if needs_secret else ""
    body = f"{get} {quote(url)}"
    return [
        Command(title=f"the stack and its count{secret}", command=f"{body} | grep -F -B3 -A{LINES} -- {function}"),
        Command(
            title=f"all stacks in pprof{secret}",
            command=f"{get} {quote(profile)} -o goroutine.pb.gz && go tool pprof -top goroutine.pb.gz",
        ),
        Command(title=f"by site, as leakwatch counts{secret}", command=f"{body} | leakwatch scrape - --by site"),
    ]


def _scrape_target(view: FleetView, leak: Leak) -> ScrapeTarget | None:
    health, names = view.health, set(leak.targets)
    targets = [target for target in health if target.service == leak.service and target in view.scrape_targets]
    targets.sort(key=lambda target: (target.name not in names, not health[target].up, target.name))
    return view.scrape_targets[targets[0]] if targets else None
