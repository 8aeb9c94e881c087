// The SDK on a server: `import { create } from "sluice-mp/node"`.

import { Sluice } from "./client";
import { nodeHost, type NodeOptions } from "./hosts/node";
import type { Options } from "./types";

export { Sluice, nodeHost };
export type { Host, Answer, HttpRequest } from "./host";
export type * from "./types";

/** A client that runs. `dir` keeps what waits over restarts. */
export function create(options: Options & NodeOptions): Sluice {
  const sluice = new Sluice(() => nodeHost(options));
  sluice.init(options);
  return sluice;
}
