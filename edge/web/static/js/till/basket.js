// Draws the basket: what the edge confirmed, then what is still on its way there.
import { $, boot, el, icon, t } from "../dom.js";
import { money, quantity } from "../figures.js";

const NAME = boot.lang === "en" ? "en" : "zh";
const list = $("#rows");
const drawn = new Map(); // row key -> {node, mark}
const prices = new Map(); // code -> {name, price}: what this page has seen, for rows on their way
const PRICES_MAX = 2000;

export const nameOf = (line) => line[NAME] || line.zh || line.en || line.sku;

function remember(line) {
  if (!line.code || line.kind !== "product") return;
  if (prices.size > PRICES_MAX) prices.delete(prices.keys().next().value);
  prices.set(line.code, { name: nameOf(line), price: line.unit_price_minor });
}

function cell(kind, ...children) {
  return el("span", { class: kind }, ...children);
}

function tools(line, act) {
  const small = (label, name, run, key) =>
    el("button", { class: "button", type: "button", onclick: run }, icon(name), label, key ? el("kbd", {}, key) : null);
  const square = (label, name, run) =>
    el("button", { class: "button square", type: "button", "aria-label": label, onclick: run }, icon(name));
  if (line.kind === "unknown") {
    return el("div", { class: "tools" },
      small(t("search"), "search", () => act.search(""), "F2"),
      small(t("take_out"), "void", () => act.voidLine(line), "Del"));
  }
  return el("div", { class: "tools" },
    line.weighed ? null : square(t("one_less"), "minus", () => act.step(line, -1)),
    small(t("quantity"), "quantity", () => act.askQuantity(line), "n*"),
    line.weighed ? null : square(t("one_more"), "plus", () => act.step(line, 1)),
    small(t("why"), "why", () => act.explain(line), "F8"),
    small(t("take_out"), "void", () => act.voidLine(line), "Del"));
}

function weight(line) {
  if (!line.weight || line.weight.by === "label") return null;
  if (line.weight.by === "manual") return el("div", { class: "sub hand" }, t("by_hand"));
  return el("div", { class: "sub" }, t("gross_tare", { gross: quantity(line.weight.gross_g), tare: quantity(line.weight.tare_g) }));
}

function savings(line) {
  return line.promotions.map((one) =>
    el("div", { class: "off" }, `${one[NAME] || one.zh || one.rule} −${money(one.amount_minor)}`));
}

function productRow(line, number, chosen, act) {
  const off = line.discount_minor > 0;
  const row = el("div", { class: "cols", onclick: () => act.choose(line.line) },
    cell("no", String(number)),
    el("div", {},
      el("button", { class: "name pick", type: "button", "aria-pressed": String(chosen) }, nameOf(line)),
      el("div", { class: "sub" }, line.code || line.sku, line.oversold ? el("span", { class: "less" }, ` · ${t("oversold", { n: quantity(line.on_hand_milli) })}`) : ""),
      weight(line), ...savings(line)),
    cell("qty", quantity(line.qty_milli), line.unit === "pc" ? "" : el("span", { class: "small muted unit" }, line.unit)),
    cell("num", money(line.unit_price_minor)),
    cell("num amount", off ? el("s", { class: "was" }, money(line.gross_minor)) : "", money(line.net_minor)));
  return [row, chosen ? tools(line, act) : null];
}

function unknownRow(line, number, chosen, act) {
  const row = el("div", { class: "cols", onclick: () => act.choose(line.line) },
    cell("no", icon("warn")),
    el("div", {},
      el("button", { class: "name pick mono", type: "button", "aria-pressed": String(chosen) }, line.code),
      el("div", { class: "sub" }, line.reason ? line.reason[NAME] : t("unknown_code"))),
    cell("num amount", t("unknown_short")));
  return [row, tools(line, act)];
}

function pendingRow(item) {
  const guess = prices.get(item.raw) || item.guess || {};
  return [el("div", { class: "cols" },
    cell("no"),
    el("div", {}, el("span", { class: "name" }, guess.name || item.raw), el("div", { class: "sub" }, guess.name ? item.raw || "" : t("on_its_way"))),
    cell("qty", quantity(item.qty_milli || 1000)),
    cell("num", guess.price ? money(guess.price) : "…"), cell("num amount", "…"))];
}

function refusedRow(item, act) {
  return [el("div", { class: "cols" },
    cell("no", icon("warn")),
    el("div", {}, el("span", { class: "name mono" }, item.raw || item.guess?.name || ""), el("div", { class: "sub" }, `${item.message} (${item.code})`)),
    el("button", { class: "button square", type: "button", "aria-label": t("take_out"), onclick: () => act.forget(item) }, icon("bad")))];
}

function place(key, mark, kind, build, before) {
  let row = drawn.get(key);
  if (!row) {
    row = { node: el("li"), mark: "" };
    drawn.set(key, row);
  }
  if (row.mark !== mark) {
    const held = row.node.contains(document.activeElement);
    row.node.className = `line ${kind}`;
    row.node.replaceChildren(...build().filter(Boolean));
    if (held) $(".pick", row.node)?.focus({ preventScroll: true });
    row.mark = mark;
  }
  row.seen = true;
  if (list.children[before] !== row.node) list.insertBefore(row.node, list.children[before] || null);
  return row.node;
}

function flash(node) {
  node.classList.remove("flash");
  void node.offsetWidth;
  node.classList.add("flash");
}

// state: {view, items on their way, refused, chosen line}
export function draw(state, act) {
  for (const row of drawn.values()) row.seen = false;
  let at = 0;
  const touched = new Set(state.items.filter((i) => i.line).map((i) => i.line));
  for (const line of state.view.lines) {
    const chosen = state.chosen === line.line;
    const kind = [line.kind, chosen ? "chosen" : "", line.line === state.view.shown_line ? "last" : "", touched.has(line.line) ? "pending" : ""].join(" ");
    const guess = prices.get(line.code);
    const build = line.kind === "unknown" ? unknownRow : productRow;
    const node = place(`l${state.view.sale}/${line.line}`, JSON.stringify([line, kind, at]), kind, () => build(line, at + 1, chosen, act), at);
    if (guess && line.kind === "product" && guess.price !== line.unit_price_minor) flash(node);
    remember(line);
    at += 1;
  }
  for (const item of state.items.filter((i) => i.kind === "scan" || i.kind === "add")) {
    place(`i${item.id}`, item.id, "pending", () => pendingRow(item), at);
    at += 1;
  }
  for (const item of state.refused) {
    place(`r${item.id}`, item.id, "refused", () => refusedRow(item, act), at);
    at += 1;
  }
  for (const [key, row] of drawn) {
    if (!row.seen) { row.node.remove(); drawn.delete(key); }
  }
  $("#empty").hidden = at > 0;
  list.hidden = at === 0;
}

export function showEnd() {
  list.scrollTop = list.scrollHeight;
}

export function showLine(sale, number) {
  drawn.get(`l${sale}/${number}`)?.node.scrollIntoView({ block: "nearest" });
}
