// A flame graph of a profile of a target: width is goroutines, colour is growth, or the change since an earlier
// profile. Needs d3 and d3-flame-graph.
//
//   <div class="flame" data-flame="../../api/v1/targets/shop/10.0.0.1%3A6060/flame">
//
// Arrow keys move between frames, Enter zooms, Escape shows everything.
//
// The graph is drawn after the page has loaded, and again on "leakwatch:refreshed" at the document. data-calls is the
// number of calls, data-found the number of calls that match the search.
(() => {
  "use strict";

  const element = document.querySelector("[data-flame]");
  if (!element) return;
  const [search, reset, status] = ["flame-search", "flame-reset", "flame-status"].map((id) => document.getElementById(id));
  const tools = document.getElementById("flame-tools");
  const CELL = 20; // height of a call in pixels
  const CERTAIN = 0.02; // share of all goroutines per hour: smaller growth never gets the strongest colour
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const pace = () => (reducedMotion.matches ? 0 : 250); // duration of a transition in milliseconds
  let chart;
  let graph;
  let strongest = 1;
  let zoomed = [];

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--flame-${name}`).trim();
  const number = (value) => Math.round(value).toLocaleString("en-US");

  function growth(value) {
    const unit = graph.since == null ? "/h" : " since then";
    if (value == null || Math.abs(value) < 0.05) return graph.since == null ? "not growing" : "unchanged";
    const form = graph.since == null
      ? { maximumSignificantDigits: Math.abs(value) < 10 ? 2 : 3 }
      : { maximumFractionDigits: 0 };
    return `${value > 0 ? "+" : "−"}${Math.abs(value).toLocaleString("en-US", form)}${unit}`;
  }

  let shades = {};
  function prepare() {
    const names = ["still", "still-own", "low", "high", "falls", "found"];
    shades = Object.fromEntries(names.map((name) => [name, color(name)]));
    shades.grows = d3.interpolateRgb(shades.low, shades.high);
  }

  function shade(d) {
    if (d.highlight) return shades.found;
    const share = (d.data.growth ?? 0) / strongest;
    if (share > 0.02) return shades.grows(Math.sqrt(Math.min(share, 1)));
    return share < -0.02 ? shades.falls : shades[d.data.own ? "still-own" : "still"];
  }

  function steepest(call) {
    return Math.max(call.growth ?? 0, ...(call.children ?? []).map(steepest));
  }

  const describe = ({ data }) =>
    `${data.name}: ${number(data.value)} goroutines (${((100 * data.value) / graph.root.value).toFixed(1)} %), ${growth(data.growth)}`;

  const path = (d) => (d.parent ? [...path(d.parent), d.data.name] : []);

  function callAt(root, names) {
    let call = root;
    for (const name of names) {
      call = call.children?.find((child) => child.data.name === name);
      if (!call) return null;
    }
    return call;
  }

  function make() {
    chart = flamegraph
      .default()
      .width(element.clientWidth)
      .cellHeight(CELL)
      .inverted(true)
      .minFrameSize(2)
      .resetHeightOnZoom(true)
      .transitionDuration(pace())
      .setColorMapper(shade)
      .getName(({ data }) => data.name.slice(data.name.split("[")[0].lastIndexOf("/") + 1))
      .setLabelHandler(describe)
      .setSearchMatch((d, term) => d.data.name.toLowerCase().includes(term.toLowerCase()))
      .setSearchHandler(showMatches)
      .setDetailsHandler((text) => (text ? show(text) : showSummary()))
      .onClick((d) => {
        zoomed = path(d);
        reset.hidden = !zoomed.length;
        countCalls();
      });
    d3.select(element).datum(graph.root).call(chart);
  }

  let summary = "";
  const show = (text) => { status.textContent = text; };
  const showSummary = () => show(summary);

  function showMatches(results, sum, total) {
    element.dataset.found = results.length;
    summary = results.length
      ? `${number(results.length)} calls match; ${number(sum)} of ${number(total)} goroutines are in them.`
      : "No call matches.";
    showSummary();
  }

  function find() {
    const term = search.value.trim();
    if (term) chart.search(term);
    else {
      delete element.dataset.found;
      summary = overall();
      chart.clear();
      showSummary();
    }
  }

  function overall() {
    const left = graph.left_out ? `; ${number(graph.left_out)} more are in stacks that are too small to show` : "";
    return `${number(graph.root.value)} goroutines, ${growth(graph.root.growth)}${left}. Click a frame to zoom in.`;
  }

  function draw(profile) {
    graph = profile;
    strongest = Math.max(steepest(profile.root), CERTAIN * profile.root.value, 1);
    prepare();
    tools.hidden = !profile.root.value;
    if (!profile.root.value) {
      element.replaceChildren();
      chart = undefined;
      summary = profile.scraped_at == null ? "No profile yet." : "The latest profile has no stacks with goroutines.";
      showSummary();
      return;
    }
    if (!chart) {
      element.replaceChildren();
      make();
    } else {
      // Without a transition, because calls that change places would overlap during each update.
      chart.transitionDuration(0).update(profile.root);
      const zoomedCall = zoomed.length && callAt(d3.select(element).datum(), zoomed);
      if (zoomedCall) chart.zoomTo(zoomedCall);
      chart.transitionDuration(pace());
    }
    summary = overall();
    if (search.value.trim()) find();
    else showSummary();
    countCalls();
  }

  // --- keyboard ---

  let current = null; // the frame that the arrow keys have reached

  function moved(key) {
    const all = d3.select(element).datum();
    if (!current || !all.descendants().includes(current)) return zoomed.length ? (callAt(all, zoomed) ?? all) : all;
    const siblings = (current.parent?.children ?? [current]).filter(({ data }) => data.value);
    const place = siblings.indexOf(current);
    const largest = (current.children ?? []).filter(({ data }) => data.value).sort((a, b) => b.data.value - a.data.value)[0];
    return {
      ArrowUp: current.parent, ArrowDown: largest, ArrowLeft: siblings[place - 1], ArrowRight: siblings[place + 1],
    }[key] ?? current;
  }

  function markCurrent() {
    d3.select(element).selectAll("g.frame").classed("current", (d) => d === current);
  }

  element.tabIndex = 0;
  element.addEventListener("keydown", (event) => {
    if (!chart) return;
    if (event.key.startsWith("Arrow")) {
      current = moved(event.key);
      show(describe(current));
      markCurrent();
    } else if (event.key === "Enter" && current) {
      chart.zoomTo(current);
      setTimeout(markCurrent, pace() + 50);
    } else if (event.key === "Escape") {
      current = null;
      chart.resetZoom();
      markCurrent();
      showSummary();
    } else return;
    event.preventDefault();
  });

  const countCalls = () => { element.dataset.calls = element.querySelectorAll("g.frame").length; };

  async function load() {
    const answer = await fetch(element.dataset.flame, { headers: { Accept: "application/json" } });
    if (answer.ok) draw(await answer.json());
    else show("The target was removed.");
  }

  const loadOrWarn = () => load().catch((error) => console.warn("the flame graph could not be updated:", error.message));
  search.addEventListener("input", () => chart && find());
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      search.value = "";
      find();
    } else if (event.key === "Enter" && chart && search.value.trim()) {
      event.preventDefault();
      const matches = d3.select(element).datum().descendants().filter((d) => d.highlight);
      const largest = matches.sort((a, b) => b.data.value - a.data.value)[0];
      if (largest) chart.zoomTo(largest);
    }
  });
  reset.addEventListener("click", () => chart?.resetZoom());
  dark.addEventListener("change", () => { prepare(); chart?.update(); });
  new ResizeObserver(() => {
    // Without a transition: a scroll bar that appears with news would let the whole graph move.
    if (chart && element.clientWidth && element.clientWidth !== chart.width()) {
      chart.transitionDuration(0).width(element.clientWidth).update();
      chart.transitionDuration(pace());
    }
  }).observe(element);
  document.addEventListener("leakwatch:refreshed", loadOrWarn);
  loadOrWarn();
})();
