// What every page does: the menu of narrow screens, second looks before dangerous buttons.
document.documentElement.classList.add("js");

const menu = document.getElementById("menu");
const side = document.getElementById("side");
if (menu && side) {
  menu.addEventListener("click", () => {
    const open = side.toggleAttribute("data-open");
    menu.setAttribute("aria-expanded", String(open));
    if (open) side.querySelector("nav a").focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && side.hasAttribute("data-open")) {
      side.removeAttribute("data-open");
      menu.setAttribute("aria-expanded", "false");
      menu.focus();
    }
  });
}

// Two clicks on a button are one request.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "1";
  setTimeout(() => delete form.dataset.sent, 4000);
});
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});

// A filter is applied as soon as a choice is made.
for (const select of document.querySelectorAll("select[data-submit]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy).textContent;
    await navigator.clipboard?.writeText(text.trim());
    button.textContent = button.dataset.done;
  });
}
