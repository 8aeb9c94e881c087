// A small stand-in for the WeChat host: what the SDK touches of `wx`, `App` and
// `Page`, over real HTTP. As in the host, `wx.request` calls `success` for any
// status and `fail` only when no reply came.

import http from "node:http";

const LAUNCH = { path: "pages/index/index", query: { from: "qr" }, scene: 1001 };

export function installHost({ storage = new Map(), pending = new Set() } = {}) {
  const shows = [];
  const hides = [];
  globalThis.wx = {
    request: (options) => request(options, pending),
    setStorageSync: (key, value) => storage.set(key, structuredClone(value)),
    getStorageSync: (key) => structuredClone(storage.get(key) ?? ""),
    getStorage: ({ key, success, fail, complete }) => {
      if (storage.has(key)) success?.({ data: structuredClone(storage.get(key)) });
      else fail?.({ errMsg: "getStorage:fail data not found" });
      complete?.({});
    },
    setStorage: ({ key, data, success }) => {
      storage.set(key, structuredClone(data));
      success?.({});
    },
    removeStorageSync: (key) => storage.delete(key),
    getNetworkType: ({ success, complete }) => {
      success?.({ networkType: "wifi" });
      complete?.({});
    },
    onNetworkStatusChange: () => {},
    getSystemInfo: ({ success, complete }) => {
      success?.(systemInfo());
      complete?.({});
    },
    getSystemInfoSync: systemInfo,
    getAccountInfoSync: () => ({
      miniProgram: { appId: "wx0123456789abcdef", version: "1.2.3", envVersion: "release" },
    }),
    getLaunchOptionsSync: () => LAUNCH,
    onAppShow: (callback) => shows.push(callback),
    onAppHide: (callback) => hides.push(callback),
    login: ({ success }) => success?.({ code: "c" }),
    setNavigationBarTitle: () => {},
  };
  const pages = [];
  globalThis.getCurrentPages = () => pages;
  globalThis.App = (app) => {
    globalThis.theApp = app;
  };
  globalThis.Page = (page) => {
    globalThis.thePage = page;
  };
  globalThis.Component = () => {};
  globalThis.getApp = () => globalThis.theApp;
  return {
    launch() {
      theApp.onLaunch?.call(theApp, LAUNCH);
      theApp.onShow?.call(theApp, LAUNCH);
      shows.forEach((callback) => callback(LAUNCH));
    },
    open(route, options) {
      thePage.route = route;
      thePage.options = options;
      pages.push(thePage);
      thePage.onLoad?.call(thePage, options);
      thePage.onShow?.call(thePage);
    },
    hide() {
      thePage?.onHide?.call(thePage);
      theApp.onHide?.call(theApp);
      hides.forEach((callback) => callback({}));
    },
    /** Resolves once no request is under way. */
    async idle(ms = 300) {
      const quiet = () => new Promise((resolve) => setTimeout(resolve, ms));
      for (await quiet(); pending.size > 0; await quiet());
    },
    storage,
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
    windowWidth: 393,
    windowHeight: 852,
    version: "8.0.50",
    SDKVersion: "3.5.8",
    language: "zh_CN",
  };
}

function request({ url, method = "GET", data, header = {}, timeout, success, fail, complete }, pending) {
  const body = data === undefined || data === "" ? undefined : String(data);
  const headers = {
    "content-type": header["content-type"] ?? "application/json",
    referer: "https://servicewechat.com/wx0123456789abcdef/12/page-frame.html",
  };
  const call = http.request(url, { method, headers, timeout: timeout || 10_000 }, (reply) => {
    const chunks = [];
    reply.on("data", (chunk) => chunks.push(chunk));
    reply.on("end", () => {
      success?.({ statusCode: reply.statusCode, data: Buffer.concat(chunks).toString() });
      done();
    });
    reply.on("error", broken);
  });
  let ended = false;
  const done = () => {
    if (ended) return;
    ended = true;
    pending.delete(call);
    complete?.({});
  };
  const broken = (error) => {
    if (ended) return;
    fail?.({ errMsg: `request:fail ${error.message}` });
    done();
  };
  pending.add(call);
  call.on("error", broken);
  call.on("timeout", () => call.destroy(new Error("timeout")));
  call.end(body);
  return { abort: () => call.destroy() };
}
