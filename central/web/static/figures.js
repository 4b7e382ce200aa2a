// Between what people type and what stands in a document.

/** The minor units of "12.50", or the text itself so that the check can name it. */
export function money(value) {
  const found = /^(\d+)(?:\.(\d{1,2}))?$/.exec(value);
  return found ? Number(found[1]) * 100 + Number((found[2] || "").padEnd(2, "0")) : value;
}

/** The words of "a, b c". */
export function listed(text) {
  return text.split(/[\s,，、]+/).filter(Boolean);
}

/** What a field says, by its data-kind; undefined when it is empty. */
export function read(field) {
  if (field.type === "checkbox") return field.checked ? true : undefined;
  const value = field.value.trim();
  if (value === "") return undefined;
  if (field.dataset.kind === "money") return money(value);
  if (field.dataset.kind === "number") return Number.isFinite(Number(value)) ? Number(value) : value;
  if (field.dataset.kind === "list") return listed(value);
  return value;
}

/** The text of a value in a field. */
export function words(field, value) {
  if (value === undefined || value === null) return "";
  if (field.dataset.kind === "money" && Number.isInteger(value)) return (value / 100).toFixed(2);
  if (Array.isArray(value)) return value.filter((each) => typeof each === "string").join(", ");
  return typeof value === "object" ? "" : String(value);
}
