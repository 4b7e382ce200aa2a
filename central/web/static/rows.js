// Rows of a form that can be added and removed. Without scripts there is always one empty row.
const list = document.querySelector("[data-rows]");
const add = document.querySelector("[data-add]");

function wire(row) {
  const remove = row.querySelector("[data-remove]");
  remove.hidden = false;
  remove.addEventListener("click", () => {
    if (list.querySelectorAll("[data-row]").length > 1) row.remove();
    else for (const input of row.querySelectorAll("input")) input.value = "";
    add.focus();
  });
}

if (list && add) {
  let count = 1000;
  list.querySelectorAll("[data-row]").forEach(wire);
  add.hidden = false;
  add.addEventListener("click", () => {
    const row = list.querySelector("[data-row]").cloneNode(true);
    for (const input of row.querySelectorAll("input")) {
      count += 1;
      input.value = "";
      row.querySelector(`label[for="${input.id}"]`).htmlFor = `${input.name}-${count}`;
      input.id = `${input.name}-${count}`;
    }
    list.append(row);
    wire(row);
    row.querySelector("input").focus();
  });
}
