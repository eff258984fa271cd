// A flame graph of a target's latest profile: as wide as goroutines, as red as growth. Needs d3 and d3-flame-graph.
//
//   <div class="flame" data-flame="../../api/v1/targets/shop/10.0.0.1%3A6060/flame">
//
// Drawn when the page has come, and again on "leakwatch:refreshed" at the document; says how many calls it shows in
// data-calls, how many are found in data-found.
(() => {
  "use strict";

  const at = document.querySelector("[data-flame]");
  if (!at) return;
  const [search, reset, said] = ["flame-search", "flame-reset", "flame-said"].map((id) => document.getElementById(id));
  const CELL = 20; // pixels of a call's height
  const CERTAIN = 0.02; // of all goroutines an hour: the growth that is shown as the strongest, at least
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const pace = () => (calm.matches ? 0 : 250); // milliseconds of a transition
  let chart;
  let graph;
  let strongest = 1;
  let zoomed = [];

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--flame-${name}`).trim();
  const number = (value) => Math.round(value).toLocaleString("en-US");

  function growth(value) {
    if (value == null || Math.abs(value) < 0.05) return "not growing";
    const digits = Math.abs(value) < 10 ? 1 : 0;
    return `${value > 0 ? "+" : "−"}${Math.abs(value).toLocaleString("en-US", { maximumFractionDigits: digits })} an hour`;
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

  function followed(root, names) {
    let found = root;
    for (const name of names) {
      found = found.children?.find((call) => call.data.name === name);
      if (!found) return null;
    }
    return found;
  }

  function make() {
    chart = flamegraph
      .default()
      .width(at.clientWidth)
      .cellHeight(CELL)
      .inverted(true)
      .minFrameSize(2)
      .resetHeightOnZoom(true)
      .transitionDuration(pace())
      .setColorMapper(shade)
      .getName(({ data }) => data.name.slice(data.name.split("[")[0].lastIndexOf("/") + 1))
      .setLabelHandler(describe)
      .setSearchMatch((d, term) => d.data.name.toLowerCase().includes(term.toLowerCase()))
      .setSearchHandler(tell)
      .setDetailsHandler((text) => (text ? say(text) : rest()))
      .onClick((d) => {
        zoomed = path(d);
        reset.hidden = !zoomed.length;
        counted();
      });
    d3.select(at).datum(graph.root).call(chart);
  }

  let resting = "";
  const say = (text) => { said.textContent = text; };
  const rest = () => say(resting);

  function tell(results, sum, total) {
    at.dataset.found = results.length;
    resting = results.length
      ? `${number(results.length)} calls match; ${number(sum)} of ${number(total)} goroutines are in them.`
      : "No call matches.";
    rest();
  }

  function find() {
    const term = search.value.trim();
    if (term) chart.search(term);
    else {
      delete at.dataset.found;
      resting = overall();
      chart.clear();
      rest();
    }
  }

  function overall() {
    const left = graph.left_out ? `; ${number(graph.left_out)} more are in stacks too small to show` : "";
    return `${number(graph.root.value)} goroutines, ${growth(graph.root.growth)}${left}. Click a call to see what is beneath it.`;
  }

  function draw(found) {
    graph = found;
    strongest = Math.max(steepest(found.root), CERTAIN * found.root.value, 1);
    prepare();
    if (!found.root.value) {
      at.replaceChildren();
      chart = undefined;
      resting = found.scraped_at == null ? "No profile yet." : "The latest profile has no goroutines that are followed.";
      rest();
      return;
    }
    if (!chart) {
      at.replaceChildren();
      make();
    } else {
      // At once: what is drawn anew every second must not move, for calls that change places grow out of each other.
      chart.transitionDuration(0).update(found.root);
      const again = zoomed.length && followed(d3.select(at).datum(), zoomed);
      if (again) chart.zoomTo(again);
      chart.transitionDuration(pace());
    }
    resting = overall();
    if (search.value.trim()) find();
    else rest();
    counted();
  }

  const counted = () => { at.dataset.calls = at.querySelectorAll("g.frame").length; };

  async function load() {
    const answer = await fetch(at.dataset.flame, { headers: { Accept: "application/json" } });
    if (answer.ok) draw(await answer.json());
    else say("The target is no longer there.");
  }

  const quietly = () => load().catch((error) => console.warn("the flame graph is as it was:", error.message));
  search.addEventListener("input", () => chart && find());
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      search.value = "";
      find();
    } else if (event.key === "Enter" && chart && search.value.trim()) {
      event.preventDefault();
      const found = d3.select(at).datum().descendants().filter((d) => d.highlight);
      const largest = found.sort((a, b) => b.data.value - a.data.value)[0];
      if (largest) chart.zoomTo(largest);
    }
  });
  reset.addEventListener("click", () => chart?.resetZoom());
  dark.addEventListener("change", () => { prepare(); chart?.update(); });
  new ResizeObserver(() => {
    if (chart && at.clientWidth && at.clientWidth !== chart.width()) chart.width(at.clientWidth).update();
  }).observe(at);
  document.addEventListener("leakwatch:refreshed", quietly);
  quietly();
})();
