// The customer's window: one picture after another from the edge, the newest only. It holds nothing,
// so a reload draws the same; it never touches the sale.
import { $, boot, el, t } from "../dom.js";
import { money, quantity } from "../figures.js";
import * as live from "../live.js";

const NAME = boot.lang === "en" ? "en" : "zh";
const STALE_MS = 5000;
let asking = false;
let again = false;

const nameOf = (one) => one[NAME] || one.zh || one.en;

function row(line) {
  return el("li", {},
    el("span", { class: "name" }, nameOf(line), ...line[`promotions_${NAME}`].map((one) => el("span", { class: "off" }, one))),
    el("span", { class: "qty" }, `${quantity(line.qty_milli)}${line.unit === "pc" ? "" : ` ${line.unit}`} × ${money(line.unit_price_minor)}`),
    el("span", { class: "sum" }, line.net_minor < line.gross_minor ? el("s", {}, money(line.gross_minor)) : "", money(line.net_minor)));
}

function big(label, amount, small = "") {
  return [el("div", { class: "label" }, label), el("div", { class: "figure" }, amount), el("div", { class: "small" }, small)];
}

function foot(picture) {
  if (picture.phase === "paid") return big(t("change"), money(picture.change_minor), `${t("total")} ${money(picture.total_minor)} · ${t("given", { amount: money(picture.given_minor) })} · ${t("thanks")}`);
  if (picture.phase === "weigh") {
    const goods = picture.weighing;
    const tare = goods.tare_g ? ` · ${t("tare", { n: goods.tare_g })}` : "";
    return big(`${t("on_scale")}: ${nameOf(goods)} ${money(goods.unit_price_minor)}/${goods.unit}`,
      goods.price_minor === null ? "—" : money(goods.price_minor), goods.net_g === null ? "" : `${quantity(goods.net_g)} kg${tare}`);
  }
  if (picture.phase === "welcome") return [el("div", { class: "figure" }, t("welcome"))];
  return big(t("total"), money(picture.total_minor), picture.saved_minor > 0 ? t("saved", { amount: money(picture.saved_minor) }) : "");
}

function draw(picture) {
  document.body.dataset.phase = picture.phase;
  const goods = $("#goods");
  goods.hidden = !picture.lines.length;
  goods.replaceChildren(...picture.lines.map(row));
  goods.scrollTop = goods.scrollHeight;
  $("#foot").replaceChildren(...foot(picture));
}

async function look() {
  if (asking) { again = true; return; }
  asking = true;
  try {
    do {
      again = false;
      const answer = await fetch("/customer/picture", { credentials: "same-origin" });
      if (answer.ok) draw(await answer.json());
    } while (again);
  } catch { /* the edge is away: the last picture stands, the next word draws it anew */ } finally { asking = false; }
}

for (const topic of ["basket", "weigh", "sale", "opened", "polled"]) live.on(topic, look);
setInterval(look, STALE_MS); // the change gives way to the welcome
live.start();
draw(boot.picture);
document.body.dataset.ready = "1";
