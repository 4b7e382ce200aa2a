// Keeps the page fresh and its buttons quick; without it every button is a plain form.
const main = document.getElementById("tills");
let shown = "";

async function refresh() {
  const answer = await fetch(main.dataset.refresh);
  const html = await answer.text();
  const busy = document.activeElement;
  if (html === shown || (busy && (busy.tagName === "SELECT" || (busy.tagName === "INPUT" && busy.value)))) return;
  const open = [...main.querySelectorAll("details[open]")].map((part) => part.id);
  const focused = busy && main.contains(busy) ? busy.id : "";
  main.innerHTML = html;
  shown = html;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus();
}

main.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const body = new FormData(form, event.submitter);
  await fetch(form.action, { method: "POST", body, redirect: "manual" });
  const field = form.querySelector("input");
  if (field) field.value = "";
  await refresh();
});

setInterval(() => refresh().catch(() => {}), 1000);
