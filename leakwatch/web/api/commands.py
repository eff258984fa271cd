"""How to look at a leak by oneself: commands for a shell. Pure."""

from shlex import quote

from leakwatch.leaks.model import Leak
from leakwatch.model import Target
from leakwatch.scrape.target_set import ScrapeTarget
from leakwatch.web.api.models.leaks import Command
from leakwatch.web.api.models.types import whole
from leakwatch.web.api.state import AppState

LINES = 12  # of a stack, after the line with its count


def commands(source: AppState, leak: Leak) -> list[Command]:
    """Return commands that show a leak on one of its targets, one that is up if there is one."""
    plan = _plan(source, leak)
    if plan is None:
        return []
    socket = f" --unix-socket {quote(plan.endpoint.socket)}" if plan.endpoint.socket else ""
    url, profile = str(plan.endpoint.url), str(plan.endpoint.url.copy_with(query=None))
    get, function = f"curl -s{socket}", quote(whole(leak.stack.blamed.function))
    secret = ", with the credentials of its job" if plan.job.http.basic_auth or plan.job.http.authorization else ""
    body = f"{get} {quote(url)}"
    return [
        Command(title=f"the stack and its count{secret}", command=f"{body} | grep -F -B3 -A{LINES} -- {function}"),
        Command(
            title=f"all stacks in pprof{secret}",
            command=f"{get} {quote(profile)} -o goroutine.pb.gz && go tool pprof -top goroutine.pb.gz",
        ),
        Command(title=f"by site, as leakwatch counts{secret}", command=f"{body} | leakwatch scrape - --by site"),
    ]


def plan_of(source: AppState, target: Target) -> ScrapeTarget | None:
    """Return how a target is scraped, None where that is not known."""
    return source.targets.targets.get(target) if source.targets else None


def _plan(source: AppState, leak: Leak) -> ScrapeTarget | None:
    health = source.health()
    names = set(leak.targets)
    on = [target for target in health if target.service == leak.service]
    on.sort(key=lambda target: (target.name not in names, not health[target].up, target.name))
    return next((plan for target in on if (plan := plan_of(source, target))), None)
