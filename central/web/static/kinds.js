// What belongs to one kind of rule: its own keys, where it begins, and its lists.
import { money, read } from "./figures.js";
import { Rows } from "./tables.js";

export const OWN = {
  percent_off: ["percent"],
  amount_off: ["off_minor"],
  fixed_price: ["price_minor"],
  tier_qty: ["tiers"],
  bundle: ["slots", "effect", "favor", "allocation"],
  order_amount: ["tiers", "every_minor", "off_minor", "basis"],
  order_percent: ["percent", "min_minor", "basis"],
  gift: ["gift_sku", "gift_qty", "min_minor", "basis"],
};

/** A kind as it begins in the form. */
export function begin(kind) {
  return {
    percent_off: { percent: 10 },
    amount_off: { off_minor: 100 },
    fixed_price: { price_minor: 1000 },
    tier_qty: { tiers: [{ min_qty: 3, percent: 10 }] },
    order_amount: { tiers: [{ min_minor: 10000, off_minor: 1000 }] },
    order_percent: { percent: 10 },
    gift: { gift_sku: "", gift_qty: 1, min_minor: 0 },
  }[kind];
}

const WAYS = ["percent", "off_minor", "price_minor"];
const EFFECTS = { percent: "percent", amount: "off_minor", fixed_price: "price_minor" };

function bare(entry) {
  return Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined));
}

function objects(list) {
  return Array.isArray(list) ? list.filter((each) => each && typeof each === "object") : [];
}

/** The lists and the effect of the kinds that have them. `say` is called after each change. */
export class Lists {
  constructor(form, rule, say) {
    this.rule = rule;
    const changed = (write) => () => {
      write();
      say();
    };
    const table = (name, blank, write) => new Rows(form.querySelector(`[data-table="${name}"]`), blank, changed(write));
    this.tiers = table("tiers", () => ({ way: "percent" }), () => this.writeTiers());
    this.steps = table("steps", () => ({}), () => this.writeSteps());
    this.slots = table("slots", () => ({ qty: 1 }), () => this.writeSlots());
    this.mode = form.querySelector("#f-order-mode");
    this.kind = form.querySelector("#f-effect");
    this.value = form.querySelector("#f-effect-value");
    this.on = form.querySelector("#f-on");
    this.nth = form.querySelector("#f-on-n");
  }

  draw() {
    const rule = this.rule();
    if (rule.type === "tier_qty") {
      this.tiers.draw(objects(rule.tiers).map((tier) => {
        const way = WAYS.find((each) => each in tier) || "percent";
        return { min_qty: tier.min_qty, way, value: tier[way] };
      }));
    }
    if (rule.type === "order_amount") {
      const every = "every_minor" in rule;
      if (this.mode !== document.activeElement) this.mode.value = every ? "every" : "tiers";
      this.steps.root.hidden = every;
      for (const each of document.querySelectorAll("[data-every]")) each.hidden = !every;
      if (!every) this.steps.draw(objects(rule.tiers));
    }
    if (rule.type === "bundle") this.drawBundle(rule);
  }

  drawBundle(rule) {
    this.slots.draw(objects(rule.slots).map(({ select, ...rest }) => ({ ...rest, ...select })));
    const effect = rule.effect || {};
    const key = EFFECTS[effect.kind];
    const [on, nth] = String(effect.on ?? "all").split(":");
    this.kind.value = effect.kind || "free";
    this.value.closest(".field").hidden = !key;
    this.value.dataset.kind = key === "percent" ? "number" : "money";
    if (this.value !== document.activeElement) {
      const figure = effect[key];
      this.value.value = figure === undefined ? "" : key === "percent" || !Number.isInteger(figure) ? figure : (figure / 100).toFixed(2);
    }
    this.on.value = on;
    this.nth.closest(".field").hidden = on === "all";
    if (this.nth !== document.activeElement) this.nth.value = on === "slot" ? Number(nth) + 1 : nth ?? "";
  }

  /** True when the field belonged here and the rule was changed. */
  take(target) {
    const table = target.closest("[data-table]")?.dataset.table;
    if (table === "tiers") this.writeTiers();
    else if (table === "steps") this.writeSteps();
    else if (table === "slots") this.writeSlots();
    else if (target === this.mode) this.writeMode();
    else if ([this.kind, this.value, this.on, this.nth].includes(target)) this.writeEffect(target);
    else return false;
    return true;
  }

  writeTiers() {
    this.rule().tiers = this.tiers.read().map(({ min_qty, way, value }) => bare({ min_qty, [way]: value ?? 0 }));
  }

  writeSteps() {
    this.rule().tiers = this.steps.read().map(bare);
  }

  writeMode() {
    const rule = this.rule();
    for (const key of ["tiers", "every_minor", "off_minor"]) delete rule[key];
    if (this.mode.value === "every") Object.assign(rule, { every_minor: 10000, off_minor: 1000 });
    else Object.assign(rule, begin("order_amount"));
  }

  writeSlots() {
    const rule = this.rule();
    const before = objects(rule.slots);
    rule.slots = this.slots.read().map(({ qty, ...select }, n) => {
      const kept = { ...before[n]?.select, ...select };
      return { ...before[n], select: bare(kept), qty };
    });
  }

  writeEffect(target) {
    const rule = this.rule();
    const kind = this.kind.value;
    const key = EFFECTS[kind];
    const on = this.on.value;
    const count = Number(this.nth.value || 1);
    const effect = { kind };
    if (key) {
      const typed = this.value.value.trim();
      const fresh = target === this.kind ? { percent: 50, off_minor: 100, price_minor: 1000 }[key] : undefined;
      this.value.dataset.kind = key === "percent" ? "number" : "money";
      effect[key] = fresh ?? (key === "percent" ? read(this.value) : money(typed));
    }
    effect.on = on === "all" ? "all" : on === "slot" ? `slot:${Math.max(0, count - 1)}` : `${on}:${count}`;
    rule.effect = effect;
  }
}
