// Money in whole minor units, quantity in thousandths: integers only, as on the edge.
import { boot } from "./dom.js";

const SYMBOL = { CNY: "¥", USD: "$", EUR: "€", GBP: "£" };

export function money(minor, currency = boot.currency || "CNY") {
  const size = Math.abs(minor);
  const whole = Math.floor(size / 100);
  const sign = minor < 0 ? "-" : "";
  return `${sign}${SYMBOL[currency] || `${currency} `}${whole}.${String(size % 100).padStart(2, "0")}`;
}

export function quantity(milli) {
  const size = Math.abs(milli);
  const part = String(size % 1000).padStart(3, "0").replace(/0+$/, "");
  return `${milli < 0 ? "-" : ""}${Math.floor(size / 1000)}${part ? `.${part}` : ""}`;
}

// "12.5" -> 1250; null when it is no amount.
export function readMinor(text) {
  const match = /^(\d{0,10})(?:[.。](\d{0,2}))?$/.exec(text.trim().replace(/^[¥￥]/, ""));
  if (!match || !(match[1] || match[2])) return null;
  return Number(match[1] || 0) * 100 + Number((match[2] || "").padEnd(2, "0"));
}

// "0.25" -> 250; null when it is no quantity.
export function readMilli(text) {
  const match = /^(\d{0,7})(?:[.。](\d{0,3}))?$/.exec(text.trim());
  if (!match || !(match[1] || match[2])) return null;
  return Number(match[1] || 0) * 1000 + Number((match[2] || "").padEnd(3, "0"));
}

// What customers hand over: the next notes above the sum, four of them.
export function notes(due) {
  const steps = due < 500 ? [500, 1000, 2000, 5000, 10000] : [1000, 2000, 5000, 10000, 20000, 50000];
  const found = new Set(steps.map((step) => Math.ceil(due / step) * step).filter((up) => up > due));
  return [...found].sort((a, b) => a - b).slice(0, 4);
}
