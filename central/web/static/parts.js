// Live parts: an element with data-live="topics" and data-src is fetched anew when such a fact comes.
import { tick } from "./clock.js";
import { on, start } from "./live.js";

const GAP_MS = 400; // the first change at once, then at most this often
const busy = new Set();
const again = new Set();

function mark(part, before) {
  for (const row of part.querySelectorAll("[data-key]")) {
    const old = before.get(row.dataset.key);
    if (old !== row.textContent) row.classList.add("flash");
  }
}

async function refresh(part) {
  const place = part.querySelector(".scroll");
  const [left, top] = place ? [place.scrollLeft, place.scrollTop] : [0, 0];
  const answer = await fetch(part.dataset.src, { headers: { "X-Part": "1" } }).catch(() => null);
  if (!answer || !answer.ok) return;
  const text = await answer.text();
  if (part.contains(document.activeElement) && document.activeElement !== part) {
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
  }
  const before = new Map();
  for (const row of part.querySelectorAll("[data-key]")) before.set(row.dataset.key, row.textContent);
  const focused = document.activeElement && part.contains(document.activeElement)
    ? document.activeElement.getAttribute("href") : null;
  part.innerHTML = text;
  tick(part);
  mark(part, before);
  if (focused) part.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  const box = part.querySelector(".scroll");
  if (box) box.scrollTo(left, top);
}

async function soon(part) {
  if (busy.has(part)) {
    again.add(part);
    return;
  }
  busy.add(part);
  try {
    do {
      again.delete(part);
      await refresh(part);
      await new Promise((done) => setTimeout(done, GAP_MS));
    } while (again.has(part));
  } finally {
    busy.delete(part);
  }
}

export function watchParts(root = document) {
  for (const part of root.querySelectorAll("[data-live][data-src]")) {
    const topics = part.dataset.live.split(" ");
    for (const topic of [...topics, "lost"]) on(topic, () => soon(part));
  }
}

watchParts();
start();
