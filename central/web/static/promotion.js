// The editor of a rule: the document is the truth, the form shows and changes parts of it.
// What the form does not know stays in the document untouched.
import { matchBundle, writeBundle } from "./bundle.js";
import { listed, money, read, words } from "./figures.js";
import { begin, Lists, OWN } from "./kinds.js";

const form = document.getElementById("draft");
const text = document.getElementById("f-text");
const ruleId = document.getElementById("f-rule");
const state = document.getElementById("json-state");
const faults = document.getElementById("faults");
const fields = [...form.querySelectorAll("[data-path]")];
const ticks = [...form.querySelectorAll("[data-list]")];
const scopes = [...form.querySelectorAll('[name="scope"]')];
const type = document.getElementById("f-type");
let custom = false; // the bundle is edited part by part, whatever its shape
let rule = {};
const lists = new Lists(form, () => rule, () => settle());

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

function selector() {
  return rule.type === "bundle" ? rule.slots?.[0]?.select || {} : rule.select || {};
}

function lines(id) {
  return listed(document.getElementById(id).value);
}

function list(name) {
  return ticks.filter((t) => t.dataset.list === name && t.checked).map((t) => t.value);
}

function known(name) {
  return new Set(ticks.filter((t) => t.dataset.list === name).map((t) => t.value));
}

function readSelector() {
  const scope = scopes.find((s) => s.checked)?.value || "groups";
  const { all, groups, skus, exclude_skus: _s, exclude_groups: _g, ...kept } = selector();
  const found = { ...kept };
  if (scope === "all") found.all = true;
  if (scope === "skus") found.skus = lines("f-skus");
  if (scope === "groups") {
    const others = (Array.isArray(groups) ? groups : []).filter((g) => !known("groups").has(g));
    found.groups = [...list("groups"), ...others];
  }
  if (lines("f-exclude").length) found.exclude_skus = lines("f-exclude");
  if (lines("f-exclude-groups").length) found.exclude_groups = lines("f-exclude-groups");
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
  const every = found.all || (!rule.select && /^(order_|gift)/.test(rule.type || ""));
  const scope = every ? "all" : found.skus?.length ? "skus" : "groups";
  for (const each of scopes) each.checked = each.value === scope;
  document.getElementById("f-skus").value = (found.skus || []).join("\n");
  document.getElementById("f-exclude").value = (found.exclude_skus || []).join("\n");
  document.getElementById("f-exclude-groups").value = (found.exclude_groups || []).join(", ");
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
  const other = !(rule.type in OWN);
  type.querySelector("[data-other]").hidden = !other;
  type.value = other ? "" : rule.type;
  show("for", "for", rule.type || "");
  drawBundle();
  lists.draw();
  drawSelector();
  drawTicks();
}

function drawBundle() {
  const usual = rule.type === "bundle" ? matchBundle(rule) : { shape: "free" };
  const found = custom ? { shape: "other" } : usual;
  document.getElementById("goods").hidden = rule.type === "bundle" && found.shape === "other";
  document.getElementById("f-shape").value = found.shape;
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
    Object.assign(rule, begin(next));
  }
}

function setSelector() {
  const select = readSelector();
  if (rule.type !== "bundle") rule.select = select;
  else if (rule.slots?.length === 1) rule.slots[0].select = select;
}

function changeShape(shape) {
  custom = shape === "other";
  if (!custom) {
    for (const key of ["favor", "allocation"]) delete rule[key];
    Object.assign(rule, bundleOfForm(selector()));
  }
}

function fromForm(target) {
  if (target === type) changeType(type.value);
  else if (target.id === "f-shape") changeShape(target.value);
  else if (lists.take(target)) /* it wrote the rule */;
  else if (target.dataset.path) put(target.dataset.path, read(target));
  else if (target.name === "scope" || target.dataset.list === "groups" || /f-(skus|exclude)/.test(target.id)) setSelector();
  else if (target.dataset.list) put(target.dataset.list, list(target.dataset.list).length ? list(target.dataset.list) : undefined);
  else if (target.closest('[data-for="bundle"]')) Object.assign(rule, bundleOfForm(selector()));
  else return;
  settle();
}

function settle() {
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
    tell([{ path: "JSON", words: fault.message }]);
  }
}

/** A draft without an id is new, not wrong: its other faults count, and what is missing is said. */
function tell(all) {
  const body = faults.querySelector("[data-faults]");
  const unnamed = !ruleId.value.trim();
  const found = unnamed ? all.filter((one) => one.path !== "id") : all;
  if (!found.length) {
    const fine = document.createElement("p");
    fine.className = unnamed ? "muted" : "fine";
    fine.textContent = unnamed ? faults.dataset.unnamed : faults.dataset.clean;
    body.replaceChildren(fine);
    return;
  }
  const rows = document.createElement("ul");
  rows.className = "faults";
  for (const one of found) {
    const row = document.createElement("li");
    const place = document.createElement("code");
    place.textContent = one.path;
    row.append(place, ` ${one.words}`);
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
  const found = (await answer.json()).faults;
  tell(found);
  await look(found.length ? null : ordered(), mine);
}

/** What the rule would do, beside the check. */
async function look(what, mine) {
  const place = document.getElementById("preflight");
  place.hidden = what === null;
  if (what === null) return;
  const answer = await fetch(form.dataset.look, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": document.querySelector('meta[name="csrf"]').content },
    body: JSON.stringify(what),
  }).catch(() => null);
  if (!answer || !answer.ok || mine !== asked) return;
  place.querySelector("[data-report]").innerHTML = await answer.text();
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
