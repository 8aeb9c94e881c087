// Reports events with the SDK, one a request; prints how many batches still wait.
//
// usage: node driver.mjs SETTINGS (see harness/driver.mjs)

import { createRequire } from "node:module";
import path from "node:path";
import { report, settings } from "../harness/driver.mjs";
import { installHost } from "./jd-host.mjs";

const { address, markers, timeoutMs, dir } = settings();
const host = installHost(path.join(dir, "sdk-storage.json"));
const sdk = createRequire(import.meta.url)("@datarangers/sdk-mp");
sdk.init({
  app_id: 10001,
  channel_domain: `http://${address}`,
  auto_report: false,
  log: false,
  ...(timeoutMs && { request_timeout: timeoutMs }),
});
App({ onLaunch() {}, onShow() {}, onHide() {} });
Page({ data: {}, onShow() {}, onHide() {} });
sdk.send();
host.launch();
await host.idle();
for (const marker of markers) {
  sdk.event("fault", { marker });
  await new Promise((resolve) => setTimeout(resolve, 25));
}
// Coming to the front makes the SDK send what waits.
for (let shows = 0; shows < 20; shows += 1) {
  await host.idle(600);
  if (!host.kept()) break;
  host.show();
}
await host.idle();
report({ waiting: host.kept() });
