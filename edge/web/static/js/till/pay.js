// Taking money. One id per sale: however often "paid" is pressed or asked again, it is one sale.
import { $, el, icon, t } from "../dom.js";
import { money, notes, quantity, readMinor } from "../figures.js";
import { Away, post } from "../net.js";
import * as tone from "../tone.js";
import { close, panel, showing } from "./panels.js";
import { tender } from "./ways.js";

const OPEN_MS = 300; // the second click of a double click on "Pay" must not take the money
const BOUNCE_MS = 60;
let openedAt = 0;
let current = null; // {sale, due, busy}

const dueOf = ({ sale, total_minor }) => Math.min(total_minor, ...tender.heldOf(sale).map((one) => one.left_minor));

// Priced anew under an open panel: due and notes follow, what was typed stays.
export function follow(view, act) {
  if (showing() !== "pay" || current.busy || current.sale !== view.sale || dueOf(view) === current.due) return;
  const { value } = $("#given");
  const fault = $("#pay-says").textContent;
  close();
  start(view, act, fault, value);
}

export function start(view, act, fault = "", value = "") {
  const parts = tender.heldOf(view.sale);
  const due = dueOf(view);
  current = { sale: view.sale, due, busy: false };
  openedAt = performance.now();
  const given = el("input", { id: "given", class: "input", value, inputmode: "none", autocomplete: "off", maxlength: "12", placeholder: (due / 100).toFixed(2), "aria-describedby": "given-says" });
  const says = el("p", { id: "given-says", class: "given", "aria-live": "polite" });
  const confirm = el("button", { class: "key pay", type: "button", id: "confirm", onclick: (click) => take(act, click) }, icon("ok"), el("span", { class: "word" }, t("paid")), el("kbd", {}, "Enter"));
  const bills = notes(due).map((minor) =>
    el("button", { class: "key", type: "button", onclick: (click) => { given.value = (minor / 100).toFixed(2); tell(); take(act, click); } }, money(minor)));
  const tell = () => {
    const minor = given.value.trim() ? readMinor(given.value) : current.due;
    const short = minor === null || minor < current.due;
    confirm.disabled = short || current.busy;
    says.replaceChildren(
      el("span", { class: short ? "badge bad" : "muted" }, minor === null ? t("no_amount") : short ? t("still_short") : t("change")),
      el("strong", {}, minor === null ? "" : money(Math.abs(minor - current.due))));
  };
  given.addEventListener("input", tell);
  const ways = tender.ways.map((kind) => el("button", { class: "key", type: "button", id: `by-${kind}`, onclick: (click) => by(kind, act, click) },
    icon(kind === "scan" ? "qr" : "pay"), t(kind === "scan" ? "scan_pay" : "card")));
  panel("pay", t(ways.length ? "payment" : "cash"), [
    ...parts.map((one) => el("div", { class: "row spread strip" }, el("span", {}, t("part_paid", { kind: t(one.kind === "card" ? "card" : "scan_pay"), amount: money(one.amount_minor) })),
      el("button", { class: "button", type: "button", onclick: () => { current = null; tender.giveBack(one, act); } }, t("give_back")))),
    ways.length ? el("div", { class: "ways" }, ...ways) : null,
    tender.ways.includes("scan") ? el("p", { class: "hint" }, t("scan_pay_hint")) : null,
    el("div", { class: "given" }, el("label", { for: "given" }, t("given")), given, eraser(given)),
    says,
    el("div", { class: "hands" }, digits(given), el("div", { class: "bill" }, ...bills)),
    el("div", { class: "strip bad", id: "pay-says", role: "alert", hidden: true }),
    el("div", { class: "finish" },
      el("button", { class: "key", type: "button", id: "exact", onclick: (click) => { given.value = ""; tell(); take(act, click); } }, t("exact"), el("kbd", {}, "F9")),
      confirm),
  ], () => { current = null; });
  tell();
  given.focus();
  if (fault) tellFault(fault);
}

// Not in cash: so much as was typed, or all that is due.
function by(kind, act, click = null, code = "") {
  if (!current || current.busy || (click?.detail > 0 && performance.now() - openedAt < OPEN_MS)) return;
  const typed = $("#given")?.value.trim();
  const amount = typed ? readMinor(typed) : tender.asked() || current.due;
  if (!amount || amount > current.due) { tone.wrong(); tellFault(t("no_more_than", { amount: money(current.due) })); return; }
  const { sale } = current;
  if (kind === "scan" && !code) { tender.askCode(sale, amount, act); current = { sale, due: amount, busy: false }; } else { current = null; tender.collect({ sale, kind, amount, code }, act); }
}

// A payment code was scanned on the payment screen.
export function scanned(code, act) { by("scan", act, null, code); }

export function digits(field, keys = ["7", "8", "9", "4", "5", "6", "1", "2", "3", "00", "0", "."]) {
  const press = (text) => {
    field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    field.focus();
  };
  return el("div", { class: "pad-keys" },
    ...keys.map((key) => el("button", { class: "key", type: "button", onclick: () => press(key) }, key)));
}

export function eraser(field) {
  const back = () => {
    const end = field.selectionEnd;
    field.setRangeText("", field.selectionStart === end ? Math.max(0, end - 1) : field.selectionStart, end, "end");
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    field.focus();
  };
  return el("button", { class: "key square", type: "button", "aria-label": t("backspace"), onclick: back }, icon("backspace"));
}

// Enter and the confirm key; F9 again is exact cash when nothing was typed.
export function enter(act) {
  if ($("#given")?.value || performance.now() - openedAt > BOUNCE_MS) take(act);
}

async function take(act, click = null) {
  const pointed = click?.detail > 0; // a button that the keyboard presses counts no clicks
  if (!current || current.busy || (pointed && performance.now() - openedAt < OPEN_MS)) return;
  const given = $("#given");
  const minor = given.value.trim() ? readMinor(given.value) : current.due;
  if (minor === null || minor < current.due) { tone.wrong(); return; }
  const paying = current;
  paying.busy = true;
  lock(true, t("taking"));
  const body = { sale: paying.sale, tenders: [{ kind: "cash", given_minor: minor }] };
  for (;;) {
    try {
      const answer = await post("/api/till/pay", body);
      current = null;
      act.paid(answer);
      return;
    } catch (fault) {
      if (fault instanceof Away) {
        lock(true, t("asking_again"));
        await new Promise((resolve) => setTimeout(resolve, 1000));
      } else {
        paying.busy = false;
        tone.wrong();
        lock(false, "");
        tellFault(`${fault.message} (${fault.code})`);
        act.refresh();
        return;
      }
    }
  }
}

function lock(busy, says) {
  const inside = $("#panel");
  for (const one of inside.querySelectorAll("button, input")) one.disabled = busy;
  const word = $("#confirm .word");
  if (word) word.textContent = busy ? says : t("paid");
}

function tellFault(text) {
  const says = $("#pay-says");
  if (says) { says.textContent = text; says.hidden = false; }
  $("#given")?.focus();
}

// The change stays, large, until the next scan starts the next sale.
export function showChange(answer, act) {
  panel("change", t("sale_done"), [
    el("div", { class: "change" },
      el("div", { class: "label" }, t(answer.by ? "paid_total" : "change")),
      el("div", { class: "figure", id: "change" }, money(answer.by ? answer.total_minor : answer.change_minor)),
      el("p", { class: "muted" }, t("given_of", { given: money(answer.given_minor), total: money(answer.total_minor) }))),
    el("div", { class: "row spread small muted" }, el("span", {}, t("receipt_no", { number: answer.receipt_number })), el("span", {}, t("items", { n: quantity(answer.items_milli) }))),
    el("div", { class: "spool", id: "spool" }),
    answer.oversold.length ? el("div", { class: "strip warn" }, t("oversold_sold", { n: answer.oversold.length })) : null,
    el("div", { class: "bill" },
      el("button", { class: "key", type: "button", onclick: () => act.reprint(answer.sale) }, icon("receipt"), t("print_again")),
      el("button", { class: "key", type: "button", id: "next", onclick: () => act.next() }, icon("next"), t("next_sale"), el("kbd", {}, "Esc"))),
    el("p", { class: "hint" }, t("scan_starts_next")),
  ]);
  $("#next").focus({ preventScroll: true });
}
