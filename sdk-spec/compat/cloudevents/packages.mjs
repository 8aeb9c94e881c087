// The CloudEvents SDKs in the fault matrix. They make events and send none again
// by themselves; what retries is the caller's HTTP client.

import { loses, resends } from "../harness/driver.mjs";

const ONCE = loses("`httpTransport` sends once, whatever comes back, and waits without a time-out");
const REQUESTS = loses("`requests` sends once");
const RETRY = resends("`urllib3.Retry` on 429, 503 and broken connections, as `Retry-After` says");

function always(rule) {
  return { unavailable: rule, limited: rule, cutBefore: rule, cutAfter: rule, slow: rule };
}

const modes = ["structured", "binary", "batch"].map((mode) => ({
  npm: "cloudevents",
  title: mode,
  driver: "driver-node.mjs",
  args: [mode],
  declared: always(ONCE),
}));

export default [
  ...modes,
  {
    pypi: "cloudevents",
    title: "with requests",
    driver: "driver-python.py",
    args: ["structured"],
    timeoutMs: 2000,
    declared: always(REQUESTS),
  },
  {
    pypi: "cloudevents",
    title: "with requests and `Retry`",
    driver: "driver-python.py",
    args: ["retry"],
    timeoutMs: 2000,
    declared: always(RETRY),
  },
];
