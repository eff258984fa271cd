// Keeps a page as it is now, without reloading it: news come from the server, the page is fetched again and what
// differs is changed in place, so that focus, scroll position and what somebody is typing stay.
//
// Elements with data-keep are left alone; other scripts hear "leakwatch:refreshed" on the document.
"use strict";

(() => {
  const SECOND = 1000;
  const CALM = 1 * SECOND; // between two refreshes
  const REGULAR = 15 * SECOND; // refresh also without news: the last scrapes
  const TICK = 5 * SECOND; // of what says how long ago
  const AGAIN = 30 * SECOND; // until the next try when the server has no room for one more listener
  const TYPING = 300; // milliseconds after the last key until a filter counts
  const MINE = new Set(["value", "selected", "open", "checked"]); // what the reader sets

  const root = document.documentElement.dataset.root;
  const live = document.getElementById("live");
  let ahead = 0; // of the server's clock, in milliseconds
  let news = null;
  let fetching = false;
  let wanted = false;
  let latest = Date.now();
  let timer = 0;

  // --- change in place ---

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
      if (!fresh.hasAttribute(name) && !MINE.has(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value && !MINE.has(name)) old.setAttribute(name, value);
    }
    morphChildren(old, fresh);
  }

  function morphChildren(old, fresh) {
    const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
    const stays = new Set([...fresh.children].filter((child) => child.id).map((child) => child.id));
    let at = old.firstChild;
    const drop = () => {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    };
    for (const child of [...fresh.childNodes]) {
      let match = child.id ? named.get(child.id) : at;
      if (match && !same(match, child)) match = null;
      if (!match) {
        old.insertBefore(document.importNode(child, true), at);
        continue;
      }
      // What is moved loses the focus: rather take away what stands before it and is not needed.
      while (match && child.id && at && at !== match && !stays.has(at.id)) drop();
      if (match === at) at = at.nextSibling;
      else old.insertBefore(match, at);
      morph(match, child);
    }
    while (at) drop();
  }

  // --- fetch ---

  async function refresh() {
    clearTimeout(timer);
    timer = 0;
    if (document.hidden || fetching) {
      wanted = true;
      return;
    }
    fetching = true;
    wanted = false;
    const address = location.href;
    try {
      const answer = await fetch(address, { cache: "no-store", headers: { Accept: "text/html" } });
      if (answer.status >= 500) throw new Error(answer.statusText);
      const text = await answer.text();
      if (location.href === address) show(new DOMParser().parseFromString(text, "text/html"));
      else wanted = true;
      say("");
    } catch {
      say("connection lost");
    }
    fetching = false;
    latest = Date.now();
    if (wanted) soon();
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
    learnTime();
    tick();
    document.dispatchEvent(new CustomEvent("leakwatch:refreshed"));
  }

  function soon() {
    if (!timer) timer = setTimeout(refresh, Math.max(latest + CALM - Date.now(), 0));
  }

  // --- news ---

  function listen() {
    if (news || document.hidden) return;
    news = new EventSource(`${root}api/v1/events`);
    news.addEventListener("open", () => say(""));
    news.addEventListener("changed", soon);
    news.addEventListener("error", () => {
      if (news.readyState !== EventSource.CLOSED) return; // it comes back by itself
      hush();
      setTimeout(listen, AGAIN);
    });
  }

  function hush() {
    if (news) news.close();
    news = null;
  }

  function say(trouble) {
    const said = trouble || "live";
    if (live.textContent === said) return;
    live.textContent = said;
    live.classList.toggle("lost", Boolean(trouble));
    live.hidden = false;
  }

  // --- how long ago ---

  function learnTime() {
    const told = document.querySelector("footer time");
    if (told) ahead = Date.parse(told.dateTime) - Date.now();
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
      const said = duration((now - Date.parse(time.dateTime)) / SECOND);
      if (time.textContent !== said) time.textContent = said;
    }
  }

  // --- filters ---

  function filter(form) {
    const asked = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      if (value) asked.append(name, value);
    }
    const address = new URL(form.action);
    address.search = asked.toString();
    if (new URL(location.href).pathname !== address.pathname) {
      location.assign(address); // the page of a service has a title of its own
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
  learnTime();
  setInterval(tick, TICK);
  listenToFilters();
  if (document.querySelector("main[data-live]")) {
    listen();
    setInterval(() => Date.now() - latest >= REGULAR - TICK && soon(), TICK);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) {
        hush(); // browsers have six connections for all tabs of a server
        return;
      }
      listen();
      soon();
    });
  }
})();
