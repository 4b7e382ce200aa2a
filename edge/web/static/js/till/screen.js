// Tells the edge that this page lives, hears, can be seen, and what it shows: the till's own scanner
// is only taken then, and a payment code only counts while money is taken.
import { boot, newId } from "../dom.js";
import { on } from "../live.js";
import { post } from "../net.js";
import { showing } from "./panels.js";

const BEAT_MS = 4000;
const PAGE = newId();
const TENDERS = new Set(["pay", "paycode"]); // panels on which money is taken
let told = "";
let hears = false; // a page that hears nothing yet could not tell of a refused scan

const shows = () => (document.visibilityState === "hidden" ? "away" : TENDERS.has(showing()) ? "tender" : "sale");

function tell(screen) {
  told = screen;
  post("/api/till/screen", { screen, page: PAGE }, BEAT_MS).catch(() => { told = ""; }); // the next beat tells again
}

export function start() {
  const look = () => { if (hears && shows() !== told) tell(shows()); };
  on("stream", ({ alive }) => { hears = alive; told = ""; look(); });
  setInterval(() => { if (hears && shows() !== "away") tell(shows()); }, BEAT_MS);
  new MutationObserver(look).observe(document.querySelector("#panel"), { attributes: true, childList: true });
  document.addEventListener("visibilitychange", look);
  addEventListener("pagehide", () => {
    fetch("/api/till/screen", {
      method: "POST", keepalive: true, credentials: "same-origin", body: JSON.stringify({ screen: "away", page: PAGE }),
      headers: { "Content-Type": "application/json", "X-CSRF": boot.csrf || "" },
    }).catch(() => {});
  });
  addEventListener("pageshow", (event) => { if (event.persisted) { told = ""; look(); } });
}
