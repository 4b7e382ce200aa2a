// The PIN pad: touch keys and keyboard; while a wait runs, the seconds are counted in words.
const form = document.getElementById("pin-form");
const pin = document.getElementById("pin");
const go = document.getElementById("go");

for (const key of document.querySelectorAll("[data-digit]")) {
  key.addEventListener("click", () => {
    pin.value = key.dataset.digit === "back" ? pin.value.slice(0, -1) : pin.value + key.dataset.digit;
    pin.focus();
  });
}

let left = Number(form.dataset.wait || 0);
if (left > 0) {
  const says = document.createElement("p");
  says.className = "hint";
  says.setAttribute("role", "timer");
  document.getElementById("fault").append(says);
  const tick = () => {
    go.disabled = left > 0;
    says.textContent = left > 0 ? form.dataset.waits.replace("{n}", left) : "";
    if (left > 0) { left -= 1; setTimeout(tick, 1000); }
  };
  tick();
}
form.addEventListener("submit", (event) => {
  if (left > 0 || !pin.value) { event.preventDefault(); pin.focus(); return; }
  setTimeout(() => { go.disabled = true; }, 0);
});
