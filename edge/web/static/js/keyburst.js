// A keyboard-wedge scanner types like a person, only faster. We listen before any field does:
// keys less than GAP_MS apart that end with Enter are a scan and never reach a field; slower keys
// are given to the field a moment later. Times are those of the events, so a busy page cannot
// split a code; a key that was handed on too early is taken back when its code goes on.
const GAP_MS = 35;
const WAIT_MS = 45;
const LEAST = 4;
const ECHO_MS = 80; // CR LF scanners send a second Enter

const editable = (node) =>
  node instanceof HTMLTextAreaElement
  || (node instanceof HTMLInputElement && /^(text|search|password|tel|email|url)$/.test(node.type));

function put(field, text) {
  const before = { value: field.value, start: field.selectionStart, end: field.selectionEnd };
  if (field.maxLength < 0 || field.value.length < field.maxLength) {
    field.setRangeText(text, before.start ?? field.value.length, before.end ?? field.value.length, "end");
    field.dispatchEvent(new InputEvent("input", { bubbles: true, data: text, inputType: "insertText" }));
  }
  return before;
}

// onScan(code); fieldOf(active) says where typed keys go; onTyped(text, field) may take them itself.
export function listen({ onScan, fieldOf = (active) => active, onTyped = () => false }) {
  let burst = "";
  let lastAt = -1e9;
  let scanEndedAt = -1e9;
  let timer = 0;
  let handed = null; // what was given to a field last, to be taken back

  function flush() {
    clearTimeout(timer);
    const text = burst;
    burst = "";
    if (!text) return;
    const field = fieldOf(document.activeElement);
    if (onTyped(text, field)) return;
    if (!editable(field) || field.readOnly || field.disabled) return;
    if (document.activeElement !== field) field.focus();
    handed = { field, text, at: lastAt, before: put(field, text) };
  }

  function takeBack(now) {
    if (!handed || now - handed.at >= GAP_MS) return;
    const { field, text, before } = handed;
    handed = null;
    field.value = before.value;
    field.setSelectionRange?.(before.start, before.end);
    field.dispatchEvent(new InputEvent("input", { bubbles: true, inputType: "historyUndo" }));
    burst = text;
  }

  function swallow(event) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  function ended(event) {
    const now = event.timeStamp;
    if (!burst) takeBack(now);
    if (burst.length >= LEAST && now - lastAt < GAP_MS) {
      swallow(event);
      clearTimeout(timer);
      const code = burst;
      burst = "";
      handed = null;
      scanEndedAt = now;
      onScan(code);
    } else if (now - scanEndedAt < ECHO_MS && !burst) {
      swallow(event);
    } else {
      flush();
    }
  }

  function printable(event) {
    const now = event.timeStamp;
    if (burst && now - lastAt >= GAP_MS) flush();
    if (!burst) takeBack(now);
    if (event.key === " " && !burst && !editable(document.activeElement)) return;
    if (event.repeat && !burst) return;
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
  return { running: () => burst.length > 1 };
}
