// The SDK in a mini program: `import sluice from "sluice-mp"`, then
// `sluice.init({ url, key })` before `App(…)`.

import { Sluice } from "./client";
import { detect, miniHost } from "./hosts/mini";

export { Sluice, miniHost };
export type { Host, Answer, HttpRequest } from "./host";
export type * from "./types";

/** The client of this mini program. */
const sluice = new Sluice(detect);
export default sluice;
