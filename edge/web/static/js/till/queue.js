// What the cashier did, in order: sent one after another, each with its own id, kept in the browser
// until the edge has answered. An edge that is away loses nothing; it is asked again.
import { newId } from "../dom.js";
import { Away } from "../net.js";

const OLD_MS = 10 * 60 * 1000;
const ORPHAN_MS = 15 * 1000;
const BACKOFF_MS = [300, 600, 1000, 1500, 2000];

export class Queue {
  constructor(till, { send, done, refused, changed, away }) {
    Object.assign(this, { send, done, refused, changed, away });
    this.prefix = `tillmesh.queue.${till}.`;
    const tab = sessionStorage.getItem("tillmesh.tab") || newId();
    sessionStorage.setItem("tillmesh.tab", tab);
    this.key = this.prefix + tab;
    this.busy = false;
    this.tries = 0;
    this.stopped = false;
    const kept = this.kept();
    const now = Date.now();
    this.items = kept.filter((item) => now - item.at < OLD_MS);
    this.stale = kept.filter((item) => now - item.at >= OLD_MS);
    this.save();
    setInterval(() => this.items.length && this.save(), 5000);
  }

  // This tab's list, and lists of tabs that are gone.
  kept() {
    const found = [];
    for (const key of Object.keys(localStorage).filter((one) => one.startsWith(this.prefix))) {
      try {
        const list = JSON.parse(localStorage.getItem(key));
        if (key !== this.key && Date.now() - list.beat < ORPHAN_MS) continue;
        found.push(...list.items);
      } catch { /* not ours */ }
      if (key !== this.key) localStorage.removeItem(key);
    }
    return found.sort((a, b) => a.at - b.at);
  }

  save() {
    try {
      const items = [...this.stale, ...this.items];
      if (items.length) localStorage.setItem(this.key, JSON.stringify({ beat: Date.now(), items }));
      else localStorage.removeItem(this.key);
    } catch { /* storage full or off: the list still lives in this page */ }
  }

  push(kind, fields) {
    const item = { id: newId(), at: Date.now(), kind, ...fields };
    this.items.push(item);
    this.save();
    this.changed();
    this.pump();
    return item;
  }

  takeStale(wanted) {
    if (wanted) this.items.push(...this.stale.map((item) => ({ ...item, at: Date.now() })));
    this.stale = [];
    this.save();
    this.changed();
    this.pump();
  }

  async pump() {
    if (this.busy || this.stopped) return;
    this.busy = true;
    while (this.items.length && !this.stopped) {
      const item = this.items[0];
      try {
        const view = await this.send(item);
        this.tries = 0;
        this.away(false);
        this.leave(item);
        this.done(item, view);
      } catch (fault) {
        if (fault instanceof Away) await this.later();
        else if (fault.status === 401 || fault.status === 429) { this.stopped = fault.status === 401; await this.later(fault); }
        else { this.leave(item); this.refused(item, fault); }
      }
    }
    this.busy = false;
    this.changed();
  }

  leave(item) {
    this.items = this.items.filter((one) => one !== item);
    this.save();
  }

  async later(fault) {
    this.away(true, fault);
    const wait = BACKOFF_MS[Math.min(this.tries, BACKOFF_MS.length - 1)];
    this.tries += 1;
    await new Promise((resolve) => { this.wake = resolve; setTimeout(resolve, wait); });
  }

  hurry() {
    this.wake?.();
    this.pump();
  }
}
