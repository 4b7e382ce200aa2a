// Ages and local times. The server's clock decides: the browser's may be wrong.
const lang = document.documentElement.lang;
const relative = new Intl.RelativeTimeFormat(lang, { numeric: "always", style: "short" });
let offset = Number(document.documentElement.dataset.now || Date.now()) - performance.now();

/** Take the server's time from a ping or an answer. */
export function setNow(ms) {
  offset = ms - performance.now();
}

/** The server's time now, in milliseconds. */
export function now() {
  return offset + performance.now();
}

/** How long ago, in words of the page's language. */
export function ago(ms) {
  const seconds = Math.max(0, Math.round((now() - ms) / 1000));
  if (seconds < 60) return relative.format(-seconds, "second");
  if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 172800) return relative.format(-Math.floor(seconds / 3600), "hour");
  return relative.format(-Math.floor(seconds / 86400), "day");
}

/** Refresh every element that shows an age. */
export function tick(root = document) {
  for (const each of root.querySelectorAll("[data-age]")) {
    const at = Number(each.dataset.age);
    const text = at ? ago(at) : "—";
    if (each.textContent !== text) each.textContent = text;
  }
}

setInterval(tick, 1000);
tick();
