// The DataRangers SDK in the fault matrix. Where the gateway refuses for a while
// it closes the connection without an answer: the second try of the SDK takes
// any status for success, and 429 at once.

import { resends } from "../harness/driver.mjs";

const KEEPS = resends("keeps a batch in storage until it is answered, so the gateway gives no answer (429 would lose it at once, 503 the second time)");

export default [
  {
    npm: "@datarangers/sdk-mp",
    title: "mini program (jd)",
    driver: "driver.mjs",
    path: "/list/",
    timeoutMs: 2000,
    declared: { unavailable: KEEPS, limited: KEEPS, cutBefore: KEEPS, cutAfter: KEEPS, slow: KEEPS },
  },
];
