// The Segment and RudderStack SDKs in the fault matrix. They know a status and
// send a batch again as a whole. (`overrides` in package.json concerns a part of
// RudderStack's optional queue in Redis, which is not installed: not every mirror
// of the registry has all of its newest release.)

import { loses, resends } from "../harness/driver.mjs";

const NODE = resends("10 tries more for 429, 5xx, a broken connection and a time-out, 0.5 s doubled apart or as `Retry-After` says of a 429");
const RUDDER = resends("3 tries more for 429, 5xx and a broken connection, 0.2 s doubled apart or as `Retry-After` says");
const PYTHON = resends("10 tries more for 429, 5xx, a broken connection and a time-out; with `Retry-After` for 30 minutes");

export default [
  {
    npm: "@segment/analytics-node",
    title: "server",
    driver: "driver-segment.mjs",
    timeoutMs: 2000,
    declared: { unavailable: NODE, limited: NODE, cutBefore: NODE, cutAfter: NODE, slow: NODE },
  },
  {
    npm: "@rudderstack/rudder-sdk-node",
    title: "server, queue in memory",
    driver: "driver-rudder.mjs",
    timeoutMs: 2000,
    declared: {
      unavailable: RUDDER, limited: RUDDER, cutBefore: RUDDER, cutAfter: RUDDER,
      slow: loses("a time-out ends it (there is none by default)"),
    },
  },
  {
    pypi: "segment-analytics-python",
    title: "server",
    driver: "driver-segment.py",
    timeoutMs: 2000,
    declared: { unavailable: PYTHON, limited: PYTHON, cutBefore: PYTHON, cutAfter: PYTHON, slow: PYTHON },
  },
];
