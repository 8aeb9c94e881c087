// A small stand-in for the JD host: what the SDK touches of `jd`, `App` and
// `Page`, over real HTTP. As in the host, `jd.request` calls `success` for any
// status and `fail` only when no reply came. Storage outlives the process if a
// file is named.

import fs from "node:fs";
import http from "node:http";

const LAUNCH = { path: "pages/index/index", query: { from: "qr" }, scene: 1001 };

export function installHost(file) {
  const saved = file && fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")) : [];
  const storage = new Map(saved);
  if (file) process.on("exit", () => fs.writeFileSync(file, JSON.stringify([...storage])));
  const pending = new Set();
  const later = (callback, answer) => setImmediate(() => callback?.(answer));
  globalThis.jd = {
    request: (options) => request(options, pending),
    getStorage: ({ key, success, fail }) =>
      storage.has(key)
        ? later(success, { data: structuredClone(storage.get(key)) })
        : later(fail, { errMsg: "getStorage:fail data not found" }),
    setStorage: ({ key, data, success }) => {
      storage.set(key, structuredClone(data));
      later(success, {});
    },
    removeStorage: ({ key, success }) => {
      storage.delete(key);
      later(success, {});
    },
    getStorageInfo: ({ success }) => later(success, { keys: [...storage.keys()] }),
    getNetworkType: ({ success }) => later(success, { networkType: "wifi" }),
    onNetworkStatusChange: () => {},
    onUnhandledRejection: () => {},
    onPageNotFound: () => {},
    getSystemInfo: ({ success }) => later(success, systemInfo()),
    getAccountInfoSync: () => ({
      miniProgram: { appId: "jd0123456789abcdef", version: "1.2.3", envVersion: "release" },
    }),
    getLaunchOptionsSync: () => LAUNCH,
    setNavigationBarTitle: () => {},
    SDKVersion: "3.5.8",
  };
  const pages = [];
  globalThis.getCurrentPages = () => pages;
  globalThis.App = (app) => {
    globalThis.theApp = app;
  };
  globalThis.Page = (page) => {
    globalThis.thePage = page;
  };
  return {
    launch() {
      theApp.onLaunch(LAUNCH);
      theApp.onShow(LAUNCH);
    },
    show: () => theApp.onShow(LAUNCH),
    open(route, options) {
      Object.assign(thePage, { route, options });
      pages.push(thePage);
      thePage.onShow();
    },
    hide() {
      thePage.onHide();
      theApp.onHide();
    },
    /** Batches that wait for another try. */
    kept: () => [...storage.keys()].filter((key) => key.startsWith("__tea_cache_compensate")).length,
    /** Resolves once no request is under way. */
    async idle(ms = 250) {
      const quiet = () => new Promise((resolve) => setTimeout(resolve, ms));
      for (await quiet(); pending.size > 0; await quiet());
    },
  };
}

function systemInfo() {
  return {
    brand: "Apple",
    model: "iPhone 15 Pro<iPhone16,1>",
    system: "iOS 17.5.1",
    platform: "ios",
    screenWidth: 393,
    screenHeight: 852,
    version: "13.1.0",
    SDKVersion: "3.5.8",
    language: "zh_CN",
  };
}

function request({ url, method = "GET", data, timeout, success, fail }, pending) {
  const headers = {
    "content-type": "application/json",
    referer: "https://service.vapp.jd.com/jd0123456789abcdef/1/page-frame.html",
  };
  const call = http.request(url, { method, headers, timeout: timeout || 10_000 }, (reply) => {
    const chunks = [];
    reply.on("data", (chunk) => chunks.push(chunk));
    reply.on("end", () => done(success, { statusCode: reply.statusCode, data: parsed(chunks) }));
    reply.on("error", broken);
  });
  let ended = false;
  const done = (callback, answer) => {
    if (ended) return;
    ended = true;
    pending.delete(call);
    callback?.(answer);
  };
  const broken = (error) => done(fail, { errMsg: `request:fail ${error.message}` });
  pending.add(call);
  call.on("error", broken);
  call.on("timeout", () => call.destroy(new Error("timeout")));
  call.end(typeof data === "string" ? data : JSON.stringify(data));
  return { abort: () => call.destroy() };
}

function parsed(chunks) {
  const text = Buffer.concat(chunks).toString();
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
