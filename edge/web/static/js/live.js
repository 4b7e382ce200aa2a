// One stream per browser: one tab leads and passes on what it hears; closed when its page goes.
// Without a stream (cap reached, edge away) the leader polls. No secure context is needed.
import { boot, newId } from "./dom.js";

const ME = newId();
const BEAT_MS = 1000;
const SILENT_MS = 3200;
const POLL_MS = 4000;
const handlers = new Map();
const channel = "BroadcastChannel" in window ? new BroadcastChannel("tillmesh-live") : null;
let source = null;
let leading = false;
let leaderHeardAt = 0;
let heardAt = 0;
let alive = null;
let poller = null;
let retry = null;

export function on(topic, handler) {
  if (!handlers.has(topic)) handlers.set(topic, []);
  handlers.get(topic).push(handler);
}

function tell(topic, data) {
  for (const handler of handlers.get(topic) || []) handler(data);
}

function heard(topic, data) {
  heardAt = Date.now();
  setAlive(true);
  if (topic !== "ping") tell(topic, data);
}

function setAlive(now) {
  if (alive === now) return;
  alive = now;
  tell("stream", { alive: now });
}

function share(topic, data) {
  heard(topic, data);
  channel?.postMessage({ kind: "fact", topic, data });
}

function open() {
  source?.close();
  source = new EventSource("/live");
  for (const topic of boot.topics || []) {
    source.addEventListener(topic, (event) => share(topic, JSON.parse(event.data || "{}")));
  }
  source.onopen = () => { stopPolling(); share("ping", {}); share("opened", {}); };
  source.onerror = () => {
    source.close();
    startPolling();
    clearTimeout(retry);
    retry = setTimeout(() => leading && open(), 1200 + Math.random() * 800);
  };
}

async function poll() {
  try {
    const answer = await fetch("/live/now", { credentials: "same-origin" });
    if (!answer.ok) throw new Error(String(answer.status));
    share("status", await answer.json());
    share("polled", {});
  } catch {
    setAlive(false);
    channel?.postMessage({ kind: "lost" });
  }
}

function startPolling() {
  if (poller) return;
  poll();
  poller = setInterval(poll, POLL_MS);
}

function stopPolling() {
  clearInterval(poller);
  poller = null;
}

function lead() {
  leading = true;
  open();
  channel?.postMessage({ kind: "lead", id: ME });
}

function yieldTo() {
  leading = false;
  source?.close();
  source = null;
  stopPolling();
  clearTimeout(retry);
}

function hear({ data: said }) {
  if (said.kind === "fact") { leaderHeardAt = Date.now(); heard(said.topic, said.data); }
  else if (said.kind === "lost") setAlive(false);
  else if (said.kind === "who" && leading) channel.postMessage({ kind: "lead", id: ME });
  else if (said.kind === "gone") setTimeout(() => { if (!leading && Date.now() - leaderHeardAt > 60) lead(); }, 80 + Math.random() * 160);
  else if (said.kind === "lead" && said.id !== ME) {
    leaderHeardAt = Date.now();
    if (leading && said.id < ME) yieldTo();
    else if (leading) channel.postMessage({ kind: "lead", id: ME });
  }
}

export function start() {
  if (channel) {
    channel.onmessage = hear;
    channel.postMessage({ kind: "who" });
  }
  setTimeout(() => { if (!leaderHeardAt) lead(); }, channel ? 120 : 0);
  setInterval(() => {
    if (leading) channel?.postMessage({ kind: "lead", id: ME });
    else if (Date.now() - leaderHeardAt > SILENT_MS) lead();
    if (heardAt && Date.now() - heardAt > 40000) setAlive(false);
  }, BEAT_MS);
  addEventListener("pagehide", () => {
    if (leading) { yieldTo(); channel?.postMessage({ kind: "gone" }); }
  });
  addEventListener("pageshow", (event) => { if (event.persisted && !leading) channel?.postMessage({ kind: "who" }); });
}

export const nudge = () => { if (leading && poller) open(); };
