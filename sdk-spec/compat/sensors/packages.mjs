// The Sensors SDKs in the fault matrix. Where the gateway refuses for a while it
// closes the connection without an answer: the mini-program SDK takes any status
// for success.

import { resends } from "../harness/driver.mjs";

const KEEPS = resends("keeps a batch until a request is answered; any answer ends it, so the gateway gives none");
const BUFFERS = resends("BatchConsumer raises and keeps its buffer; the next `track` or `flush` sends it");

export default [
  {
    npm: "sa-sdk-miniprogram",
    title: "mini program, batches",
    driver: "driver-miniprogram.mjs",
    timeoutMs: 2000,
    declared: { unavailable: KEEPS, limited: KEEPS, cutBefore: KEEPS, cutAfter: KEEPS, slow: KEEPS },
  },
  {
    pypi: "SensorsAnalyticsSDK",
    title: "server, BatchConsumer",
    driver: "driver-server.py",
    timeoutMs: 2000,
    declared: { unavailable: BUFFERS, limited: BUFFERS, cutBefore: BUFFERS, cutAfter: BUFFERS, slow: BUFFERS },
  },
];
