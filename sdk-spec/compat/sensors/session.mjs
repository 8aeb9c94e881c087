// One visit of one user, made with the published SDK, in a process of its own
// (the SDK keeps its state in module scope).
//
// usage: node session.mjs SERVER_URL batch|single [gzip|session-event|encryption|general-encryption]

import { createRequire } from "node:module";
import { installHost } from "./wx-host.mjs";

const [serverUrl, mode, plugin] = process.argv.slice(2);
const host = installHost();
const require = createRequire(import.meta.url);
const sensors = require("sa-sdk-miniprogram");

sensors.setPara({
  server_url: serverUrl,
  autoTrack: {
    appLaunch: true, appShow: true, appHide: true, pageShow: true, pageShare: true,
    mpClick: true, pageLeave: true,
  },
  batch_send: mode === "batch" ? { send_timeout: 1000, max_length: 6 } : false,
  show_log: false,
});
// Plugins of the same package; the keys open nothing.
const options = {
  encryption: { k: "MDEyMzQ1Njc4OWFiY2RlZg==", kid: 1, khash: "0" },
  "general-encryption": {
    pkv: 1,
    pub_key: "none",
    encrypt_utils: {
      encryptEvent: (event) => [...JSON.stringify(event)].reverse().join(""),
      encryptSymmetricKeyWithPublicKey: () => "none",
    },
  },
};
if (plugin) sensors.use(require(`sa-sdk-miniprogram/dist/wechat/plugin/${plugin}/index.cmd`), options[plugin]);
sensors.init();

App({ onLaunch() {}, onShow() {}, onHide() {} });
Page({ data: {}, onLoad() {}, onShow() {}, onHide() {}, onShareAppMessage: () => ({ title: "t" }) });

host.launch();
host.open("pages/index/index", { sku: "100012043978" });
sensors.track("addToCart", { sku: "100012043978", price: 12.5, tags: ["a", "中文"] });
sensors.login("user-42");
sensors.setProfile({ level: "gold" });
sensors.track("order", { amount: 99 });
await host.idle();
host.hide();
await host.idle(1500);
process.exit(0);
