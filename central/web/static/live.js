// One event stream per browser: the leading tab holds it and tells the others.
// Leading is a lease in localStorage, so it also works on plain http in a shop's network.
import { ago, now, setNow, tick } from "./clock.js";

const LEASE_MS = 4000;
const POLL_MS = 5000;
const STALE_MS = 20000; // the server pings every 15 s
const PATIENCE_MS = 3000; // for the stream to open before asking instead
const me = `${performance.timeOrigin}-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
const channel = new BroadcastChannel("tillmesh-live");
const listeners = new Map();
const badge = document.getElementById("link-state");
let source = null;
let retryAt = 0;
let polledAt = -POLL_MS;
let openedAt = 0;
let lastHeard = performance.now();
let lastData = 0; // when the stream itself said something
let state = "";
let mark = document.documentElement.dataset.mark; // how far facts had been told when the page was drawn
let fresh = false; // a stream that has said nothing yet

/** Call `listener(data)` for facts of this topic; "*" hears all. */
export function on(topic, listener) {
  if (!listeners.has(topic)) listeners.set(topic, []);
  listeners.get(topic).push(listener);
}

function tell(topic, data) {
  for (const one of listeners.get(topic) || []) one(data, topic);
  for (const one of listeners.get("*") || []) one(data, topic);
}

function show(next) {
  if (next !== "lost") lastHeard = performance.now();
  if (next === state) return;
  state = next;
  if (badge) {
    badge.dataset.state = next;
    badge.querySelector("[data-words]").textContent = badge.dataset[next] || "";
  }
  const lost = next === "lost";
  document.documentElement.dataset.liveLost = lost ? "1" : "0";
  const since = badge && badge.querySelector("[data-since]");
  if (since) {
    since.hidden = !lost;
    since.dataset.age = lost ? String(now() - (performance.now() - lastHeard)) : "";
    tick(badge);
  }
}

function heard(message) {
  if (message.topic === "ping") {
    setNow(message.data.now);
    mark = message.data.mark;
  }
  if (message.state) show(message.state);
  else if (state === "lost" || state === "") show("live");
  lastHeard = performance.now();
  if (message.topic) tell(message.topic, message.data);
}

function spread(message) {
  channel.postMessage(message);
  heard(message);
}

channel.onmessage = (event) => {
  if (!source) heard(event.data);
};

function lease() {
  try {
    return JSON.parse(localStorage.getItem("tillmesh-lease")) || {};
  } catch {
    return {};
  }
}

function lead() {
  const held = lease();
  const free = !held.id || held.id === me || Date.now() > held.until;
  if (!free) return false;
  localStorage.setItem("tillmesh-lease", JSON.stringify({ id: me, until: Date.now() + LEASE_MS }));
  return lease().id === me;
}

function openStream() {
  openedAt = performance.now();
  source = new EventSource("/live");
  fresh = true;
  source.onopen = () => { fresh = true; };
  source.onmessage = (event) => {
    lastData = performance.now();
    const message = { state: "live", ...JSON.parse(event.data) };
    // Between the drawing of the page, or the last stream, and this word things may have changed.
    const gap = fresh && message.topic === "ping" && message.data.mark !== mark;
    fresh = false;
    spread(message);
    if (gap) spread({ topic: "lost", data: {} });
  };
  source.onerror = () => {
    if (source && source.readyState === EventSource.CLOSED) {
      source.close(); // 503: the house is full; ask now and then instead
      source = null;
      retryAt = performance.now() + 20000;
    }
  };
}

function closeStream() {
  if (source) source.close();
  source = null;
  lastData = 0;
}

/** Open, and not silent for longer than a dead line would be. */
function flowing() {
  const open = source && source.readyState === EventSource.OPEN;
  return open && performance.now() - lastData < STALE_MS;
}

async function ask() {
  try {
    const answer = await fetch("/api/now", { headers: { Accept: "application/json" } });
    if (answer.status === 401) location.reload();
    return answer.ok ? await answer.json() : null;
  } catch {
    return null; // the next beat tries again
  }
}

async function poll() {
  const told = await ask();
  if (!told) return;
  setNow(told.now);
  spread({ state: "polling", topic: "lost", data: {} });
}

// A tab that follows another hears from now on; what came before, it asks once.
async function follow() {
  const told = await ask();
  if (told && told.mark !== mark) heard({ topic: "lost", data: {} });
}

function beat() {
  if (lead()) {
    if (!source && performance.now() >= retryAt) openStream();
    if (flowing()) spread({ state: "live" });
    else if (source && lastData && performance.now() - lastData > 2 * STALE_MS) closeStream();
  } else {
    closeStream();
  }
  const silent = performance.now() - lastHeard > 2 * LEASE_MS;
  const patient = source && performance.now() - openedAt < PATIENCE_MS;
  if (!flowing() && !patient && lease().id === me && performance.now() - polledAt >= POLL_MS) {
    polledAt = performance.now();
    poll();
  }
  if (silent) show("lost");
  if (silent && badge) tick(badge);
}

window.addEventListener("pagehide", () => {
  closeStream();
  if (lease().id === me) localStorage.removeItem("tillmesh-lease");
});
window.addEventListener("pageshow", (event) => event.persisted && beat());
window.addEventListener("storage", (event) => event.key === "tillmesh-lease" && beat());

/** Start when the page has live parts. */
export function start() {
  setInterval(beat, 1000);
  beat();
  if (!source) follow();
}

export { ago };
