"""Parts of the dashboards: queries, panels, variables and annotations, with leakwatch's defaults.

The types are Grafana's own (grafana-foundation-sdk, generated from Grafana 11.6): mypy checks every key and value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "leakwatch"
PROCESS = "instance, job, pod, container, endpoint"
"""Labels that identify a leakwatch process, as in deploy/prometheus/leakwatch.rules.yml."""

PER_HOUR = "suffix:/h"
VERDICTS = {
    "recovered": "green",
    "suspected": "yellow",
    "plateau": "orange",
    "leaking": "red",
    "proven": "dark-red",
}
"""Verdict -> color, by increasing severity."""

Panels = Sequence[Builder[model.Panel]]


@dataclass(frozen=True, slots=True)
class Ask:
    """A query and the name of its series; in a table, the name of its column, "" if it adds only labels."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Look:
    """Layout and unit of a panel. `levels`: lower bound -> color, green below all; `span`: of 24 columns."""

    unit: str = "short"
    span: int = 12
    height: int = 8
    interval: str = "15s"
    levels: dict[float, str] = field(default_factory=dict)
    empty: str = "none"


def figure(unit: str = "short", levels: dict[float, str] | None = None, interval: str = "15s") -> Look:
    """Return the layout of one of six numbers in a row."""
    return Look(unit, span=4, interval=interval, levels=levels or {}, empty="no data")


def once(expr: str) -> str:
    """Return the query for `expr` that counts the same series of two leakwatch processes once."""
    return f"max without ({PROCESS}) ({expr})"


def levels(look: Look) -> build.ThresholdsConfig:
    """Return the color thresholds of a panel."""
    steps = [model.Threshold(value=None, color="green")]
    steps += [model.Threshold(value=bound, color=color) for bound, color in look.levels.items()]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def queries(asks: Sequence[Ask], *, instant: bool, shape: PromQueryFormat) -> list[prometheus.Dataquery]:
    """Return the queries of a panel, named A, B, C ..."""
    made = []
    for name, ask in zip("ABCDEFGHIJ", asks, strict=False):
        query = prometheus.Dataquery().ref_id(name).expr(ask.expr).legend_format(ask.legend).format(shape)
        made.append(query.datasource(DATASOURCE).instant() if instant else query.datasource(DATASOURCE).range())
    return made


def number(title: str, about: str, look: Look, *asks: Ask) -> stat.Panel:
    """Return a panel with the current values of `asks` in large figures."""
    panel = (
        stat.Panel().title(title).description(about).datasource(DATASOURCE).unit(look.unit).no_value(look.empty)
    )
    panel.span(look.span).height(4).interval(look.interval).thresholds(levels(look)).decimals(0)
    panel.graph_mode(shapes.BigValueGraphMode.NONE).color_mode(
        shapes.BigValueColorMode.VALUE if look.levels else shapes.BigValueColorMode.NONE
    )
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    for query in queries(asks, instant=True, shape=PromQueryFormat.TIME_SERIES):
        panel.with_target(query)
    return panel


def lines(title: str, about: str, look: Look, *asks: Ask, stacked: bool = False) -> timeseries.Panel:
    """Return a graph of `asks` over time, with `levels` as dashed lines."""
    panel = timeseries.Panel().title(title).description(about).datasource(DATASOURCE).unit(look.unit)
    panel.span(look.span).height(look.height).interval(look.interval).thresholds(levels(look)).no_value(look.empty)
    panel.min(0).show_points(shapes.VisibilityMode.AUTO).fill_opacity(40 if stacked else 8)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(shapes.LegendDisplayMode.TABLE)
        .placement(shapes.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
        .calcs(["lastNotNull", "max"])
    )
    panel.tooltip(
        common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING)
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL))
    if look.levels:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED))
    for query in queries(asks, instant=False, shape=PromQueryFormat.TIME_SERIES):
        panel.with_target(query)
    return panel


def bars(title: str, about: str, look: Look, ask: Ask) -> bargauge.Panel:
    """Return a bar gauge with one bar per current series of `ask`."""
    panel = bargauge.Panel().title(title).description(about).datasource(DATASOURCE).unit(look.unit).min(0)
    panel.span(look.span).height(look.height).interval(look.interval).thresholds(levels(look)).no_value(look.empty)
    panel.orientation(shapes.VizOrientation.HORIZONTAL).display_mode(shapes.BarGaugeDisplayMode.BASIC)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    for query in queries([ask], instant=True, shape=PromQueryFormat.TIME_SERIES):
        panel.with_target(query)
    return panel


def timeline(title: str, about: str, look: Look, ask: Ask) -> statetimeline.Panel:
    """Return a state timeline of verdicts, one band per series; value 1 is the first of VERDICTS."""
    panel = statetimeline.Panel().title(title).description(about).datasource(DATASOURCE).no_value(look.empty)
    panel.span(look.span).height(look.height).interval(look.interval).merge_values(merge_values=True)
    panel.show_value(shapes.VisibilityMode.AUTO).row_height(0.8).thresholds(levels(look)).unit(look.unit)
    named = {
        str(place): model.ValueMappingResult(text=verdict, color=color, index=place)
        for place, (verdict, color) in enumerate(VERDICTS.items(), 1)
    }
    panel.mappings([model.ValueMap(options=named)])
    for query in queries([ask], instant=False, shape=PromQueryFormat.TIME_SERIES):
        panel.with_target(query)
    return panel


@dataclass(frozen=True, slots=True)
class Column:
    """Display options of a table column; `links`: title -> URL; `texts`: value -> text, if they differ."""

    name: str
    unit: str = ""
    width: int = 0
    links: dict[str, str] = field(default_factory=dict)
    colors: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def properties(self) -> list[model.DynamicConfigValue]:
        """Return the overrides of the panel's defaults."""
        found = [model.DynamicConfigValue("unit", self.unit)] if self.unit else []
        if self.width:
            found.append(model.DynamicConfigValue("custom.width", self.width))
        if self.links:
            links = [{"title": title, "url": url} for title, url in self.links.items()]
            found.append(model.DynamicConfigValue("links", links))
        if self.colors:
            named = {
                value: model.ValueMappingResult(text=self.texts.get(value, value), color=color, index=place)
                for place, (value, color) in enumerate(self.colors.items())
            }
            cell = {"type": shapes.TableCellDisplayMode.COLOR_TEXT}
            found.append(model.DynamicConfigValue("mappings", [model.ValueMap(options=named)]))
            found.append(model.DynamicConfigValue("custom.cellOptions", cell))
        return found


SEVERITY = Column("severity", width=90, colors={"1": "red", "0": "yellow"}, texts={"1": "page", "0": "ticket"})
"""The column of leakwatch_leak_page."""


def rows(
    title: str,
    about: str,
    look: Look,
    asks: Sequence[Ask],
    first: Sequence[str],
    shown: Sequence[Column],
    sort: str,
) -> table.Panel:
    """Return a table of the current query results, one row per set of common labels.

    `first`: the first columns, in this order; `sort`: the column to sort by, largest first.
    """
    panel = table.Panel().title(title).description(about).datasource(DATASOURCE).unit(look.unit)
    panel.span(look.span).height(look.height).interval(look.interval).no_value(look.empty).thresholds(levels(look))
    panel.filterable(filterable=True).sort_by(
        [common.TableSortByFieldState().display_name(sort).desc(desc=True)]
    ).show_header(show_header=True)
    for query in queries(asks, instant=True, shape=PromQueryFormat.TABLE):
        panel.with_target(query)
    # With one query, the value column is named Value, with several Value #A, Value #B and so on.
    values = [f"Value #{name}" for name, _ in zip("ABCDEFGHIJ", asks, strict=False)] if asks[1:] else ["Value"]
    named = {value: ask.legend for value, ask in zip(values, asks, strict=True)}
    organize = {
        "excludeByName": {"Time": True} | {value: True for value, name in named.items() if not name},
        "indexByName": {name: place for place, name in enumerate([*first, *values])},
        "renameByName": {value: name for value, name in named.items() if name},
    }
    panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=organize))
    for column in shown:
        panel.override_by_name(column.name, column.properties())
    return panel


def choice(
    name: str, query: str, about: str, *, several: bool = True, regex: str = "", wild: str = ".*"
) -> build.QueryVariable:
    """Return a variable with values from Prometheus.

    `several`: allow several values and All; `wild`: the value of All, "" for a list of all values.
    """
    variable = build.QueryVariable(name).query(query).datasource(DATASOURCE).description(about)
    variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(
        model.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC
    )
    if regex:
        variable.regex(regex)
    if several:
        everything = model.VariableOption(selected=True, text=["All"], value=["$__all"])
        variable.multi(multi=True).include_all(include_all=True).current(everything)
        if wild:
            variable.all_value(wild)
    return variable


class Marks(model.AnnotationQuery):
    """Annotations from Prometheus, with the keys of its data source that the common types lack."""

    def __init__(self, name: str, color: str, expr: str, title: str, text: str) -> None:
        super().__init__(name=name, datasource=DATASOURCE, icon_color=color, expr=expr)
        self._title, self._text = title, text

    def to_json(self) -> dict[str, object]:
        """Return the annotation as Grafana reads it."""
        return super().to_json() | {"titleFormat": self._title, "textFormat": self._text, "step": "60s"}
