// Ways to pay beside cash: loaded only at a till that has some.
import { boot } from "../dom.js";

const NONE = { ways: [], busy: () => false, heldOf: () => [], payCode: () => "", hear: () => {}, resume: () => {} };
export const tender = (boot.tenders || []).length > 1 ? await import("../tender/tender.js") : NONE;
