// A keyboard-wedge scanner types like a person, only faster. We listen before any field does:
// keys less than GAP_MS apart that end with Enter are a scan and never reach a field; slower keys
// are given to the field a moment later. Times are those of the events, so a busy page cannot
// split a code. A busy machine may still stretch one gap inside a code: what was handed to a field
// less than GRACE_MS before the rest came, and cannot have been a person, is taken back.
const GAP_MS = 35;
const WAIT_MS = 45;
const GRACE_MS = 150;
const LEAST = 4;
const ECHO_MS = 80; // CR LF scanners send a second Enter

// Not a time that lies ahead.
const within = (now, at, ms) => now >= at && now - at < ms;

const editable = (node) =>
  node instanceof HTMLTextAreaElement
  || (node instanceof HTMLInputElement && /^(text|search|password|tel|email|url)$/.test(node.type));

function put(field, text) {
  const before = { value: field.value, start: field.selectionStart, end: field.selectionEnd };
  if (document.execCommand?.("insertText", false, text)) return before; // as if typed: undo, change
  if (field.maxLength < 0 || field.value.length < field.maxLength) {
    field.setRangeText(text, before.start ?? field.value.length, before.end ?? field.value.length, "end");
    field.dispatchEvent(new InputEvent("input", { bubbles: true, data: text, inputType: "insertText" }));
  }
  return before;
}

// onScan(code); fieldOf(active) says where typed keys go; onTyped(text, field) may take them itself.
export function listen({ onScan, fieldOf = (active) => active, onTyped = () => false, home = null }) {
  let burst = "";
  let startedAt = 0; // of the burst
  let lastAt = -1e9;
  let scanEndedAt = -1e9;
  let timer = 0;
  let handed = null; // what was given to a field last: {field, text, at, before, after, machine, run}

  function flush() {
    clearTimeout(timer);
    const text = burst;
    burst = "";
    if (!text) return;
    const field = fieldOf(document.activeElement);
    if (onTyped(text, field)) return;
    if (!editable(field) || field.readOnly || field.disabled) {
      handed = { field: null, text: (handed && !handed.field && within(startedAt, handed.at, GRACE_MS) ? handed.text : "") + text, at: lastAt, machine: true, run: text.length };
      return;
    }
    if (document.activeElement !== field) field.focus();
    const before = put(field, text);
    const machine = text.length > 1 || (field === home && before.value === "");
    const goesOn = handed?.machine && handed.field === field && within(startedAt, handed.at, GRACE_MS);
    handed = goesOn
      ? { ...handed, text: handed.text + text, at: lastAt, after: field.value, run: text.length }
      : { field, text, at: lastAt, before, after: field.value, machine, run: text.length };
  }

  function takeBack() {
    const { field, text, before, after } = handed;
    handed = null;
    if (!field) return text; // nothing took it
    if (field.value !== after) return ""; // somebody has acted on it meanwhile
    field.value = before.value;
    field.setSelectionRange?.(before.start, before.end);
    field.dispatchEvent(new InputEvent("input", { bubbles: true, inputType: "historyUndo" }));
    return text;
  }

  const lately = (now, ms) => handed && within(now, handed.at, ms);

  function swallow(event) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  function scanned(code, now) {
    clearTimeout(timer);
    burst = "";
    handed = null;
    scanEndedAt = now;
    onScan(code);
  }

  function ended(event) {
    const now = event.timeStamp;
    if (burst.length >= LEAST && within(now, lastAt, GRACE_MS)) {
      swallow(event);
      const stretched = lately(startedAt, GRACE_MS) && handed.machine && !/[*×]$/.test(handed.text);
      scanned((stretched ? takeBack() : "") + burst, now);
    } else if (!burst && lastAt < scanEndedAt && within(now, scanEndedAt, ECHO_MS)) {
      swallow(event);
    } else if (!burst && (lately(now, GAP_MS) ? handed.run >= LEAST : lately(now, GRACE_MS) && handed.run >= 2 * LEAST)) {
      swallow(event);
      const code = takeBack();
      if (code) scanned(code, now);
    } else {
      flush();
      handed = null; // a person's Enter acts on what stands in the field
    }
  }

  function printable(event) {
    const now = event.timeStamp;
    if (burst && !within(now, lastAt, GAP_MS)) flush();
    if (!burst) {
      if (event.key === " " && !editable(document.activeElement)) return;
      if (event.repeat) return;
      startedAt = now;
      if (lately(now, GAP_MS)) { startedAt = handed.at; burst = takeBack(); }
    }
    swallow(event);
    burst += event.key;
    lastAt = now;
    clearTimeout(timer);
    timer = setTimeout(flush, WAIT_MS);
  }

  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229 || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || (event.key === "Tab" && burst.length >= LEAST)) ended(event);
    else if (event.key.length === 1) printable(event);
    else if (event.key !== "Shift" && event.key !== "CapsLock") flush();
  }, true);
}
