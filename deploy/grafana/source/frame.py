"""A whole dashboard: variables, marks, links and rows of panels."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model
from parts import TAG, Marks, Panels, choice

Variable = Builder[model.VariableModel]


@dataclass(frozen=True, slots=True)
class Frame:
    """A dashboard without its panels. `uid` is part of the URL, which other dashboards link to."""

    uid: str
    title: str
    about: str
    since: str
    refresh: str
    variables: Sequence[Variable]
    marks: Sequence[Marks] = ()
    page: str = ""
    """It links to the own page of a process with this series, "" without a link."""


def _links(frame: Frame) -> list[build.DashboardLink]:
    others = build.DashboardLink("leakwatch").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    others.tooltip("Other leakwatch dashboards").include_vars(include_vars=True).keep_time(keep_time=True)
    page = build.DashboardLink("leakwatch's page").type(model.DashboardLinkType.LINK).icon("external link")
    page.url("${page}").tooltip("Leaks and targets on leakwatch's own page").target_blank(target_blank=True)
    return [others, page] if frame.page else [others]


def dashboard(frame: Frame, rows: dict[str, Panels]) -> model.Dashboard:
    """Return the dashboard; `rows`: title -> panels, from top to bottom."""
    made = build.Dashboard(frame.title).uid(frame.uid).description(frame.about).tags([TAG])
    made.time(frame.since, "now").refresh(frame.refresh).tooltip(model.DashboardCursorSync.CROSSHAIR)
    made.with_variable(build.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    for variable in frame.variables:
        made.with_variable(variable)
    if frame.page:
        address = choice(
            "page",
            f"query_result(count by (url) (leakwatch_web_info and on (instance, job) {frame.page}))",
            "web.external_url",
            regex='/url="(?<value>[^"]+)"/',
            several=False,
        )
        made.with_variable(address.label("leakwatch's page"))
    made.links([*_links(frame)])
    for title, panels in rows.items():
        made.with_row(build.Row(title))
        for panel in panels:
            made.with_panel(panel)
    whole = made.build()
    whole.annotations.list_val = list(frame.marks)
    for number, made_panel in enumerate(whole.panels or (), 1):
        made_panel.id_val = number
    return whole
