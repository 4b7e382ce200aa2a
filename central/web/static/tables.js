// A list of small objects as rows of fields: tiers, thresholds, the parts of a bundle.
import { read, words } from "./figures.js";

export class Rows {
  /** `changed` is called when a row is added or taken out; typing bubbles to the form. */
  constructor(root, blank, changed) {
    this.root = root;
    this.body = root.querySelector("[data-body]");
    this.template = root.querySelector("template");
    root.querySelector("[data-more]").addEventListener("click", () => {
      this.draw([...this.read(), blank()]);
      changed();
      this.body.lastElementChild.querySelector("input,select").focus();
    });
    root.addEventListener("click", (event) => {
      const drop = event.target.closest("[data-drop]");
      if (!drop || this.body.children.length < 2) return;
      drop.closest("[data-entry]").remove();
      changed();
      root.querySelector("[data-more]").focus();
    });
  }

  fields(row) {
    return [...row.querySelectorAll("[data-col]")];
  }

  /** Rows from objects; the field in hand is left alone. */
  draw(list) {
    while (this.body.children.length > list.length) this.body.lastElementChild.remove();
    while (this.body.children.length < list.length) {
      this.body.append(this.template.content.firstElementChild.cloneNode(true));
    }
    list.forEach((entry, n) => {
      const row = this.body.children[n];
      for (const each of row.querySelectorAll("[data-nth]")) each.textContent = String(n + 1);
      for (const field of this.fields(row)) {
        const value = entry[field.dataset.col];
        if (field.dataset.kinds) field.dataset.kind = entry[field.dataset.kinds] === "percent" ? "number" : "money";
        if (field === document.activeElement) continue;
        if (field.type === "checkbox") field.checked = value === true;
        else field.value = words(field, value);
      }
    });
  }

  /** Objects from rows. */
  read() {
    return [...this.body.children].map((row) => {
      const fields = this.fields(row);
      const entry = {};
      for (const field of fields.filter((each) => !each.dataset.kinds)) entry[field.dataset.col] = read(field);
      for (const field of fields.filter((each) => each.dataset.kinds)) {
        field.dataset.kind = entry[field.dataset.kinds] === "percent" ? "number" : "money";
        entry[field.dataset.col] = read(field);
      }
      return entry;
    });
  }
}
