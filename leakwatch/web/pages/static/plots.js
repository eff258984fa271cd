// The plots of a leak: goroutines over time, of all targets together and of single targets. Needs uPlot.
//
//   <div class="plot" data-plot="leak" data-series="../../api/v1/leaks/shop/0123456789abcdef/series">
//   <div class="plot" data-plot="target" data-target="10.0.0.1:6060">
//
// Plots are drawn after the page has loaded, and again on "leakwatch:refreshed" at the document. data-points is the
// number of points of a plot, data-lines the number of points of each line.
(() => {
  "use strict";

  const LANES = 3; // of labels above each other
  const LANE = 15; // pixels
  const NEAR = 26; // pixels: restarts that are closer are one mark
  const STEPS = 60; // points of a forecast
  const KEY = ["none", "line", "floor", "fit"]; // colours in the legend
  const plots = new Map();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let latest = null; // the latest answer of the API

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--plot-${name}`).trim();
  const count = (value) => (value == null ? "–" : Math.round(value).toLocaleString("en-US"));
  const clock = new Intl.DateTimeFormat("en-GB", {
    weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit",
    timeZone: "UTC",
  });

  // Return the hours followed by the blocks, which are more precise: [times, mean, floor]. Lines connect the middles
  // of hours. In place of the hour in which the growth began, there is a point at its beginning: otherwise the line
  // would rise up to an hour too early.
  function joined({ hours, recent, fit, marks }) {
    const begin = recent.times[0] ?? Infinity;
    const half = hours.seconds / 2;
    // The growth of a service may be fitted to a later part than the beginning.
    const since = (fit && marks?.find(({ kind }) => kind === "first_seen")?.time) ?? fit?.since ?? -Infinity;
    const whole = hours.times.flatMap((time, i) => (time + half <= begin ? [i] : []));
    const before = whole.filter((i) => hours.times[i] + half <= since);
    const after = whole.filter((i) => hours.times[i] - half > since);
    const knee = hours.times[0] - half <= since && since < begin ? [since] : [];
    const row = (name) => {
      const of = (indices) => indices.map((i) => hours[name][i]);
      return [...of(before), ...knee.map(() => of(before).at(-1) ?? fittedAt(fit, since)), ...of(after), ...recent[name]];
    };
    const time = (indices) => indices.map((i) => hours.times[i]);
    return [[...time(before), ...knee, ...time(after), ...recent.times], row("mean"), row("floor")];
  }

  // Return the level of the fitted growth at a time.
  const fittedAt = ({ since, before, per_hour: { value } }, time) =>
    Math.max(before + ((value ?? 0) * (time - since)) / 3600, 0);

  // Add the fitted growth as three rows, which have values from its start to its end.
  function fitted([times, mean, floor], fit) {
    if (!fit || fit.since == null || fit.before == null || fit.per_hour.value == null) {
      const none = times.map(() => null);
      return [times, mean, floor, none, none, none];
    }
    const since = Math.max(fit.since, times[0]);
    const until = fit.until ?? times.at(-1);
    const all = [...new Set([...times, since, Math.min(until, times.at(-1))])].sort((a, b) => a - b);
    const index = new Map(times.map((time, i) => [time, i]));
    const measured = (row) => all.map((time) => (index.has(time) ? row[index.get(time)] : undefined));
    const grown = (rate) =>
      all.map((time) =>
        rate == null || time < since || time > until
          ? null
          : Math.max(fit.before + (rate * (time - fit.since)) / 3600, 0),
      );
    const { value, low, high } = fit.per_hour;
    return [all, measured(mean), measured(floor), grown(value), grown(low), grown(high)];
  }

  // Append the forecast as three rows, which have values from the last point until the memory limit.
  function foreseen(rows, forecast) {
    const now = rows[0].at(-1);
    const until = forecast?.latest ?? forecast?.soonest;
    if (now == null || until == null || until <= now) return [...rows, ...[0, 1, 2].map(() => rows[0].map(() => null))];
    // Many points, the first ones close to each other: the y axis fits the points inside the time range.
    const times = Array.from({ length: STEPS }, (_, i) => now + ((i + 1) / STEPS) ** 2 * (until - now));
    const padded = rows.map((row, i) => [...row, ...(i ? times.map(() => null) : times)]);
    const { value, low, high } = forecast.per_hour;
    const count = rows[1].at(-1);
    const ahead = (rate) => [
      ...rows[0].map((time) => (time === now ? count : null)),
      ...times.map((time) => Math.max(count + ((rate ?? value) * (time - now)) / 3600, 0)),
    ];
    return [...padded, ahead(value), ahead(low), ahead(high)];
  }

  // Merge restarts with overlapping labels.
  function clustered(marks, u) {
    const merged = [];
    for (const mark of marks) {
      const x = u.valToPos(mark.time, "x", true);
      const last = merged.findLast((other) => other.kind === mark.kind);
      const many = ["restart", "deploy", "pause"].includes(mark.kind);
      if (many && last && x - last.x < NEAR * devicePixelRatio) last.times += 1;
      else merged.push({ ...mark, x, times: 1 });
    }
    return merged;
  }

  function label(mark) {
    const build = mark.text.split(" runs ").at(-1); // of a deploy
    const several = mark.kind === "deploy" ? `${mark.times} targets run ${build}` : `${mark.times} ${mark.kind}s`;
    const text = mark.times > 1 ? several : mark.text;
    return text.length > 42 ? `${text.slice(0, 41)}…` : text;
  }

  // Draw events: a line at the time of an event, and its label above if there is room.
  function drawMarks(u, marks) {
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio;
    const begins = Array(LANES).fill(Infinity); // left ends of the labels per lane; labels are drawn from right to left, so no line crosses a label
    ctx.save();
    ctx.font = `${11 * ratio}px system-ui, sans-serif`;
    ctx.textBaseline = "bottom";
    ctx.textAlign = "left";
    for (const mark of clustered(marks, u).reverse()) {
      if (mark.x < bbox.left || mark.x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = ctx.fillStyle = color(mark.kind === "verdict" ? mark.text : mark.kind) || color("text");
      const text = label(mark);
      const width = ctx.measureText(text).width;
      const x = Math.max(Math.min(mark.x - 3 * ratio, u.width * ratio - width - 2 * ratio), bbox.left);
      const lane = begins.findIndex((taken) => x + width + 8 * ratio < taken);
      const foot = bbox.top - (lane < 0 ? 0 : lane) * LANE * ratio;
      ctx.lineWidth = ratio;
      ctx.setLineDash(mark.kind === "verdict" ? [] : [3 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(mark.x, foot);
      ctx.lineTo(mark.x, bbox.top + bbox.height);
      ctx.stroke();
      if (lane < 0) continue;
      begins[lane] = x;
      ctx.fillText(text, x, foot - 2 * ratio);
    }
    ctx.restore();
  }

  // Shade and label the time in which the memory limit is reached.
  function drawLimit(u, forecast) {
    if (forecast?.soonest == null || forecast.latest == null) return;
    const { left, width, top, height } = u.bbox;
    const ratio = devicePixelRatio;
    const [from, to] = [forecast.soonest, forecast.latest].map((time) =>
      Math.min(Math.max(u.valToPos(time, "x", true), left), left + width));
    u.ctx.fillStyle = color("band");
    u.ctx.fillRect(from, top, to - from, height);
    if (to - from < NEAR * ratio) return;
    u.ctx.save();
    u.ctx.font = `${11 * ratio}px system-ui, sans-serif`;
    u.ctx.textAlign = "right";
    u.ctx.fillStyle = color("text");
    u.ctx.fillText(forecast.text, to - 4 * ratio, top + height - 8 * ratio, to - left - 8 * ratio);
    u.ctx.restore();
  }

  // Start at zero unless all values are far above zero.
  function range(_, low, high) {
    if (low == null) return [0, 1];
    const from = low > 0.6 * high ? low - 0.6 * (high - low) : 0;
    return [Math.max(Math.floor(from), 0), Math.max(high * 1.04, from + 2)];
  }

  function lines(wide) {
    const value = (_, raw) => count(raw);
    const band = (u, raw, series, i) => {
      const [low, high] = [u.data[4], u.data[5]].map((row) => (i == null ? null : row[i]));
      return raw == null ? "–" : `${count(raw)} (${count(low)} to ${count(high)})`;
    };
    return [
      { label: "time (UTC)", value: (_, raw) => (raw == null ? "–" : clock.format(raw * 1000)) },
      { label: "goroutines", stroke: () => color("line"), width: wide ? 2 : 1.5, points: { show: false }, value },
      { label: "floor", stroke: () => color("floor"), width: 1, points: { show: false }, show: false, value },
      {
        label: "fitted growth (10–90 %)", stroke: () => color("fit"), width: 1.5, dash: [6, 4],
        points: { show: false }, value: band,
      },
      { label: "low", stroke: "transparent", points: { show: false } },
      { label: "high", stroke: "transparent", points: { show: false } },
      { label: "forecast", stroke: () => color("fit"), width: 1, dash: [2, 4], points: { show: false } },
      { label: "low", stroke: "transparent", points: { show: false } },
      { label: "high", stroke: "transparent", points: { show: false } },
    ];
  }

  const short = (value) =>
    value >= 1e6 ? `${+(value / 1e6).toFixed(1)}M` : value >= 1e4 ? `${+(value / 1e3).toFixed(1)}k` : value.toLocaleString("en-US");

  function axes(wide) {
    const look = {
      stroke: () => color("text"), font: "11px system-ui, sans-serif",
      grid: { stroke: () => color("grid"), width: 1 }, ticks: { show: false },
    };
    const times = [
      [86400, "{D} {MMM}", null, null, null, null, null, null, 1],
      [3600, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
      [60, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
      [1, "{HH}:{mm}:{ss}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
    ];
    return [
      { ...look, space: wide ? 70 : 90, values: times, size: wide ? 34 : 18, show: wide },
      {
        ...look, space: wide ? 36 : 30, size: wide ? 46 : 38, gap: 4,
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6],
        values: (_, splits) => splits.map(short),
      },
    ];
  }

  function options(element, wide, plot) {
    return {
      width: element.clientWidth, height: height(element, wide), ms: 1e-3,
      tzDate: (time) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
      padding: wide ? [LANES * LANE + 2, 26, 0, 0] : [6, 4, 4, 0],
      scales: { x: { time: true }, y: { range } },
      series: lines(wide),
      bands: [[5, 4], [8, 7]].map((series) => ({ series, fill: () => color("band") })),
      axes: axes(wide),
      legend: { show: wide, live: true, markers: { width: 0, fill: (_, i) => color(KEY[i]) } },
      cursor: {
        show: wide, drag: { x: wide, y: false, setScale: false }, points: { size: 7 },
        bind: { dblclick: () => () => zoom(null) },
      },
      hooks: {
        drawAxes: [(u) => wide && drawLimit(u, plot.forecast)],
        draw: [(u) => drawMarks(u, wide ? plot.marks : [])],
        setCursor: [(u) => u.cursor.idx ?? present(u)],
        setSelect: [selected],
      },
    };
  }

  // Show the latest values in the legend while the cursor is outside of the plot.
  const present = (u) => wideEnough(u) && u.setLegend({ idx: measured(u).length - 1 }, false);
  const measured = (u) => u.data[0].slice(0, u.data[1].findLastIndex((value) => value != null) + 1);
  const wideEnough = (u) => u.legend.show && u.data[0].length > 0;

  const height = (element, wide) => (wide ? (element.clientWidth < 560 ? 260 : 330) : 92);

  function draw(element, rows, marks, forecast) {
    const wide = element.dataset.plot === "leak";
    let plot = plots.get(element);
    if (plot) {
      Object.assign(plot, { marks, forecast });
      plot.u.setData(rows, false);
      scale(plot, wide);
      if (plot.u.cursor.idx == null) present(plot.u); // a reader's place in the line stays
    } else {
      element.replaceChildren();
      plot = { marks, forecast };
      plot.u = new uPlot(options(element, wide, plot), rows, element);
      plots.set(element, plot);
      scale(plot, wide);
      present(plot.u);
      if (wide) byKeyboard(element, plot.u);
      new ResizeObserver(() => resize(element, plot.u, wide)).observe(element);
    }
    element.dataset.points = rows[0].length;
    element.dataset.lines = rows.slice(1).map((row) => row.filter((value) => value != null).length).join(" ");
  }

  // --- time ranges ---
  //
  // The query of the page has `range`, in seconds until now, "all" or "limit", or `from` and `to` in unix seconds.

  const ranges = document.getElementById("ranges");

  // Return the first and the last time to show.
  function shown(plot, wide) {
    const times = measured(plot.u);
    const [begin, now] = [times[0], times.at(-1)];
    if (!wide || now == null) return [begin, now];
    const limit = plot.forecast?.latest ?? plot.forecast?.soonest ?? now;
    const query = new URLSearchParams(location.search);
    const [from, to] = ["from", "to"].map((name) => Number(query.get(name)));
    if (from && to > from) return [from, to];
    const range = query.get("range") ?? "all";
    if (range === "limit") return [begin, limit + 0.02 * (limit - begin)];
    if (Number(range) > 0) return [now - Number(range), now];
    return [begin, Math.min(limit, now + (now - begin) / 3)];
  }

  function scale(plot, wide) {
    const [min, max] = shown(plot, wide);
    if (min == null) return;
    plot.u.setScale("x", { min, max: Math.max(max, min + 1) });
    if (wide) mark(plot, min, max);
  }

  // Show which range is selected, and hide ranges that are longer than the history.
  function mark(plot, min, max) {
    const query = new URLSearchParams(location.search);
    const times = measured(plot.u);
    const chosen = query.has("from") ? "zoom" : (query.get("range") ?? "all");
    for (const button of ranges.querySelectorAll("button")) {
      const { range } = button.dataset;
      button.setAttribute("aria-pressed", range === chosen);
      if (range === "zoom") button.hidden = chosen !== "zoom";
      else if (range === "limit") button.hidden = !plot.forecast;
      else if (Number(range)) button.hidden = Number(range) > times.at(-1) - times[0] && range !== chosen;
    }
    Object.assign(plot.u.root.parentElement.dataset, { from: Math.round(min), to: Math.round(max) });
  }

  // Store a range in the address of the page, and apply it; null for everything.
  function zoom(parameters) {
    const address = new URL(location.href);
    address.search = parameters ? new URLSearchParams(parameters).toString() : "";
    history.replaceState(null, "", address);
    for (const [element, plot] of plots) if (element.dataset.plot === "leak") scale(plot, true);
  }

  function selected(u) {
    const { left, width } = u.select;
    if (width < 3) return;
    const [from, to] = [left, left + width].map((x) => Math.round(u.posToVal(x, "x")));
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    if (to > from) zoom({ from, to });
  }

  ranges?.addEventListener("click", (event) => {
    const { range } = event.target.closest("button")?.dataset ?? {};
    if (range) zoom(range === "all" || range === "zoom" ? null : { range });
  });

  function resize(element, u, wide) {
    const width = element.clientWidth;
    if (width && width !== u.width) u.setSize({ width, height: height(element, wide) });
  }

  // The arrow keys move the cursor along the line.
  function byKeyboard(element, u) {
    element.tabIndex = 0;
    element.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const last = measured(u).length - 1;
      const next = Math.min(Math.max((u.cursor.idx ?? (step < 0 ? last + 1 : -1)) + step, 0), last);
      u.setCursor({ left: u.valToPos(u.data[0][next], "x"), top: 10 });
    });
  }

  function show(series) {
    latest = series;
    for (const element of document.querySelectorAll("[data-plot]")) {
      if (element.dataset.plot === "leak") {
        draw(element, foreseen(fitted(joined(series), series.fit), series.forecast), series.marks, series.forecast);
        continue;
      }
      const target = series.targets.find((line) => line.target === element.dataset.target);
      if (target) draw(element, foreseen(fitted(joined(target), target.fit), null), [], null);
    }
    for (const element of plots.keys()) if (!element.isConnected) remove(element);
  }

  function remove(element) {
    plots.get(element).u.destroy();
    plots.delete(element);
  }

  async function load() {
    const element = document.querySelector("[data-series]");
    if (!element) return;
    const answer = await fetch(element.dataset.series, { headers: { Accept: "application/json" } });
    if (answer.ok) show(await answer.json());
  }

  const loadOrWarn = () => load().catch((error) => console.warn("the plots could not be updated:", error.message));
  dark.addEventListener("change", () => {
    [...plots.keys()].forEach(remove);
    if (latest) show(latest);
  });
  document.addEventListener("leakwatch:refreshed", loadOrWarn);
  loadOrWarn();
})();
