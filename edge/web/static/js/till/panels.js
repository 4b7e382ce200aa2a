// What stands beside the basket: one panel at a time in place of the keys, never over the basket.
import { $, boot, el, icon, t } from "../dom.js";
import { money, quantity } from "../figures.js";
import { get } from "../net.js";

const NAME = boot.lang === "en" ? "en" : "zh";
let onClose = null;
let kind = "";

export const showing = () => kind;

export function panel(name, title, inside, closed = null) {
  close();
  kind = name;
  onClose = closed;
  const host = $("#panel");
  host.replaceChildren(
    el("header", {}, el("h2", { id: "panel-title" }, title),
      el("button", { class: "button quiet", type: "button", "aria-label": t("close"), onclick: () => close() }, icon("bad"), el("kbd", {}, "Esc"))),
    el("div", { class: "inside" }, inside.filter(Boolean)));
  host.hidden = false;
  $("#keys").hidden = true;
  host.tabIndex = -1;
  host.focus({ preventScroll: true }); // a panel may have a better place: it takes the focus then
  return host;
}

export function close() {
  const closed = onClose;
  const was = kind;
  kind = "";
  onClose = null;
  $("#panel").hidden = true;
  $("#panel").replaceChildren();
  $("#keys").hidden = false;
  closed?.();
  if (was) $("#code").focus();
}

export function choices(rows, nothing) {
  return rows.length ? el("ul", { class: "hits" }, rows.map((row) => el("li", {}, row))) : el("p", { class: "muted" }, nothing);
}

// Arrow keys walk through a list of buttons.
export function walk(event, down) {
  const hits = [...$("#panel").querySelectorAll(".hit")];
  if (!hits.length) return false;
  const at = hits.indexOf(document.activeElement);
  const next = down ? Math.min(at + 1, hits.length - 1) : at - 1;
  event.preventDefault();
  if (next < 0) $("#find")?.focus();
  else hits[next].focus();
  return true;
}

export function search(text, pick) {
  const results = el("div", { id: "hits", "aria-live": "polite" });
  const find = el("input", { id: "find", class: "input", type: "search", autocomplete: "off", maxlength: "60", value: text });
  let asked = 0;
  const look = async () => {
    const mine = ++asked;
    const words = find.value.trim();
    if (!words) { results.replaceChildren(el("p", { class: "muted" }, t("search_hint"))); return; }
    try {
      const { hits } = await get(`/api/goods?q=${encodeURIComponent(words)}`);
      if (mine !== asked) return;
      results.replaceChildren(choices(hits.map((hit) =>
        el("button", { class: "hit", type: "button", onclick: () => pick(hit) },
          el("span", { class: "name" }, hit[NAME] || hit.zh || hit.sku),
          el("span", { class: "sub" }, hit.code || hit.sku, ` · ${t("on_hand", { n: quantity(hit.on_hand_milli) })}`),
          el("span", { class: "price" }, hit.price_minor === null ? t("no_price") : money(hit.price_minor)))),
      t("nothing_found", { text: words })));
    } catch (fault) {
      if (mine === asked) results.replaceChildren(el("p", { class: "strip bad", role: "alert" }, fault.code ? fault.message : t("edge_away")));
    }
  };
  let timer = 0;
  find.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, 90); });
  panel("search", t("search"), [el("div", { class: "field" }, el("label", { for: "find" }, t("search_label")), find), results]);
  find.focus();
  look();
}

export const pickFirst = () => $("#panel .hit")?.click();

// A question asked in place: the answer is a second press on another key, never Enter by accident.
export function ask(title, text, yes, run) {
  panel("ask", title, [
    el("p", {}, text),
    el("button", { class: "key", type: "button", onclick: () => close() }, icon("back"), t("no_back"), el("kbd", {}, "Esc")),
    el("button", { class: "key danger", type: "button", id: "yes", onclick: run }, icon("void"), yes),
  ]);
  $("#panel .key")?.focus();
}
