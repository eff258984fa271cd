// Updates a page without a reload: after a live event, the page is fetched again, and differences are applied in
// place. Focus, scroll position and text in input fields stay.
//
// Elements with data-keep do not change. Each update dispatches "leakwatch:refreshed" on the document.
"use strict";

(() => {
  const SECOND = 1000;
  const PAUSE = 1 * SECOND; // between two refreshes
  const REGULAR = 15 * SECOND; // between two refreshes without an event, for the times of scrapes
  const TICK = 5 * SECOND; // between two updates of relative times
  const RETRY = 30 * SECOND; // after the server has rejected a listener
  const TYPING = 300; // milliseconds from the last key until a filter is applied
  const USER_STATE = new Set(["value", "selected", "open", "checked"]); // attributes that the user changes

  const root = document.documentElement.dataset.root;
  const live = document.getElementById("live");
  let ahead = 0; // server's clock minus local clock, in milliseconds
  let events = null;
  let fetching = false;
  let pending = false; // whether another refresh is due
  let latest = Date.now();
  let timer = 0;

  // --- updates in place ---

  function same(old, fresh) {
    return old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && (old.id || "") === (fresh.id || "");
  }

  function morph(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (old.hasAttribute("data-keep")) return;
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !USER_STATE.has(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value && !USER_STATE.has(name)) old.setAttribute(name, value);
    }
    morphChildren(old, fresh);
  }

  function morphChildren(old, fresh) {
    const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
    const stays = new Set([...fresh.children].filter((child) => child.id).map((child) => child.id));
    let next = old.firstChild;
    const drop = () => {
      const removed = next;
      next = next.nextSibling;
      removed.remove();
    };
    for (const child of [...fresh.childNodes]) {
      let match = child.id ? named.get(child.id) : next;
      if (match && !same(match, child)) match = null;
      if (!match) {
        old.insertBefore(document.importNode(child, true), next);
        continue;
      }
      // A moved element loses the focus, so elements before it that are no longer needed are removed first.
      while (match && child.id && next && next !== match && !stays.has(next.id)) drop();
      if (match === next) next = next.nextSibling;
      else old.insertBefore(match, next);
      morph(match, child);
    }
    while (next) drop();
  }

  // --- fetch ---

  async function refresh() {
    clearTimeout(timer);
    timer = 0;
    if (document.hidden || fetching) {
      pending = true;
      return;
    }
    fetching = true;
    pending = false;
    const address = location.href;
    try {
      const answer = await fetch(address, { cache: "no-store", headers: { Accept: "text/html" } });
      if (answer.status >= 500) throw new Error(answer.statusText);
      const text = await answer.text();
      if (location.href === address) show(new DOMParser().parseFromString(text, "text/html"));
      else pending = true;
      showConnection("");
    } catch {
      showConnection("connection lost");
    }
    fetching = false;
    latest = Date.now();
    if (pending) refreshSoon();
  }

  function show(fresh) {
    const focused = document.activeElement;
    document.title = fresh.title;
    for (const part of ["main", "footer"]) {
      const old = document.querySelector(part);
      const other = fresh.querySelector(part);
      if (old && other) morph(old, other);
    }
    if (document.activeElement !== focused && focused.isConnected) focused.focus({ preventScroll: true });
    readServerTime();
    tick();
    document.dispatchEvent(new CustomEvent("leakwatch:refreshed"));
  }

  function refreshSoon() {
    if (!timer) timer = setTimeout(refresh, Math.max(latest + PAUSE - Date.now(), 0));
  }

  // --- live events ---

  function listen() {
    if (events || document.hidden) return;
    events = new EventSource(`${root}api/v1/events`);
    events.addEventListener("open", () => showConnection(""));
    events.addEventListener("changed", refreshSoon);
    events.addEventListener("error", () => {
      if (events.readyState !== EventSource.CLOSED) return; // the browser reconnects
      stopListening();
      setTimeout(listen, RETRY);
    });
  }

  function stopListening() {
    if (events) events.close();
    events = null;
  }

  function showConnection(error) {
    const text = error || "live";
    if (live.textContent === text) return;
    live.textContent = text;
    live.classList.toggle("lost", Boolean(error));
    live.hidden = false;
  }

  // --- relative times ---

  function readServerTime() {
    const time = document.querySelector("footer time");
    if (time) ahead = Date.parse(time.dateTime) - Date.now();
  }

  function duration(seconds) {
    let rest = Math.max(Math.round(seconds), 0);
    const parts = [];
    for (const [unit, name] of [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]]) {
      const number = Math.floor(rest / unit);
      rest -= number * unit;
      if (number || parts.length) parts.push([number, name]);
    }
    return parts.slice(0, 2).filter(([number]) => number).map(([number, name]) => number + name).join(" ") || "0s";
  }

  function tick() {
    const now = Date.now() + ahead;
    for (const time of document.querySelectorAll("time[data-age]")) {
      const text = duration((now - Date.parse(time.dateTime)) / SECOND);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // --- rows of leaks ---

  // Elements with a tooltip cover the link of their row.
  function openRow(event) {
    const row = event.target.closest("table.leaks tbody tr");
    if (row && !event.target.closest("a") && event.button === 0) row.querySelector("th a").click();
  }

  // --- filters ---

  function filter(form) {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      if (value) query.append(name, value);
    }
    const address = new URL(form.action);
    address.search = query.toString();
    if (new URL(location.href).pathname !== address.pathname) {
      location.assign(address); // the page of a service has its own title
      return;
    }
    history.replaceState(null, "", address);
    refresh();
  }

  function listenToFilters() {
    let typing = 0;
    document.addEventListener("input", (event) => {
      const form = event.target.closest("form.filters");
      if (!form) return;
      clearTimeout(typing);
      typing = setTimeout(() => filter(form), event.target.type === "search" ? TYPING : 0);
    });
    document.addEventListener("submit", (event) => {
      if (!event.target.matches("form.filters")) return;
      event.preventDefault();
      clearTimeout(typing);
      filter(event.target);
    });
  }

  document.documentElement.classList.add("script");
  readServerTime();
  setInterval(tick, TICK);
  listenToFilters();
  document.addEventListener("click", openRow);
  if (document.querySelector("main[data-live]")) {
    listen();
    setInterval(() => Date.now() - latest >= REGULAR - TICK && refreshSoon(), TICK);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) {
        stopListening(); // browsers have six connections per server for all tabs
        return;
      }
      listen();
      refreshSoon();
    });
  }
})();
