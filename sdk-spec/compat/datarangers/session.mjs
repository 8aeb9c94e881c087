// One visit of one user, made with the published SDK, in a process of its own
// (the SDK keeps its state in module scope). Prints as JSON how many batches
// wait for another try after each step.
//
// usage: node session.mjs SERVER_URL visit|early|tries|back [STORAGE_FILE]

import { createRequire } from "node:module";
import { installHost } from "./jd-host.mjs";

const [serverUrl, scene, file] = process.argv.slice(2);
const host = installHost(file);
const sdk = createRequire(import.meta.url)("@datarangers/sdk-mp");
const auto = scene === "visit" || scene === "early";

sdk.init({
  app_id: 10001,
  channel_domain: serverUrl,
  auto_report: auto,
  enable_profile: true,
  log: false,
});
App({ onLaunch() {}, onShow() {}, onHide() {} });
Page({ data: {}, onShow() {}, onHide() {} });

const kept = [];
const step = async (ms) => {
  await host.idle(ms);
  kept.push(host.kept());
};

const scenes = {
  /** Opens a page, logs in, orders, leaves. */
  async visit() {
    sdk.send();
    host.launch();
    host.open("pages/index/index", { sku: "100012043978" });
    await step();
    sdk.event("addToCart", { sku: "100012043978", price: 12.5, tags: ["a", "中文"] });
    sdk.config({ user_unique_id: "user-42" });
    sdk.profileSet({ level: "gold" });
    await step();
    sdk.event("order", { amount: 99 });
    await step();
    host.hide();
    await step();
  },
  /** Reports much, and leaves, before the SDK is ready. */
  async early() {
    host.launch();
    host.open("pages/index/index", {});
    for (let n = 0; n < 40; n += 1) sdk.event("early", { n });
    host.hide();
    sdk.send();
    await step(600);
  },
  /** One event; then the app comes to the front, as often as asked. */
  async tries() {
    sdk.send();
    host.launch();
    await step();
    sdk.event("order", { amount: 1 });
    await step();
    for (let n = 0; n < 3; n += 1) {
      host.show();
      await step();
    }
  },
  /** Comes back later and reports nothing new. */
  async back() {
    sdk.send();
    host.launch();
    await step(600);
  },
};

await scenes[scene]();
process.stdout.write(JSON.stringify(kept), () => process.exit(0));
