// The whole SDK in each host: automatic events, storage, lifecycle, kill.

import assert from "node:assert/strict";
import test from "node:test";
import { createHost, PLATFORMS, storage } from "./fake-host/index.mjs";
import { serve, sleep, until } from "./server.mjs";

const UUID7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function start(host, gateway, options = {}) {
  host.sluice.init({ url: gateway.url, key: "k", retry_base_ms: 20, timeout_ms: 2000, ...options });
}

async function withHost(platform, run, options = {}) {
  const gateway = await serve(options.gateway);
  const host = createHost(platform, options);
  try {
    await run(host, gateway);
  } finally {
    host.kill();
    gateway.close();
  }
}

for (const platform of PLATFORMS) {
  test(`${platform}: a visit gives each automatic event once (SDK-AUTO-1, SDK-EVENT-1)`, () =>
    withHost(platform, async (host, gateway) => {
      start(host, gateway);
      const seen = [];
      host.context.App({
        name: "app",
        onLaunch(options) { seen.push([this.name, options.scene]); },
        onError() {},
      });
      host.context.Page({
        data: { n: 1 },
        onLoad() { seen.push(["load", this.route]); },
        onShareAppMessage: () => ({ title: "t", path: "pages/index?a=1" }),
      });
      host.launch();
      const page = host.open("pages/index", { sku: "1", q: "a b" });
      host.open("pages/item", {});
      assert.deepEqual(page.onShareAppMessage({ from: "button" }), { title: "t", path: "pages/index?a=1" });
      host.registered.app.onError("ReferenceError: x is not defined\n at f (a.js:1)");
      host.registered.app.onUnhandledRejection({ reason: new Error("no") });
      host.back();
      host.hide();
      await until(() => gateway.names().includes("app_hide"), "app_hide");
      assert.deepEqual(gateway.names(), [
        "app_launch", "app_show", "page_view", "perf", "page_leave", "page_view", "share",
        "error", "error", "page_leave", "page_view", "page_leave", "app_hide",
      ]);
      assert.deepEqual(seen, [["app", 1001], ["load", "pages/index"], ["load", "pages/item"]]);
      const [launch, , view, perf, leave, second] = gateway.events();
      assert.equal(launch.scene, "1001");
      assert.deepEqual(launch.page, { path: "pages/index", query: "from=qr" });
      assert.deepEqual(view.page, { path: "pages/index", query: "sku=1&q=a%20b" });
      assert.equal(perf.type, "perf");
      assert.ok(perf.properties.duration_ms >= 0);
      assert.ok(leave.properties.stay_ms >= 0);
      assert.equal(second.page.referrer, "pages/index");
      gateway.events().forEach((event, index) => {
        assert.match(event.id, UUID7);
        assert.equal(event.seq, index + 1);
        assert.equal(event.session_id, launch.session_id);
        assert.equal(event.device_id, launch.device_id);
      });
      const [batch] = gateway.batches;
      assert.equal(batch.platform, platform);
      assert.deepEqual(batch.sdk, { name: "sluice-mp", version: "0.1.0" });
      assert.equal(batch.device.os, "iOS");
      assert.equal(batch.device.network, "wifi");
      assert.equal(batch.env, "release");
      assert.equal(batch.app_version, "1.2.3");
    }));

  test(`${platform}: hidden and shown again, page views stay paired (SDK-AUTO-2)`, () =>
    withHost(platform, async (host, gateway) => {
      start(host, gateway);
      host.context.App({});
      host.context.Page({ data: {} });
      host.launch();
      host.open("pages/index");
      host.hide();
      host.show();
      await sleep(200);
      host.hide();
      await until(() => gateway.names().filter((name) => name === "app_hide").length === 2, "two app_hide");
      const names = gateway.names().filter((name) => name.startsWith("page_") || name.startsWith("app_"));
      assert.deepEqual(names, [
        "app_launch", "app_show", "page_view", "page_leave", "app_hide",
        "app_show", "page_view", "page_leave", "app_hide",
      ]);
    }));

  test(`${platform}: a kill loses nothing that was stored; ids stay; no key is too large (SDK-PERSIST-4, SDK-LIMIT-1)`, () => {
    const disk = storage();
    return withHost(platform, async (host, gateway) => {
      gateway.answer = () => ({ status: 503, headers: { "retry-after": "60" }, body: {} });
      start(host, gateway, { auto: false });
      const ids = Array.from({ length: 120 }, (_, n) => host.sluice.track("n", { n, text: "页".repeat(1000) }));
      await sleep(700);
      host.kill();
      assert.ok(disk.largest <= 180 * 1024, `a key of ${disk.largest} bytes`);
      gateway.answer = undefined;
      gateway.batches.length = 0;
      const again = createHost(platform, { disk });
      start(again, gateway, { auto: false });
      again.sluice.flush();
      await until(() => gateway.seen.size === 120, "all events");
      await sleep(600);
      again.kill();
      assert.deepEqual(gateway.events().map((event) => event.id), ids);
      assert.ok([...disk.values.keys()].every((key) => !key.startsWith("sluice.q.")), "the queue in storage is empty");
    }, { disk });
  });

  test(`${platform}: full storage stops nothing`, () => {
    const disk = storage({ bytesMax: 100 });
    return withHost(platform, async (host, gateway) => {
      start(host, gateway, { auto: false });
      for (let n = 0; n < 60; n += 1) host.sluice.track("n", { n });
      await until(() => gateway.seen.size === 60, "all events");
    }, { disk });
  });
}

test("wx: the app's own requests are measured without their query, ours are not, callbacks are the app's (SDK-HOST-2, SDK-HOST-4, SDK-PRIVACY-4)", () =>
  withHost("wx", async (host, gateway) => {
    start(host, gateway);
    const other = await serve({ answer: () => ({ status: 404, body: {} }) });
    const wx = host.api;
    const told = await new Promise((resolve) => {
      wx.request({ url: `${other.url}/list?secret=1`, method: "POST", data: "{}", success: resolve });
    });
    assert.equal(told.statusCode, 404);
    other.close();
    await new Promise((resolve) => wx.request({ url: `${other.url}/gone`, fail: resolve }));
    host.sluice.flush();
    await until(() => gateway.names().length === 2, "two requests");
    const [answered, broken] = gateway.events().map((event) => event.properties);
    assert.deepEqual({ ...answered, duration_ms: 0 }, { url: `${other.url}/list`, method: "POST", status: 404, duration_ms: 0 });
    assert.equal(broken.status, 0);
  }));

test("wx: an app that throws still throws, and its page is still viewed (SDK-HOST-2)", () =>
  withHost("wx", async (host, gateway) => {
    start(host, gateway);
    host.context.App({});
    host.context.Page({ data: {}, onShow() { throw new Error("mine"); } });
    host.launch();
    assert.throws(() => host.open("pages/index"), /mine/);
    host.sluice.flush();
    await until(() => gateway.names().includes("page_view"), "page_view");
  }));

test("wx: pages made by Component (UniApp, Taro) are viewed, components in pages are not", () =>
  withHost("wx", async (host, gateway) => {
    start(host, gateway);
    host.context.App({});
    host.context.Component({ methods: { onLoad() {}, onShow() {} } });
    host.launch();
    const page = host.open("pages/uni", { a: 1 });
    Object.create(page, { route: { value: undefined } }).onShow();
    host.hide();
    await until(() => gateway.names().includes("app_hide"), "app_hide");
    assert.equal(gateway.names().filter((name) => name === "page_view").length, 1);
    assert.equal(gateway.events().find((event) => event.name === "page_view").page.path, "pages/uni");
  }));

test("wx: a batch that empties the first of several keys does not stop the rest", () =>
  withHost("wx", async (host, gateway) => {
    gateway.config.flush_interval_ms = 300;
    start(host, gateway, { auto: false });
    const text = Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`t${i}`, "x".repeat(8000)]));
    for (let n = 0; n < 40; n += 1) assert.ok(host.sluice.track("n", { n, ...text }));
    await until(() => gateway.seen.size === 40, "all events");
    assert.ok(gateway.batches.length >= 2);
  }));

test("wx: an app that errs in a loop reports the first errors of the minute (SDK-HOST-5)", () =>
  withHost("wx", async (host, gateway) => {
    start(host, gateway);
    const own = [];
    host.context.App({ onError: (error) => own.push(error) });
    host.launch();
    for (let n = 0; n < 500; n += 1) host.registered.app.onError(`Error ${n}`);
    host.hide();
    await until(() => gateway.names().includes("app_hide"), "app_hide");
    assert.equal(own.length, 500);
    const messages = gateway.events().filter((event) => event.type === "error").map((event) => event.properties.message);
    assert.deepEqual(messages, Array.from({ length: 20 }, (_, n) => `Error ${n}`));
  }));

test("wx: share hooks are not added to pages without them", () =>
  withHost("wx", async (host, gateway) => {
    start(host, gateway);
    host.context.Page({ data: {} });
    assert.equal(host.registered.pages[0].onShareAppMessage, undefined);
  }));

test("wx: the queue is written before anything is sent when hidden", () => {
  const disk = storage();
  return withHost("wx", async (host, gateway) => {
    await until(() => { start(host, gateway, { auto: { page: false } }); return true; }, "start");
    host.context.App({});
    host.launch();
    await until(() => gateway.seen.size > 0, "first batch");
    let stored;
    gateway.answer = () => { stored ??= [...disk.values.keys()].some((key) => /q\.\d/.test(key)); return undefined; };
    host.sluice.track("last");
    host.hide();
    await until(() => gateway.names().includes("last"), "last");
    assert.equal(stored, true);
  }, { disk });
});

test("wx: a queue of thousands does not make events dearer (SDK-HOST-1)", () => {
  const disk = storage();
  return withHost("wx", async (host, gateway) => {
    gateway.answer = () => ({ status: 503, body: {} });
    let written = 0;
    const set = host.api.setStorageSync;
    host.api.setStorageSync = (key, value) => { written += 1; return set(key, value); };
    start(host, gateway, { auto: false });
    for (let n = 0; n < 4000; n += 1) host.sluice.track("n", { n, text: "x".repeat(300) });
    assert.ok(written < 10, `${written} writes while 4,000 events were made`);
    await sleep(700);
    assert.ok([...disk.values.keys()].filter((key) => /q\.\d/.test(key)).length > 5, "the queue is in several keys");
    written = 0;
    host.sluice.track("one");
    await sleep(700);
    assert.ok(written <= 3, `${written} writes for one more event`);
  }, { disk });
});

test("wx: only the gateway is spoken to, and a device is a random id (SDK-PRIVACY-5, SDK-ID-5)", () =>
  withHost("wx", async (host, gateway) => {
    const urls = new Set();
    const request = host.api.request;
    host.api.request = (options) => { urls.add(new URL(options.url).origin); return request(options); };
    start(host, gateway);
    host.context.App({});
    host.launch();
    host.hide();
    await until(() => gateway.names().includes("app_hide"), "app_hide");
    assert.deepEqual([...urls], [gateway.url]);
    const [{ device_id }] = gateway.events();
    assert.match(device_id, UUID7);
    const again = createHost("wx");
    start(again, gateway, { auto: false });
    assert.notEqual(again.sluice.state().device_id, device_id);
    again.kill();
  }));
