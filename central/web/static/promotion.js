// The editor of a rule: the document is the truth, the form shows and changes parts of it.
// What the form does not know stays in the document untouched.
import { matchBundle, writeBundle } from "./bundle.js";

const form = document.getElementById("draft");
const text = document.getElementById("f-text");
const ruleId = document.getElementById("f-rule");
const state = document.getElementById("json-state");
const faults = document.getElementById("faults");
const fields = [...form.querySelectorAll("[data-path]")];
const ticks = [...form.querySelectorAll("[data-list]")];
const scopes = [...form.querySelectorAll('[name="scope"]')];
const type = document.getElementById("f-type");
const KINDS = ["percent_off", "bundle", "amount_off", "fixed_price"];
const OWN = { percent_off: ["percent"], amount_off: ["off_minor"], fixed_price: ["price_minor"],
  bundle: ["slots", "effect", "favor", "allocation"] };
let rule = {};

function get(path) {
  return path.split(".").reduce((at, key) => (at && typeof at === "object" ? at[key] : undefined), rule);
}

function put(path, value) {
  const keys = path.split(".");
  const last = keys.pop();
  const trail = [];
  let at = rule;
  for (const key of keys) {
    if (!at[key] || typeof at[key] !== "object" || Array.isArray(at[key])) {
      if (value === undefined) return;
      at[key] = {};
    }
    trail.push([at, key]);
    at = at[key];
  }
  if (value === undefined) delete at[last];
  else at[last] = value;
  for (const [parent, key] of trail.reverse()) {
    if (Object.keys(parent[key]).length === 0) delete parent[key];
  }
}

/** The minor units of "12.50", or the text itself so that the check can name it. */
function money(value) {
  const found = /^(\d+)(?:\.(\d{1,2}))?$/.exec(value);
  return found ? Number(found[1]) * 100 + Number((found[2] || "").padEnd(2, "0")) : value;
}

function read(field) {
  const value = field.value.trim();
  if (value === "") return undefined;
  if (field.dataset.kind === "money") return money(value);
  if (field.dataset.kind === "number") return Number.isFinite(Number(value)) ? Number(value) : value;
  return value;
}

function words(field, value) {
  if (value === undefined || value === null) return "";
  if (field.dataset.kind === "money" && Number.isInteger(value)) return (value / 100).toFixed(2);
  return typeof value === "object" ? "" : String(value);
}

function selector() {
  return rule.type === "bundle" ? rule.slots?.[0]?.select || {} : rule.select || {};
}

function lines(id) {
  return document.getElementById(id).value.split(/[\s,]+/).filter(Boolean);
}

function list(name) {
  return ticks.filter((t) => t.dataset.list === name && t.checked).map((t) => t.value);
}

function known(name) {
  return new Set(ticks.filter((t) => t.dataset.list === name).map((t) => t.value));
}

function readSelector() {
  const scope = scopes.find((s) => s.checked)?.value || "groups";
  const { all, groups, skus, exclude_skus: _, ...kept } = selector();
  const found = { ...kept };
  if (scope === "all") found.all = true;
  if (scope === "skus") found.skus = lines("f-skus");
  if (scope === "groups") {
    const others = (Array.isArray(groups) ? groups : []).filter((g) => !known("groups").has(g));
    found.groups = [...list("groups"), ...others];
  }
  if (lines("f-exclude").length) found.exclude_skus = lines("f-exclude");
  return found;
}

function show(name, attribute, value) {
  for (const each of form.querySelectorAll(`[data-${attribute}]`)) {
    if (each.matches("label,option")) continue;
    each.hidden = !each.dataset[name].split(" ").includes(value);
  }
}

function drawSelector() {
  const found = selector();
  const scope = found.all ? "all" : found.skus?.length ? "skus" : "groups";
  for (const each of scopes) each.checked = each.value === scope;
  document.getElementById("f-skus").value = (found.skus || []).join("\n");
  document.getElementById("f-exclude").value = (found.exclude_skus || []).join("\n");
  show("scope", "scope", scope);
}

function drawTicks() {
  for (const tick of ticks) {
    const found = tick.dataset.list === "groups" ? selector().groups : get(tick.dataset.list);
    tick.checked = Array.isArray(found) && found.includes(tick.value);
  }
}

/** The form from the document; the field in hand is left alone. */
function draw() {
  for (const field of fields) {
    if (field === document.activeElement || field === type) continue;
    field.value = words(field, get(field.dataset.path));
  }
  const other = !KINDS.includes(rule.type);
  type.querySelector("[data-other]").hidden = !other;
  type.value = other ? "" : rule.type;
  show("for", "for", rule.type || "");
  drawBundle();
  drawSelector();
  drawTicks();
}

function drawBundle() {
  const found = rule.type === "bundle" ? matchBundle(rule) : { shape: "free" };
  const shape = document.getElementById("f-shape");
  shape.querySelector("[data-other]").hidden = found.shape !== "other";
  shape.value = found.shape;
  for (const [id, key] of [["f-n", "n"], ["f-m", "m"], ["f-bundle-percent", "percent"], ["f-bundle-price", "price"]]) {
    const input = document.getElementById(id);
    if (input !== document.activeElement && found[key] !== undefined) input.value = found[key];
  }
  const label = document.getElementById("l-n");
  label.textContent = label.dataset[found.shape] || label.textContent;
  show("shape", "shape", found.shape);
}

function bundleOfForm(select) {
  return writeBundle(
    document.getElementById("f-shape").value,
    { n: Number(document.getElementById("f-n").value), m: Number(document.getElementById("f-m").value),
      percent: Number(document.getElementById("f-bundle-percent").value),
      price: money(document.getElementById("f-bundle-price").value.trim()) },
    select,
  );
}

function changeType(next) {
  const select = selector();
  for (const key of OWN[rule.type] || []) delete rule[key];
  rule.type = next;
  if (next === "bundle") {
    delete rule.select;
    Object.assign(rule, bundleOfForm(select));
  } else {
    rule.select = select;
    const field = fields.find((f) => OWN[next].includes(f.dataset.path));
    put(field.dataset.path, read(field) ?? (next === "percent_off" ? 10 : 0));
  }
}

function setSelector() {
  const select = readSelector();
  if (rule.type !== "bundle") rule.select = select;
  else if (rule.slots?.length === 1) rule.slots[0].select = select;
}

function fromForm(target) {
  if (target === type) changeType(type.value);
  else if (target.dataset.path) put(target.dataset.path, read(target));
  else if (target.name === "scope" || target.dataset.list === "groups" || /f-(skus|exclude)/.test(target.id)) setSelector();
  else if (target.dataset.list) put(target.dataset.list, list(target.dataset.list).length ? list(target.dataset.list) : undefined);
  else if (target.closest('[data-for="bundle"]')) Object.assign(rule, bundleOfForm(selector()));
  else return;
  writeText();
  draw();
  checkSoon();
}

function ordered() {
  const { id: _, type: kind, ...rest } = rule;
  return { id: ruleId.value.trim(), type: kind, ...rest };
}

function writeText() {
  text.value = JSON.stringify(ordered(), null, 2);
  mark(true);
}

function mark(good) {
  state.textContent = good ? state.dataset.ok : state.dataset.bad;
  state.className = `badge ${good ? "ok" : "bad"}`;
  text.setAttribute("aria-invalid", String(!good));
  for (const part of form.querySelectorAll(".scripted")) part.inert = !good;
}

function fromText() {
  try {
    const found = JSON.parse(text.value);
    if (!found || typeof found !== "object" || Array.isArray(found)) throw new SyntaxError("no object");
    rule = found;
    mark(true);
    draw();
    checkSoon();
  } catch (fault) {
    mark(false);
    tell([{ path: "JSON", sentence: fault.message }]);
  }
}

function tell(found) {
  const body = faults.querySelector("[data-faults]");
  if (!found.length) {
    const fine = document.createElement("p");
    fine.className = "fine";
    fine.textContent = faults.dataset.clean;
    body.replaceChildren(fine);
    return;
  }
  const rows = document.createElement("ul");
  rows.className = "faults";
  for (const one of found) {
    const row = document.createElement("li");
    const place = document.createElement("code");
    place.textContent = one.path;
    row.append(place, ` ${one.sentence}`);
    rows.append(row);
  }
  body.replaceChildren(rows);
}

let timer = 0;
let asked = 0;
async function check() {
  asked += 1;
  const mine = asked;
  const answer = await fetch(form.dataset.check, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": document.querySelector('meta[name="csrf"]').content },
    body: JSON.stringify({ document: ordered() }),
  }).catch(() => null);
  if (!answer || !answer.ok || mine !== asked) return;
  tell((await answer.json()).faults);
}

function checkSoon() {
  clearTimeout(timer);
  timer = setTimeout(check, 350);
}

form.addEventListener("input", (event) => {
  if (event.target === text) fromText();
  else if (event.target === ruleId) {
    writeText();
    checkSoon();
  } else fromForm(event.target);
});
fromText();
