// Receive a transfer: by the list, by scanning pieces, or by the note's QR before the news came.
import { $, boot, el, icon, t } from "../dom.js";
import { quantity } from "../figures.js";
import { listen } from "../keyburst.js";
import { Away, get, post } from "../net.js";
import * as tone from "../tone.js";
import { Lines, nameOf } from "./lines.js";
import "./page.js";

const find = $("#find");
let transfer = boot.transfer;
let note = "";
let busy = false;

class Arrivals extends Lines {
  said(row) {
    const off = row.sent_milli - row.qty_milli;
    if (off === 0) return el("span", { class: "badge ok" }, icon("ok"), t("complete"));
    if (off > 0) return el("span", { class: "badge warn" }, t("missing_n", { n: quantity(off) }));
    return el("span", { class: "badge bad" }, t("too_many", { n: quantity(-off) }));
  }

  told(row) { document.getElementById(`said-${row.sku}`)?.replaceChildren(this.said(row)); }

  acts(row) {
    return el("div", { class: "acts" },
      el("span", {}, el("span", { class: "sub" }, `${t("sent_n", { n: quantity(row.sent_milli) })} `), el("span", { id: `said-${row.sku}` }, this.said(row))),
      el("span", { class: "row" }, el("span", { class: "sub" }, t("broken")), this.stepper(row, "broken_milli", t("broken"))));
  }
}

const lines = new Arrivals("", () => {});

function fill(rows) {
  lines.rows = rows.map((row) => ({ ...row, qty_milli: 0, broken_milli: 0 }));
  lines.draw();
}

function unknown(text) {
  $("#unknown").hidden = !text;
  $("#unknown").textContent = text;
  if (text) tone.wrong();
}

const waiting = [];
async function scanned(code) {
  if (code.startsWith("TM1:T:") && !transfer) { $("#note-text").value = code; readNote(); return; }
  waiting.push(code);
  if (waiting.length > 1) return;
  while (waiting.length) {
    try {
      const { found } = await get(`/api/goods/find?code=${encodeURIComponent(waiting[0])}`);
      const row = found && lines.rows.find((one) => one.sku === found.sku);
      if (row) { unknown(""); tone.good(); row.qty_milli += 1000; lines.draw(row.sku); }
      else unknown(found ? `${nameOf(found)}: ${t("note_wrong")}` : t("not_known", { code: waiting[0] }));
      waiting.shift();
    } catch (fault) {
      if (!(fault instanceof Away)) { unknown(fault.message); waiting.shift(); } else { unknown(t("edge_away")); await new Promise((resolve) => setTimeout(resolve, 1000)); }
    }
  }
}

async function readNote() {
  const text = $("#note-text").value.trim();
  const fault = $("#note-fault");
  fault.hidden = true;
  try {
    const said = await post("/api/notes/read", { text });
    transfer = said.transfer;
    note = text;
    $("#by-note").hidden = true;
    $("#goods-part").hidden = false;
    $("#note-said").hidden = false;
    $("#note-said").textContent = `${said.from_name} · ${said.transfer}`;
    fill(said.lines);
    find.focus();
  } catch (wrong) {
    fault.textContent = wrong instanceof Away ? t("edge_away") : `${wrong.message} (${wrong.code})`;
    fault.hidden = false;
    tone.wrong();
  }
}

$("#read-note")?.addEventListener("click", readNote);
$("#all-came").addEventListener("click", () => { for (const row of lines.rows) row.qty_milli = row.sent_milli; lines.draw(); $("#book").focus(); });
find.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  const code = find.value.trim();
  find.value = "";
  if (code) scanned(code);
});

$("#arrival").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (busy || !lines.rows.length) return;
  busy = true;
  $("#book").disabled = true;
  $("#fault").hidden = true;
  const body = { receipt: boot.receipt, by_note: note, lines: lines.rows.map((row) => ({ sku: row.sku, qty_milli: row.qty_milli, broken_milli: row.broken_milli })) };
  try {
    const done = await post(`/api/transfers/${transfer}/receive`, body);
    location.href = done.go;
  } catch (fault) {
    busy = false;
    $("#book").disabled = false;
    $("#fault").hidden = false;
    $("#fault").textContent = fault instanceof Away ? t("edge_away") : `${fault.message} (${fault.code})`;
  }
});

const home = () => (transfer ? find : $("#note-text"));
listen({ onScan: scanned, fieldOf: (active) => (active?.matches("input, select, textarea") ? active : home()) });
if (boot.lines.length) fill(boot.lines);
if (transfer && matchMedia("(pointer: fine)").matches) find.focus();
