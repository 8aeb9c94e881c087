// The faults: how each is made, and how to see that it happened.

import fs from "node:fs";
import path from "node:path";
import { start, stop } from "../sensors/gateway.mjs";
import { metric } from "./oracle.mjs";

/** No disk has so much room: the log takes nothing until the gateway is started without it. */
const DISK_TOO_SMALL = { SLUICE_LOG__DISK_RESERVE_BYTES: String(2 ** 60) };
/** The demo app, at four requests a second: one larger than the burst is charged a full burst. */
const FOUR_REQUESTS_A_SECOND = `
[apps.demo]
write_keys = ["demo-write-key"]
server_keys = [{ key = "demo-server-key" }]
read_tokens = ["demo-read-token"]
sensors_projects = [{ project = "demo" }, { project = "default" }]
datarangers_app_ids = ["10001"]
rate = { events_per_s = 4, events_burst = 1 }
`;
const OUTAGE_MS = 1500;
/** Two requests in a row: an immediate second try is not enough. */
const REQUESTS_FAILED = 2;
const SLOWER_THAN_TIME_OUT_MS = 1000;
/** For SDKs that have no time-out. */
const SLOW_MS = 3000;

/**
 * `prepare` gives the gateway and what the proxy does; `during` runs beside the
 * SDK; `happened` counts how often the fault struck.
 */
export const FAULTS = {
  ok: {
    title: "ok",
    prepare: async (cell) => ({ gateway: await start(cell.dir), faults: {} }),
    happened: async () => 1,
  },
  unavailable: {
    title: "503",
    prepare: async (cell) => ({ gateway: await start(cell.dir, { env: DISK_TOO_SMALL }), faults: {} }),
    during: outage,
    happened: async (cell) => cell.refused,
  },
  limited: {
    title: "429",
    async prepare(cell) {
      const config = path.join(cell.dir, "sluice.toml");
      fs.writeFileSync(config, FOUR_REQUESTS_A_SECOND);
      return { gateway: await start(cell.dir, { config }), faults: {} };
    },
    happened: (cell) => refusals(cell.gateway, "rate_limited"),
  },
  cutBefore: {
    title: "reset before",
    prepare: async (cell) => ({ gateway: await start(cell.dir), faults: { cutBefore: REQUESTS_FAILED } }),
    happened: async (cell) => cell.proxy.hit,
  },
  cutAfter: {
    title: "reset after",
    prepare: async (cell) => ({ gateway: await start(cell.dir), faults: { cutAfter: REQUESTS_FAILED } }),
    happened: async (cell) => cell.proxy.hit,
  },
  slow: {
    title: "slow reply",
    async prepare(cell) {
      const { timeoutMs } = cell.subject;
      const slowMs = timeoutMs ? timeoutMs + SLOWER_THAN_TIME_OUT_MS : SLOW_MS;
      return { gateway: await start(cell.dir), faults: { slow: REQUESTS_FAILED, slowMs }, timeoutMs };
    },
    happened: async (cell) => cell.proxy.hit,
  },
};

function refusals(gateway, reason) {
  return metric(gateway, "append_refused_requests_total", { reason });
}

/**
 * The gateway refuses until it has refused something and some time has passed;
 * then the same one comes up again, able to write. `cell.over` ends it early.
 */
async function outage(cell) {
  let until = Infinity;
  while (Date.now() < until && !cell.over) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    if (until === Infinity && (await refusals(cell.gateway, "log_unavailable")) > 0) until = Date.now() + OUTAGE_MS;
  }
  cell.refused = await refusals(cell.gateway, "log_unavailable");
  cell.proxy.target = undefined;
  await stop(cell.gateway);
  cell.gateway = await start(cell.dir);
  cell.proxy.target = cell.gateway.http;
}
