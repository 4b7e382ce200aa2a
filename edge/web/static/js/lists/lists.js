// Panels that list what the edge answers: held sales, receipts, reasons. They come beside the page.
import { $, boot, el, icon, t } from "../dom.js";
import { money, quantity } from "../figures.js";
import { get } from "../net.js";
import { choices, panel } from "../till/panels.js";

const NAME = boot.lang === "en" ? "en" : "zh";

export async function held(resume) {
  const { held: rows } = await get("/api/till/held");
  panel("held", t("held_sales"), [choices(rows.map((row) =>
    el("button", { class: "hit", type: "button", onclick: () => resume(row.held) },
      el("span", { class: "name" }, row[`first_${NAME}`] || row.first_zh || t("held_sales")),
      el("span", { class: "sub" }, t("held_by", { time: row.time, till: row.till, who: row.person_name })),
      el("span", { class: "price" }, t("items", { n: quantity(row.items_milli) })))), t("none_held"))]);
  $("#panel .hit")?.focus();
}

function verdict(row, off) {
  return el("div", { class: `reason ${row.applied ? "yes" : "no"}` },
    icon(row.applied ? "ok" : "bad"),
    el("span", { class: "name" }, row.name[NAME]),
    el("span", { class: "off" }, off ? `−${money(off)}` : ""),
    el("span", { class: "text" }, row.why[NAME], row.applied ? "" : el("span", { class: "small" }, ` (${row.why.code})`)));
}

export async function explain(line, every) {
  const { reasons, note } = await get(`/api/till/explain?line=${line ? line.line : 0}&every=${every ? 1 : 0}`);
  const off = Object.fromEntries((line?.promotions || []).map((one) => [one.rule, one.amount_minor]));
  const rows = [...reasons].sort((a, b) => Number(b.applied) - Number(a.applied));
  const title = line ? line[NAME] || line.zh : t("whole_sale");
  panel("why", t("why"), [
    el("p", {}, el("strong", {}, title), line ? ` · ${quantity(line.qty_milli)} × ${money(line.unit_price_minor)}` : ""),
    note ? el("p", { class: "strip warn", id: "rules-note" }, note) : null,
    line && !rows.some((row) => !row.why.code.startsWith("LINE_")) ? el("p", { class: "muted" }, t("no_rule_touches")) : null,
    el("div", {}, rows.map((row) => verdict(row, off[row.rule]))),
    every ? null : el("button", { class: "button", type: "button", onclick: () => explain(line, true) }, t("all_rules")),
  ]);
}

export async function receipts(reprint) {
  const { sales } = await get("/api/till/recent");
  panel("receipts", t("last_receipts"), [choices(sales.map((sale) =>
    el("button", { class: "hit", type: "button", onclick: () => reprint(sale.sale) },
      el("span", { class: "name" }, sale.receipt_number),
      el("span", { class: "sub" }, t("sold_at", { time: sale.time, n: quantity(sale.items_milli) })),
      el("span", { class: "price" }, money(sale.total_minor)))), t("no_receipts"))]);
  $("#panel .hit")?.focus();
}
