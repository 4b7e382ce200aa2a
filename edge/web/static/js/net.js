// Talk to the edge. A failed call says whether the edge was away (try again) or refused (it knows why).
import { boot } from "./dom.js";

export class Away extends Error {}
export class Refused extends Error {
  constructor(status, body) {
    super(body.message || body.code || `HTTP ${status}`);
    this.status = status;
    this.code = body.code || `HTTP_${status}`;
    this.retryAfter = body.retryAfter;
  }
}

async function call(method, path, body, timeoutMs) {
  const aborter = new AbortController();
  const timer = setTimeout(() => aborter.abort(), timeoutMs);
  let answer;
  try {
    answer = await fetch(path, {
      method,
      signal: aborter.signal,
      credentials: "same-origin",
      headers: { "Content-Type": "application/json", "X-CSRF": boot.csrf || "" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (fault) {
    throw new Away(String(fault));
  } finally {
    clearTimeout(timer);
  }
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  if (answer.status === 502 || answer.status === 503 || answer.status === 504) {
    if (!said.code || said.code === "BUSY") throw new Away(`HTTP ${answer.status}`);
  }
  throw new Refused(answer.status, { ...said, retryAfter: Number(answer.headers.get("Retry-After")) || undefined });
}

export const get = (path, timeoutMs = 8000) => call("GET", path, undefined, timeoutMs);
export const post = (path, body = {}, timeoutMs = 15000) => call("POST", path, body, timeoutMs);
