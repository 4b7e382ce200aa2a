// A keypad for hands without a keyboard: a row's quantity, or a code.
import { el, icon, t } from "../dom.js";
import { quantity, readMilli } from "../figures.js";
import { close, panel } from "./panels.js";
import { digits, eraser } from "./pay.js";

function ask({ name, title, label, value, keys, check, run }) {
  const field = el("input", { id: "figure", class: "input", inputmode: "none", autocomplete: "off", maxlength: "40", value });
  const wrong = el("p", { class: "strip bad", role: "alert", hidden: true });
  const go = () => {
    const fault = check(field.value);
    if (fault) { wrong.textContent = fault; wrong.hidden = false; field.select(); return; }
    const text = field.value;
    close();
    run(text);
  };
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); event.stopPropagation(); go(); } });
  panel(name, title, [
    el("div", { class: "given" }, el("label", { for: "figure" }, label), field, eraser(field)),
    wrong,
    digits(field, keys),
    el("button", { class: "key pay", type: "button", onclick: go }, icon("ok"), t("take_over"), el("kbd", {}, "Enter")),
  ]);
  field.focus();
  field.select();
}

export function askQuantity(line, run) {
  ask({
    name: "quantity", title: t("quantity"), label: line.unit, value: quantity(line.qty_milli),
    keys: ["7", "8", "9", "4", "5", "6", "1", "2", "3", "0", "."],
    check: (text) => (readMilli(text) ? "" : t("no_quantity")),
    run: (text) => run(readMilli(text)),
  });
}

export function keypad(run) {
  ask({
    name: "keypad", title: t("type_code"), label: t("code"), value: "",
    keys: ["7", "8", "9", "4", "5", "6", "1", "2", "3", "0", "*"],
    check: (text) => (text.trim() ? "" : t("no_code")),
    run,
  });
}
