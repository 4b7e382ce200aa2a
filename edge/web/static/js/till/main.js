// The till: scans in, one queue to the edge, what the edge says drawn as it is.
import { $, boot, put, t } from "../dom.js";
import { money, quantity, readMilli } from "../figures.js";
import { listen } from "../keyburst.js";
import * as header from "../header.js";
import * as live from "../live.js";
import { Away, get, post } from "../net.js";
import * as tone from "../tone.js";
import * as basket from "./basket.js";
import * as panels from "./panels.js";
import * as pay from "./pay.js";
import { Queue } from "./queue.js";
import * as screen from "./screen.js";
import { tender } from "./ways.js";
import { askQuantity, keypad } from "./quantity.js";

const code = $("#code");
const state = { view: boot.basket, items: [], refused: [], chosen: 0, paid: null, wantsPay: false };
const lists = import("../lists/lists.js"); // the first scan need not wait for it
const lineOf = new Map(); // id of a scan -> the row it became

const SEND = {
  scan: (item) => post("/api/till/scan", { id: item.id, raw: item.raw, qty_milli: item.qty_milli }),
  add: (item) => post("/api/till/add", { id: item.id, sku: item.sku, qty_milli: item.qty_milli }),
  quantity: (item) => post(`/api/till/lines/${item.line}/quantity`, { qty_milli: item.qty_milli }),
  void: (item) => post(`/api/till/lines/${item.line || lineOf.get(item.of)}/void`),
};

function accept(view) {
  if (view.sale === state.view.sale && view.version < state.view.version) return;
  if (view.sale !== state.view.sale) state.chosen = 0;
  state.view = view;
}

function done(item, view) {
  accept(view);
  lineOf.set(item.id, view.shown_line);
  if (item.kind === "scan" || item.kind === "add") {
    const line = view.lines.find((one) => one.line === view.shown_line);
    if (view.to_weigh.length) { tone.good(); say(t("weigh_said", { name: basket.nameOf(view.to_weigh.at(-1)) })); }
    else if (line?.kind === "unknown") { tone.wrong(); say(t("unknown_said", { code: line.code })); }
    else if (line) { tone.good(); say(`${basket.nameOf(line)} ${quantity(line.qty_milli)} ${money(line.net_minor)}. ${t("total")} ${money(view.total_minor)}`); }
  }
  if (state.chosen && !view.lines.some((one) => one.line === state.chosen)) state.chosen = 0;
  draw();
  if (item.kind === "scan" || item.kind === "add") basket.showLine(view.sale, view.shown_line);
  if (state.wantsPay && !queue.items.length) startPay();
}

function refused(item, fault) {
  tone.wrong();
  if ((item.kind === "scan" || item.kind === "add") && fault.code !== "SCAN_PAY_CODE_EARLY") { state.refused.push({ ...item, message: fault.message, code: fault.code }); say(fault.message); }
  else tell(`${fault.message} (${fault.code})`);
  state.wantsPay = false;
  draw();
  if (state.refused.length) basket.showEnd();
  refresh();
}

function away(isAway, fault) {
  if (fault?.status === 401) { location.href = "/sign-in"; return; }
  $("#away").hidden = !isAway;
}

const queue = new Queue(boot.till, {
  send: (item) => SEND[item.kind](item),
  done, refused, away,
  changed: () => { state.items = queue?.items || []; draw(); if (queue && !queue.busy) catchUp(); },
});

function say(text) { $("#said").textContent = text; }

function tell(text) {
  const strip = $("#tell");
  strip.textContent = text;
  strip.hidden = !text;
  clearTimeout(tell.timer);
  if (text) tell.timer = setTimeout(() => { strip.hidden = true; }, 8000);
}

function drawMoney() {
  const { view } = state;
  const total = $("#total");
  const showsPaid = state.paid && panels.showing() === "change";
  const minor = showsPaid ? state.paid.total_minor : view.total_minor;
  total.textContent = money(minor);
  total.classList.toggle("long", money(minor).length > 10);
  $("#total-label").textContent = showsPaid ? t("paid_total") : t("total");
  $("#items").textContent = t("items", { n: quantity(showsPaid ? state.paid.items_milli : view.items_milli) });
  $("#saved").textContent = !showsPaid && view.discount_minor > 0 ? t("saved", { amount: money(view.discount_minor) }) : "";
  const last = view.lines.find((one) => one.line === view.shown_line) || view.lines.at(-1);
  $("#last").textContent = last ? (last.kind === "unknown" ? `${t("unknown_code")}: ${last.code}` : `${basket.nameOf(last)} × ${quantity(last.qty_milli)}  ${money(last.net_minor)}`) : "—";
}

function drawKeys() {
  const { view } = state;
  const blocked = view.unknown + state.refused.length;
  $("#pay").disabled = !view.lines.length && !state.items.length && !view.to_weigh.length;
  $("#pay").setAttribute("aria-disabled", String(blocked > 0));
  $("#held-count").hidden = !view.held;
  $("#held-count").textContent = view.held;
  const strip = $("#blocked");
  strip.hidden = !blocked && !view.to_weigh.length;
  put(strip, blocked ? t("unknown_blocks") : t("weigh_blocks", { n: view.to_weigh.length }));
  const gifts = $("#gifts");
  gifts.hidden = !view.gifts.length;
  gifts.textContent = view.gifts.map((one) => t("gift", { name: basket.nameOf(one), n: quantity(one.qty_milli) })).join(" · ");
  const warn = $("#warnings");
  const told = view.warnings.filter((one) => one.code !== "WARN_OVERSOLD"); // its rows say it
  warn.hidden = !told.length;
  put(warn, told.map((one) => one[boot.lang === "en" ? "en" : "zh"]).join(" "));
  const stale = $("#kept");
  stale.hidden = !queue?.stale?.length;
  if (!stale.hidden) $("#kept-says").textContent = t("kept_scans", { n: queue.stale.length });
  $("#away-count").textContent = state.items.length ? t("kept_here", { n: state.items.length }) : "";
}

let weigh = null; // its panel, loaded when goods first wait for their weight
async function weighs() {
  if (state.view.to_weigh.length) weigh ||= await import("../weigh/panel.js");
  weigh?.sync(state.view, act);
}

function draw() {
  basket.draw(state, act);
  drawMoney();
  drawKeys();
  pay.follow(state.view, act);
  if (queue && !queue.items.length) weighs();
}

function begin() {
  if (panels.showing() === "change") { state.paid = null; panels.close(); drawMoney(); }
  state.refused = state.refused.filter((one) => !one.gone);
}

function scanned(raw) {
  if (tender.busy()) { tone.wrong(); tell(t("paying_now")); return; }
  const money = ["pay", "paycode"].includes(panels.showing()) && tender.payCode(raw);
  if (money) { pay.scanned(money, act); return; }
  const times = /^(\d+(?:\.\d+)?)[*×]$/.exec(code.value.trim());
  if (times) code.value = "";
  if (["pay", "paycode"].includes(panels.showing()) || panels.showing() === "search" || panels.showing() === "why") panels.close();
  begin();
  queue.push("scan", { raw, ...(times ? { qty_milli: readMilli(times[1]) } : {}) });
  basket.showEnd();
}

// Typed by a person: "690…", "3*690…", "3*" for the row, or words to search for.
function typed() {
  const text = code.value.trim();
  if (!text) return;
  const [, times, rest] = /^(?:(\d+(?:\.\d+)?)[*×x])?(.*)$/.exec(text);
  code.value = "";
  if (times && !rest) { const line = current(); if (line) setQuantity(line, readMilli(times)); return; }
  if (/^[\x21-\x7e]*\d[\x21-\x7e]*$/.test(rest)) {
    begin();
    queue.push("scan", { raw: rest, ...(times ? { qty_milli: readMilli(times) } : {}) });
    basket.showEnd();
  } else act.search(rest, times ? readMilli(times) : undefined);
}

function current() {
  return state.view.lines.find((one) => one.line === state.chosen) || state.view.lines.at(-1);
}

function setQuantity(line, milli) {
  if (line.kind !== "product" || !milli) return;
  queue.push("quantity", { line: line.line, qty_milli: milli });
}

async function refresh() {
  try { accept(await get("/api/till/basket")); draw(); } catch { /* the header says what is away */ }
}

async function run(verb) {
  try { return await verb(); } catch (fault) {
    tone.wrong();
    tell(fault instanceof Away ? t("edge_away") : `${fault.message} (${fault.code})`);
    if (fault.status === 401) location.href = "/sign-in";
    return null;
  }
}

function startPay() {
  if (queue.items.length) { state.wantsPay = true; tell(t("waits_for_scans", { n: queue.items.length })); return; }
  state.wantsPay = false;
  tell("");
  if (!state.view.lines.length) return;
  if (!state.view.payable || state.refused.length) {
    tone.wrong();
    const red = state.view.lines.find((one) => one.kind === "unknown");
    if (state.view.to_weigh.length) weighs();
    else if (red) { act.choose(red.line); basket.showLine(state.view.sale, red.line); }
    else tell(state.view.shift ? t("cannot_pay") : t("open_shift_first"));
    return;
  }
  pay.start(state.view, act);
}

const act = {
  choose: (number) => { state.chosen = state.chosen === number ? 0 : number; draw(); if (state.chosen) basket.showLine(state.view.sale, number); },
  step: (line, by) => { const next = line.qty_milli + by * 1000; if (next > 0) setQuantity(line, next); else act.voidLine(line); },
  askQuantity: (line) => askQuantity(line, (milli) => setQuantity(line, milli)),
  explain: (line) => run(async () => (await lists).explain(line, false)),
  voidLine: (line) => { if (line) queue.push("void", { line: line.line }); },
  forget: (item) => { state.refused = state.refused.filter((one) => one !== item); draw(); },
  search: (text, milli) => panels.search(text, (hit) => {
    panels.close();
    begin();
    queue.push("add", { sku: hit.sku, qty_milli: milli, guess: { name: basket.nameOf(hit), price: hit.price_minor }, raw: hit.code });
  }),
  hold: () => run(async () => {
    if (!state.view.lines.length || queue.items.length) return;
    accept(await post("/api/till/hold"));
    begin(); draw(); tell(t("is_held"));
  }),
  resume: () => run(async () => (await lists).held((held) => run(async () => { accept(await post("/api/till/resume", { held })); panels.close(); begin(); draw(); }))),
  payAgain: async (fault) => { await refresh(); if (state.view.lines.length && !tender.busy()) pay.start(state.view, act, fault); else if (fault) tell(fault); },
  pay: () => { if (tender.busy()) return; if (panels.showing() === "pay") pay.enter(act); else { begin(); startPay(); } },
  paid: (answer) => { state.paid = answer; pay.showChange(answer, act); say(answer.by ? `${t("paid_total")} ${money(answer.total_minor)}` : `${t("change")} ${money(answer.change_minor)}`); tone.good(); refresh().then(drawMoney); },
  reprint: (sale) => run(async () => { const { copy_no: n } = await post("/api/till/reprint", { sale }); tell(t("copy_printed", { n })); }),
  receipts: () => run(async () => (await lists).receipts((sale) => act.reprint(sale))),
  clear: () => { if (state.view.lines.length) panels.ask(t("void_sale"), t("void_sale_text", { n: state.view.lines.length }), t("void_sale"), () => run(async () => { accept(await post("/api/till/clear")); panels.close(); draw(); })); },
  drawer: () => run(async () => { await post("/api/till/drawer"); tell(t("drawer_opened")); }),
  search0: () => act.search(""),
  void0: () => {
    const last = state.chosen ? null : state.items.findLast((one) => "raw" in one);
    if (last) queue.push("void", { of: last.id }); else act.voidLine(current());
  },
  quantity0: () => { const line = current(); if (line?.kind === "product") act.askQuantity(line); },
  why0: () => { if (current()) act.explain(current()); },
  next: () => { begin(); code.focus(); },
  keypad: () => keypad((text) => { code.value = text; typed(); }),
  refresh,
  weighed: (view) => { tone.good(); accept(view); draw(); basket.showLine(view.sale, view.shown_line); },
  fault: (fault) => { act.wrong(fault instanceof Away ? t("edge_away") : `${fault.message} (${fault.code})`); refresh(); },
  wrong: (text) => { tone.wrong(); if (text) tell(text); },
};

const KEYS = {
  F2: () => act.search(""),
  F4: act.hold,
  F6: act.resume,
  F8: () => { if (current()) act.explain(current()); },
  F9: act.pay,
  F10: act.drawer,
  Delete: () => { if (!inField()) act.void0(); },
  ArrowDown: (event) => step(event, 1),
  ArrowUp: (event) => step(event, -1),
  Escape: () => { if (panels.showing()) { begin(); panels.close(); } else { code.value = ""; state.chosen = 0; draw(); code.focus(); } },
};

const inField = () => { const field = document.activeElement; return field instanceof HTMLInputElement && field.value !== ""; };

function step(event, by) {
  if (panels.showing() && panels.walk(event, by > 0)) return;
  const { lines } = state.view;
  if (!lines.length || panels.showing()) return;
  event.preventDefault();
  const at = lines.findIndex((one) => one.line === state.chosen);
  const next = at < 0 ? (by > 0 ? 0 : lines.length - 1) : Math.min(Math.max(at + by, 0), lines.length - 1);
  state.chosen = lines[next].line;
  draw();
  basket.showLine(state.view.sale, state.chosen);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Enter") {
    if (event.target === code) { event.preventDefault(); typed(); }
    else if (event.target.id === "find") { event.preventDefault(); panels.pickFirst(); }
    else if (event.target.id === "given") { event.preventDefault(); pay.enter(act); }
    else if (event.target.id === "paycode") { event.preventDefault(); tender.confirmCode(); }
    return;
  }
  const verb = KEYS[event.key];
  if (!verb) return;
  if (tender.busy()) { event.preventDefault(); tender.pointAtCancel(); return; } // first this payment
  if (event.key.startsWith("F")) event.preventDefault();
  if (!event.repeat || event.key.startsWith("Arrow")) verb(event);
});

listen({
  onScan: scanned,
  home: code,
  fieldOf: (active) => (active instanceof HTMLInputElement ? active : code),
  onTyped: (text, field) => {
    if (field !== code || code.value || (text !== "+" && text !== "-")) return false;
    const line = current();
    if (line?.kind === "product") act.step(line, text === "+" ? 1 : -1);
    return true;
  },
});

for (const key of document.querySelectorAll("[data-act]")) key.addEventListener("click", () => act[key.dataset.act]());
$("#entry").addEventListener("submit", (event) => { event.preventDefault(); typed(); });
$("#kept-take").addEventListener("click", () => queue.takeStale(true));
$("#kept-drop").addEventListener("click", () => queue.takeStale(false));
$("#missed-done")?.addEventListener("click", () => run(async () => { await post("/api/till/missed/seen"); $("#missed").hidden = true; }));

let newest = 0; // version that the edge spoke of, beyond what our own answers carry
async function catchUp() {
  if (queue.busy || newest <= state.view.version) return;
  const before = new Map(state.view.lines.map((line) => [line.line, line.qty_milli]));
  const { sale } = state.view;
  await refresh();
  const line = state.view.lines.find((one) => one.line === state.view.shown_line);
  if (!line || state.view.sale !== sale || before.get(line.line) === line.qty_milli) return;
  begin();
  if (line.kind === "unknown") tone.wrong(); else tone.good();
  basket.showLine(sale, line.line);
}
live.on("basket", (fact) => { newest = Math.max(newest, fact.version); catchUp(); });
live.on("scan", (fact) => { tone.wrong(); tell(`${fact[boot.lang === "en" ? "en" : "zh"]} (${fact.code})`); });
live.on("weigh", (view) => weigh?.hear(view));
live.on("payment", () => tender.hear());
live.on("paycode", (fact) => scanned(fact.code));
live.on("spool", (fact) => { const spool = $("#spool"); if (spool) spool.textContent = fact.says; });
live.on("opened", () => { queue.hurry(); refresh(); });
live.on("polled", () => { queue.hurry(); if (!queue.busy) refresh(); });
header.start();
screen.start();
live.start();
state.items = queue.items;
draw();
code.focus();
tender.resume(boot.payments || [], act);
queue.pump();
document.body.dataset.ready = "1";
