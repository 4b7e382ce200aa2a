// The goods of a document: one row per product with a stepper; kept in the browser until booked.
import { $, boot, el, icon, t } from "../dom.js";
import { quantity, readMilli } from "../figures.js";

const NAME = boot.lang === "en" ? "en" : "zh";
export const nameOf = (line) => line[NAME] || line.zh || line.en || line.sku;

export class Lines {
  constructor(store, changed) {
    this.list = $("#lines");
    this.key = store ? `tillmesh.document.${store}` : "";
    this.rows = [];
    this.changed = changed;
  }

  restore() {
    if (!this.key) return 0;
    try { this.rows = JSON.parse(localStorage.getItem(this.key)) || []; } catch { this.rows = []; }
    this.draw();
    return this.rows.length;
  }

  save() {
    if (!this.key) return;
    try {
      if (this.rows.length) localStorage.setItem(this.key, JSON.stringify(this.rows));
      else localStorage.removeItem(this.key);
    } catch { /* private windows: the list still lives in this page */ }
  }

  clear() { this.rows = []; this.save(); this.draw(); }

  add(found, milli = 1000) {
    const row = this.rows.find((one) => one.sku === found.sku);
    if (row) { row.qty_milli += milli; this.rows = [row, ...this.rows.filter((one) => one !== row)]; }
    else this.rows.unshift({ ...found, qty_milli: milli });
    this.save();
    this.draw(found.sku);
  }

  draw(fresh = "") {
    const focused = document.activeElement?.id;
    this.list.replaceChildren(...this.rows.map((row) => this.node(row, row.sku === fresh)));
    if (focused) document.getElementById(focused)?.focus();
    const nothing = $("#no-lines");
    if (nothing) nothing.hidden = this.rows.length > 0;
    this.count();
  }

  count() {
    const pieces = this.rows.reduce((sum, row) => sum + (row.qty_milli || 0), 0);
    $("#sum").textContent = this.rows.length ? `${t("lines_n", { n: this.rows.length })} · ${t("pieces_n", { n: quantity(pieces) })}` : "";
    this.changed(this.rows);
  }

  stepper(row, field, label) {
    const input = el("input", { class: "input", id: `${field}-${row.sku}`, inputmode: "decimal", maxlength: "12", autocomplete: "off", value: quantity(row[field] || 0), "aria-label": `${label}: ${nameOf(row)}` });
    const set = (milli) => { row[field] = Math.max(0, milli); input.value = quantity(row[field]); this.save(); this.told(row); this.count(); };
    input.addEventListener("change", () => {
      const milli = readMilli(input.value || "0");
      input.setAttribute("aria-invalid", String(milli === null));
      if (milli === null) input.value = quantity(row[field] || 0); else set(milli);
    });
    input.addEventListener("focus", () => input.select());
    return el("div", { class: "stepper" },
      el("button", { class: "button", type: "button", "aria-label": `${t("less")}: ${nameOf(row)}`, onclick: () => set((row[field] || 0) - 1000) }, icon("minus")),
      input,
      el("button", { class: "button", type: "button", "aria-label": `${t("more")}: ${nameOf(row)}`, onclick: () => set((row[field] || 0) + 1000) }, icon("plus")));
  }

  told() {}

  acts(row) {
    return el("div", { class: "acts" },
      el("span", { class: "sub" }, row.on_hand_milli === undefined ? "" : t("was_on_hand", { n: quantity(row.on_hand_milli) })),
      el("button", { class: "button quiet danger", type: "button", "aria-label": `${t("take_out")}: ${nameOf(row)}`, onclick: () => { this.rows = this.rows.filter((one) => one !== row); this.save(); this.draw(); } }, icon("void"), t("take_out")));
  }

  node(row, fresh) {
    return el("li", { class: fresh ? "fresh" : "" },
      el("div", {}, el("div", { class: "name" }, nameOf(row)), el("div", { class: "sub mono" }, row.code || row.sku)),
      this.stepper(row, "qty_milli", t("quantity")),
      this.acts(row));
  }
}
