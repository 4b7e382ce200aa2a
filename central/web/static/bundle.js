// The usual bundles between form and document.

function only(object, keys) {
  return object && typeof object === "object" && Object.keys(object).every((key) => keys.includes(key));
}

/** The shape of a bundle rule that the form can show, or {shape: "other"}. */
export function matchBundle(rule) {
  const other = { shape: "other" };
  const { slots, effect } = rule;
  if (!Array.isArray(slots) || slots.length !== 1 || !effect || rule.favor || rule.allocation) return other;
  if (!only(slots[0], ["select", "qty"])) return other;
  const qty = slots[0].qty ?? 1;
  const cheapest = /^cheapest:(\d+)$/.exec(effect.on || "");
  if (effect.kind === "free" && cheapest && only(effect, ["kind", "on"])) {
    const m = Number(cheapest[1]);
    return m < qty ? { shape: "free", n: qty - m, m } : other;
  }
  if (effect.kind === "percent" && cheapest && cheapest[1] === "1" && only(effect, ["kind", "on", "percent"])) {
    return { shape: "cheaper", n: qty, percent: effect.percent };
  }
  if (effect.kind === "fixed_price" && (effect.on ?? "all") === "all" && only(effect, ["kind", "on", "price_minor"])) {
    const price = effect.price_minor;
    return { shape: "price", n: qty, price: Number.isInteger(price) ? (price / 100).toFixed(2) : price };
  }
  return other;
}

/** The document parts of a shape. */
export function writeBundle(shape, { n, m, percent, price }, select) {
  if (shape === "cheaper") {
    return { slots: [{ select, qty: n }], effect: { kind: "percent", percent, on: "cheapest:1" } };
  }
  if (shape === "price") {
    return { slots: [{ select, qty: n }], effect: { kind: "fixed_price", price_minor: price, on: "all" } };
  }
  return { slots: [{ select, qty: n + m }], effect: { kind: "free", on: `cheapest:${m}` } };
}
