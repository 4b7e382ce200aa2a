// Tells the edge that this page lives, can be seen, and what it shows: the till's own scanner is only
// taken then, and a payment code only counts while money is taken.
import { post } from "../net.js";
import { boot } from "../dom.js";
import { showing } from "./panels.js";

const BEAT_MS = 4000;
const TENDERS = new Set(["pay"]); // panels on which money is taken
let told = "";

const shows = () => (document.visibilityState === "hidden" ? "away" : TENDERS.has(showing()) ? "tender" : "sale");

function tell(screen) {
  told = screen;
  post("/api/till/screen", { screen }, BEAT_MS).catch(() => { told = ""; }); // the next beat tells again
}

export function start() {
  const look = () => { if (shows() !== told) tell(shows()); };
  tell(shows());
  setInterval(() => { if (shows() !== "away") tell(shows()); }, BEAT_MS);
  new MutationObserver(look).observe(document.querySelector("#panel"), { attributes: true, childList: true });
  document.addEventListener("visibilitychange", look);
  addEventListener("pagehide", () => {
    fetch("/api/till/screen", {
      method: "POST", keepalive: true, credentials: "same-origin", body: JSON.stringify({ screen: "away" }),
      headers: { "Content-Type": "application/json", "X-CSRF": boot.csrf || "" },
    }).catch(() => {});
  });
  addEventListener("pageshow", (event) => { if (event.persisted) tell(shows()); });
}
