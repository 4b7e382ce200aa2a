// Count, receive, scrap, send: collect goods by scan, code or search, then book them once.
import { $, boot, el, t } from "../dom.js";
import { quantity } from "../figures.js";
import { listen } from "../keyburst.js";
import { Away, get, post } from "../net.js";
import * as tone from "../tone.js";
import { Lines, nameOf } from "./lines.js";
import "./page.js";

const form = $("#goods");
const find = $("#find");
const hits = $("#hits");
const book = $("#book");
let busy = false;
let shown = [];
let chosen = -1;
const waiting = [];

const lines = new Lines(boot.kind, (rows) => { book.disabled = busy || !rows.length; });

function unknown(text) {
  const notice = $("#unknown");
  notice.hidden = !text;
  notice.textContent = text;
  if (text) tone.wrong();
}

// Scans are looked up one after another, so none overtakes another.
async function scanned(code) {
  waiting.push(code);
  if (waiting.length > 1) return;
  while (waiting.length) {
    try {
      const { found } = await get(`/api/goods/find?code=${encodeURIComponent(waiting[0])}`);
      if (found) { unknown(""); tone.good(); lines.add(found); } else unknown(t("not_known", { code: waiting[0] }));
      waiting.shift();
    } catch (fault) {
      if (!(fault instanceof Away)) { unknown(`${fault.message} (${fault.code})`); waiting.shift(); }
      else { unknown(t("edge_away")); await new Promise((resolve) => setTimeout(resolve, 1000)); }
    }
  }
}

function showHits(rows) {
  shown = rows;
  chosen = rows.length ? 0 : -1;
  hits.hidden = !rows.length;
  find.setAttribute("aria-expanded", String(rows.length > 0));
  hits.replaceChildren(...rows.map((row, at) => el("li", { role: "option", id: `hit-${at}`, "aria-selected": String(at === chosen), onclick: () => take(row) },
    el("span", { class: "name" }, nameOf(row)), el("strong", {}, t("on_hand", { n: quantity(row.on_hand_milli) })), el("span", { class: "sub mono" }, row.code || row.sku))));
  mark();
}

function mark() {
  for (const [at, node] of [...hits.children].entries()) node.setAttribute("aria-selected", String(at === chosen));
  if (chosen >= 0) { find.setAttribute("aria-activedescendant", `hit-${chosen}`); hits.children[chosen].scrollIntoView({ block: "nearest" }); } else find.removeAttribute("aria-activedescendant");
}

function take(row) {
  find.value = "";
  showHits([]);
  unknown("");
  lines.add(row);
  find.focus();
}

let asked = 0;
let timer = 0;
async function look() {
  const mine = ++asked;
  const words = find.value.trim();
  if (!words) { showHits([]); return; }
  try {
    const answer = await get(`/api/goods?q=${encodeURIComponent(words)}`);
    if (mine === asked) showHits(answer.hits.slice(0, 8));
  } catch { /* the header says what is away */ }
}

find.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, 120); });
find.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    chosen = Math.min(Math.max(chosen + (event.key === "ArrowDown" ? 1 : -1), 0), shown.length - 1);
    mark();
  } else if (event.key === "Escape") showHits([]);
  else if (event.key === "Enter") {
    event.preventDefault();
    const text = find.value.trim();
    if (!text) return;
    if (/^\d{4,}$/.test(text) || !shown.length) { find.value = ""; showHits([]); asked += 1; clearTimeout(timer); scanned(text); } else take(shown[Math.max(chosen, 0)]);
  }
});
document.addEventListener("click", (event) => { if (!event.target.closest(".finder")) showHits([]); });

function fail(text) {
  const notice = $("#fault");
  notice.hidden = !text;
  notice.textContent = text;
  if (text) notice.scrollIntoView({ block: "center" });
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (busy || !lines.rows.length) return;
  const missing = [...form.querySelectorAll("[required]")].find((field) => !field.value.trim());
  if (missing) { missing.setAttribute("aria-invalid", "true"); missing.focus(); return; }
  busy = true;
  book.disabled = true;
  fail("");
  const body = { document: boot.document, lines: lines.rows.map((row) => ({ sku: row.sku, qty_milli: row.qty_milli })) };
  for (const field of form.querySelectorAll("input[name], select[name]")) body[field.name] = field.name === "opening" ? true : field.value.trim();
  try {
    const done = await post(`/api/documents/${boot.kind}`, body);
    lines.clear();
    location.href = done.go;
  } catch (fault) {
    busy = false;
    book.disabled = false;
    fail(fault instanceof Away ? t("edge_away") : `${fault.message} (${fault.code})`);
  }
});

listen({ onScan: scanned, home: find, fieldOf: (active) => (active?.matches("input, select, textarea") ? active : find) });
const kept = lines.restore();
if (kept) { $("#kept").hidden = false; $("#kept-says").textContent = t("kept_lines", { n: kept }); }
$("#anew").addEventListener("click", () => { lines.clear(); $("#kept").hidden = true; find.focus(); });
const wanted = new URLSearchParams(location.search).get("sku");
if (wanted && !kept) scanned(wanted);
if (matchMedia("(pointer: fine)").matches) find.focus();
