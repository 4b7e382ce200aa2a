// The status header: redrawn from each "status" fact; greyed with its age when the stream is lost.
import { $, boot, el, icon, t } from "./dom.js";
import { on } from "./live.js";
import * as screenclock from "./screenclock.js";

const SHOWN = { ok: "ok", warn: "warn", bad: "bad", unknown: "unknown" };
let lastAt = new Date();

function clock(date) {
  return date.toLocaleTimeString(boot.lang === "en" ? "en-GB" : "zh-CN", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

function part(one) {
  return el("span", { class: `part ${one.state}`, title: `${one.name}: ${one.says}` }, icon(one.icon), icon(SHOWN[one.state]), el("span", { class: "word" }, one.name),
    el("span", { class: "sr" }, `: ${one.says}`));
}

function entry(one) {
  return el("div", { class: "told" },
    el("dt", {}, icon(one.icon), one.name, el("span", { class: `badge ${one.state}` }, icon(SHOWN[one.state]), one.says)),
    one.why ? el("dd", {}, one.why) : null,
    el("dd", { class: "can" }, one.can),
    ...(one.more || []).map((line) => el("dd", { class: "more" }, line)));
}

export function draw(status) {
  lastAt = new Date();
  const parts = $("#parts");
  if (!parts || !status.parts) return;
  parts.replaceChildren(...status.parts.map(part));
  $("#sheet dl").replaceChildren(...status.parts.map(entry));
  const sync = $("#unsynced");
  sync.className = `badge ${status.unsynced.state}`;
  $(".word", sync).textContent = status.unsynced.text;
  const ages = $("#ages");
  ages.className = `badge ${status.ages.state}`;
  $(".word", ages).textContent = status.ages.text;
  ages.title = status.ages.detail;
}

export function start() {
  screenclock.start();
  on("status", draw);
  on("stream", ({ alive }) => {
    $("#bar").classList.toggle("stale", !alive);
    const since = $("#since");
    since.hidden = alive;
    since.textContent = alive ? "" : t("as_of", { time: clock(lastAt) });
    const away = $("#away");
    if (away) away.hidden = alive;
  });
  const links = $("#links");
  document.addEventListener("click", (event) => { if (links?.open && !links.contains(event.target)) links.open = false; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && links?.open) { links.open = false; $("summary", links).focus(); } });
}
