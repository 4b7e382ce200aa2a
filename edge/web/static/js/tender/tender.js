// Money that is not cash: asked for once under a number of our own, followed until it is settled.
import { $, boot, el, icon, newId, t } from "../dom.js";
import { money } from "../figures.js";
import { Away, get, post } from "../net.js";
import * as tone from "../tone.js";
import { panel, showing } from "../till/panels.js";

const NAME = boot.lang === "en" ? "en" : "zh";
const LOOK_MS = 700;
const PAY_CODE = /^(?:1[0-5]\d{16}|(?:2[5-9]|30)\d{14,22}|62\d{17})$/;
let job = null; // {attempt, sale, kind, amount, view}: what the till waits for
let held = []; // paid parts of the sale that is not finished yet
let wake = () => {};

export const ways = (boot.tenders || []).filter((kind) => kind !== "cash");
export const busy = () => job !== null;
export const heldOf = (sale) => held.filter((one) => one.sale === sale);

// The digits of a payment code, or "" for any other code.
export function payCode(raw) {
  const text = raw.trim().replace(/^\][A-Za-z][0-9A-Za-z]/, "");
  return ways.includes("scan") && PAY_CODE.test(text) ? text : "";
}

export function askCode(sale, amount, act) {
  const field = el("input", { id: "paycode", class: "input", inputmode: "none", autocomplete: "off", maxlength: "40" });
  const go = () => { const code = payCode(field.value); if (code) collect({ sale, kind: "scan", amount, code }, act); else { tone.wrong(); field.select(); } };
  panel("paycode", t("scan_pay"), [
    el("p", { class: "asked", id: "paycode-due" }, money(amount)),
    el("p", { role: "status" }, t("scan_pay_code")),
    el("div", { class: "field" }, el("label", { for: "paycode" }, t("or_type_code")), field),
    el("div", { class: "finish" },
      el("button", { class: "key", type: "button", onclick: () => act.pay() }, icon("back"), t("no_back"), el("kbd", {}, "F9")),
      el("button", { class: "key pay", type: "button", id: "collect", onclick: go }, icon("ok"), t("collect"), el("kbd", {}, "Enter"))),
  ]);
  askCode.amount = amount;
  askCode.go = go;
  field.focus();
}

export async function collect({ sale, kind, amount, code = "" }, act) {
  if (job) return;
  const mine = job = { attempt: newId().replaceAll("-", ""), sale, kind, amount, view: null };
  show();
  const body = { attempt: mine.attempt, sale, kind, amount_minor: amount, code };
  for (;;) {
    try {
      take(await post("/api/till/payments", body), act);
      act.refresh(); // the sale is frozen now: the page shows what is being paid
      break;
    } catch (fault) {
      if (fault instanceof Away) { says(t("asking_again")); await sleep(1000); continue; }
      if (job === mine) { job = null; tone.wrong(); act.payAgain(`${fault.message} (${fault.code})`); }
      return;
    }
  }
  follow(mine, act);
}

// After a reload: what the shop's computer says is open at this till.
export function resume(views, act) {
  held = views.filter((one) => one.held && one.left_minor > 0);
  const open = views.find((one) => one.waits || (one.held && one.left_minor === 0));
  if (!open || job) return;
  job = { attempt: open.attempt, sale: open.sale, kind: open.kind, amount: open.amount_minor, view: open };
  show();
  follow(job, act);
}

export function hear() { wake(); }

async function follow(mine, act) {
  while (job === mine) {
    await sleep(LOOK_MS);
    if (job !== mine) return;
    try { take(await get(`/api/till/payments/${mine.attempt}`), act); } catch (fault) {
      if (fault.status === 401) { location.href = "/sign-in"; return; }
      says(fault instanceof Away ? t("edge_away") : `${fault.message} (${fault.code})`);
    }
  }
}

function sleep(ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => { clearTimeout(timer); resolve(); };
  });
}

function take(view, act) {
  job.view = view;
  says(view.says[NAME]);
  const waiting = view.waits || (view.held && view.left_minor === 0);
  if (!view.paid && waiting) return;
  const { kind } = job;
  job = null;
  held = held.filter((one) => one.attempt !== view.attempt && !view.paid);
  if (view.paid) { act.paid({ ...view.paid, by: kind }); return; }
  if (view.held) { held.push(view); tone.good(); act.payAgain(""); return; }
  tone.wrong();
  act.payAgain(view.says[NAME]);
}

function show() {
  const title = t(job.kind === "card" ? "card" : "scan_pay");
  const stop = el("button", { class: "key danger", type: "button", id: "cancel-payment", onclick: cancel }, icon("void"), t("cancel_payment"));
  const host = panel("paying", title, [
    el("p", { class: "asked", id: "paying-amount" }, money(job.amount)),
    el("p", { id: "paying-says", role: "status", "aria-live": "polite" }, job.view?.says[NAME] || t("asking")),
    el("div", { class: "progress", "aria-hidden": "true" }),
    job.kind === "card" ? el("p", { class: "hint" }, t("card_hint")) : null,
    el("div", { class: "finish" }, stop),
  ]);
  host.querySelector("header button").hidden = true; // a payment is undone, never just left
}

function says(text) {
  const line = $("#paying-says");
  if (line && line.textContent !== text) line.textContent = text;
}

async function cancel() {
  if (!job) return;
  $("#cancel-payment").disabled = true;
  says(t("cancelling"));
  try { await post(`/api/till/payments/${job.attempt}/cancel`); } catch (fault) {
    says(fault instanceof Away ? t("edge_away") : `${fault.message} (${fault.code})`);
    if ($("#cancel-payment")) $("#cancel-payment").disabled = false;
  }
  wake();
}

// Money that was taken for this sale goes back to the customer.
export function giveBack(view, act) {
  if (job) return;
  held = held.filter((one) => one.attempt !== view.attempt);
  job = { attempt: view.attempt, sale: view.sale, kind: view.kind, amount: view.amount_minor, view };
  show();
  cancel();
  follow(job, act);
}

export const asked = () => (showing() === "paycode" ? askCode.amount : 0);
export const confirmCode = () => askCode.go?.();
export const pointAtCancel = () => $("#cancel-payment")?.focus();
