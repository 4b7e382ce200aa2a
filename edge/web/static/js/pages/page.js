// What every manager page does: keep its header alive, refresh figures that others change.
import { $, boot } from "../dom.js";
import * as header from "../header.js";
import * as live from "../live.js";

header.start();
live.start();
$("#print-page")?.addEventListener("click", () => window.print());

// A list that others change is read anew in place; what a person is typing stays.
const FRESH = { "/stock": ["stock", "sale", "transfer", "neighbours"], "/transfers": ["transfer"], "/sales": ["sale"], "/payments": ["payment"], "/health": ["status"], "/home": ["transfer"] };
const path = location.pathname.replace(/\/$/, "");
let timer = 0;

async function redraw() {
  if (document.hidden || document.activeElement?.matches("input, select, textarea")) return;
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const held = document.activeElement?.id || document.activeElement?.getAttribute?.("href");
    $("#main").replaceChildren(...$("#main", fresh).childNodes);
    if (held) (document.getElementById(held) || $(`#main a[href="${CSS.escape(held)}"]`))?.focus({ preventScroll: true });
  } catch { /* the header says that the edge is away */ }
}

const topics = Object.entries(FRESH).find(([prefix]) => path === prefix || (prefix === "/stock" && path.startsWith("/stock/")))?.[1] || [];
for (const topic of topics) {
  live.on(topic, () => { clearTimeout(timer); timer = setTimeout(redraw, path === "/health" ? 5000 : 400); });
}
if (boot.focus) document.getElementById(boot.focus)?.focus();
