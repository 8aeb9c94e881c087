// Reports events with the mini-program SDK, in batches; prints how many of its
// requests were answered and how many not.
//
// usage: node driver-miniprogram.mjs SETTINGS (see harness/driver.mjs)

import { createRequire } from "node:module";
import { report, settings } from "../harness/driver.mjs";
import { installHost } from "./wx-host.mjs";

const { address, markers, timeoutMs } = settings();
const host = installHost();
const said = { answered: 0, unanswered: 0 };
const { request } = wx;
wx.request = (options) => request({
  ...options,
  success: (reply) => { said.answered += 1; options.success?.(reply); },
  fail: (error) => { said.unanswered += 1; options.fail?.(error); },
});
const sensors = createRequire(import.meta.url)("sa-sdk-miniprogram");
sensors.setPara({
  server_url: `http://${address}/sa?project=default`,
  autoTrack: { appLaunch: false, appShow: false, appHide: false, pageShow: false, pageShare: false, mpClick: false, pageLeave: false },
  batch_send: { send_timeout: 500, max_length: 5 },
  ...(timeoutMs && { datasend_timeout: timeoutMs }),
  show_log: false,
});
sensors.init();
App({ onLaunch() {}, onShow() {}, onHide() {} });
Page({ data: {}, onLoad() {}, onShow() {}, onHide() {} });
host.launch();
host.open("pages/index/index", {});
for (const marker of markers) {
  sensors.track("fault", { marker });
  await new Promise((resolve) => setTimeout(resolve, 25));
}
// Each failed try doubles the SDK's interval; leaving the app makes it send at once.
for (let leaves = 0; leaves < 20; leaves += 1) {
  await host.idle(700);
  if (!host.storage.get("sensors_mp_prepare_data")?.length) break;
  host.hide();
}
await host.idle();
report(said);
