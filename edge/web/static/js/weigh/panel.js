// Weighed goods: what lies on the till's scale as the edge says it, the tare, and the one key that
// takes the weight. The page never sends a weight that it read; by hand only while no scale works.
// The till loads this when goods first wait for their weight.
import { $, boot, el, icon, t } from "../dom.js";
import { money, quantity, readMilli } from "../figures.js";
import { get, post } from "../net.js";
import { close, panel, showing } from "../till/panels.js";
import { digits, eraser } from "../till/pay.js";

const NAME = boot.lang === "en" ? "en" : "zh";
const TARES = [0, 5, 10, 20];
const ASK_MS = 1500; // the stream tells of each change; this is for when there is none
let act = null; // the till's verbs
let shown = null; // the WeighingView that is drawn
let opening = false;
let busy = false;
let timer = 0;

const path = (verb) => `/api/till/weighing/${shown.line}/${verb}`;

async function ask() {
  clearTimeout(timer);
  try { hear((await get("/api/till/weighing")).weighing); } catch { /* the header says what is away */ }
  if (showing() === "weigh") timer = setTimeout(ask, ASK_MS);
}

// One verb at a time; when it is refused the goods still wait.
async function run(verb, body) {
  if (busy || !shown) return;
  busy = true;
  try {
    const said = await post(path(verb), body);
    if (said.lines) act.weighed(said);
    else hear(said.weighing);
  } catch (fault) { act.fault(fault); } finally { busy = false; }
}

// What the edge says of the pan, for the panel that is open.
export function hear(view) {
  if (!view || showing() !== "weigh") return;
  const other = shown.line !== view.line || shown.manual !== view.manual;
  shown = view;
  if (other) build();
  draw();
}

function tareKey(tareG) {
  return el("button", { class: "key", type: "button", "data-tare": tareG, onclick: () => run("tare", { tare_g: tareG }) }, `${tareG} g`);
}

// No scale: a figure, its keys, and the key that takes it.
function byHand() {
  const field = el("input", { id: "typed-weight", class: "input", inputmode: "none", autocomplete: "off", maxlength: "8", placeholder: "0.000" });
  const go = () => {
    const milli = readMilli(field.value);
    if (milli) run("typed", { qty_milli: milli }); else { act.wrong(t("no_quantity")); field.select(); }
  };
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); event.stopPropagation(); go(); } });
  return [
    el("div", { class: "given" }, el("label", { for: "typed-weight" }, t("weight_by_hand", { unit: shown.unit })), field, eraser(field)),
    digits(field, ["7", "8", "9", "4", "5", "6", "1", "2", "3", "0", "."]),
    finish("take-typed", t("take_over"), go),
  ];
}

function onScale() {
  const tareField = el("input", { id: "tare", class: "input", inputmode: "numeric", autocomplete: "off", maxlength: "4", placeholder: "0" });
  tareField.addEventListener("change", () => { if (/^\d+$/.test(tareField.value)) run("tare", { tare_g: Number(tareField.value) }); });
  return [
    el("div", { class: "tares" }, el("label", { for: "tare" }, t("tare_g")), tareField, ...TARES.map(tareKey)),
    finish("take-weight", t("take_weight"), () => { if (shown.state === "ready") run("take"); else act.wrong(""); }),
  ];
}

function finish(id, word, go) {
  return el("div", { class: "finish" },
    el("button", { class: "key", type: "button", id: "aside", onclick: () => run("aside") }, icon("void"), t("not_weighed")),
    el("button", { class: "key pay", type: "button", id, onclick: go }, icon("ok"), word, el("kbd", {}, "Enter")));
}

function build() {
  panel("weigh", t("weigh"), [
    el("p", { class: "weigh-name" }, el("strong", {}, shown[NAME] || shown.zh), el("span", { class: "muted" }, ` ${money(shown.unit_price_minor)}/${shown.unit}`)),
    shown.manual ? null : el("div", { class: "pan" },
      el("div", { class: "net", id: "net" }, "—"),
      el("div", { class: "sum", id: "weigh-price" }, ""),
      el("div", { class: "muted", id: "gross" }, "")),
    el("p", { class: "strip warn", id: "weigh-says", role: "status" }),
    el("p", { class: "muted", id: "weigh-more", hidden: true }),
    ...(shown.manual ? byHand() : onScale()),
  ], () => clearTimeout(timer));
  (shown.manual ? $("#typed-weight") : $("#take-weight")).focus({ preventScroll: true });
}

function draw() {
  $("#weigh-says").textContent = shown.why ? shown.why[NAME] : "";
  $("#weigh-says").hidden = !shown.why;
  $("#weigh-more").hidden = !shown.more;
  $("#weigh-more").textContent = shown.more ? t("weigh_more", { n: shown.more }) : "";
  if (shown.manual) return;
  const ready = shown.state === "ready";
  $("#net").textContent = ready ? `${quantity(shown.net_g)} kg` : "—";
  $("#weigh-price").textContent = ready ? money(shown.price_minor) : "";
  $("#gross").textContent = shown.gross_g === null ? "" : t("gross_tare", { gross: quantity(shown.gross_g), tare: quantity(shown.tare_g) });
  $("#take-weight").setAttribute("aria-disabled", String(!ready));
  $("#take-weight").classList.toggle("off", !ready);
  for (const key of document.querySelectorAll("[data-tare]")) key.setAttribute("aria-pressed", String(Number(key.dataset.tare) === shown.tare_g));
  const tare = $("#tare");
  if (document.activeElement !== tare) tare.value = shown.tare_g || "";
}

// The basket was drawn: open the panel when goods wait, close it when none do any more.
export async function sync(view, acts) {
  act = acts;
  const waits = view.to_weigh.length > 0;
  if (!waits && showing() === "weigh") close();
  if (!waits || opening || !["", "change"].includes(showing())) return;
  opening = true;
  try {
    const { weighing } = await get("/api/till/weighing");
    if (weighing && ["", "change"].includes(showing())) {
      shown = weighing;
      build();
      draw();
      timer = setTimeout(ask, ASK_MS);
    }
  } catch { /* the header says what is away; the next drawing tries again */ } finally { opening = false; }
}
