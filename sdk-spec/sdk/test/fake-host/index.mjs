// Mini program hosts under node: what the SDK touches of each, with the ways in
// which they differ, over real HTTP. A host's memory is a context of its own,
// so that a kill takes everything but storage with it.

import fs from "node:fs";
import http from "node:http";
import vm from "node:vm";

const BUNDLE = new URL("../../dist/index.js", import.meta.url);

/**
 * How hosts differ. `objects`: storage calls take one object, a refused write
 * is answered, not thrown. `failStatus`: `fail` for statuses other than 2xx.
 * `pageStays`: pages are not hidden and shown with the app. `parses`: replies
 * come parsed. `title`: response headers as `Retry-After`.
 */
const HOSTS = {
  jd: { title: true },
  wx: { title: true },
  my: { objects: true, failStatus: true, pageStays: true, headers: "headers", keyBytesMax: 200 * 1024 },
  tt: { lists: true },
  swan: { pageStays: true, title: true },
  qq: {},
  ks: { parses: true, alias: "wx" },
};
export const PLATFORMS = Object.keys(HOSTS);

/** Storage of a host: outlives a kill. */
export function storage({ bytesMax = 10 << 20 } = {}) {
  return { values: new Map(), bytesMax, full: false, largest: 0 };
}

export function createHost(platform, { disk = storage(), clock = { offset: 0 }, online = true } = {}) {
  const traits = { keyBytesMax: 1 << 20, headers: "header", ...HOSTS[platform] };
  const state = { alive: true, online, timers: new Set(), calls: new Set(), network: [], logs: [] };
  const api = {
    ...storageApi(traits, disk),
    request: (options) => request(options, traits, state),
    getSystemInfoSync: () => ({
      brand: "Apple", model: "iPhone 15 Pro", system: "iOS 17.5.1", platform: "ios",
      screenWidth: 393, screenHeight: 852, language: "zh_CN", version: "8.0.50",
    }),
    getAccountInfoSync: () => ({ miniProgram: { appId: `${platform}0123456789`, version: "1.2.3", envVersion: "release" } }),
    getNetworkType: ({ success }) => success?.({ networkType: state.online ? "wifi" : "none" }),
    onNetworkStatusChange: (tell) => state.network.push(tell),
  };
  const registered = { app: undefined, pages: [], components: [] };
  const stack = [];
  const context = vm.createContext({
    App: (options) => { registered.app = options; },
    Page: (options) => { registered.pages.push(options); },
    Component: (options) => { registered.components.push(options); },
    getCurrentPages: () => stack,
    console: { warn: (text) => state.logs.push(text), log() {} },
    setTimeout: (run, ms) => timer(state, run, ms),
    clearTimeout: (handle) => { clearTimeout(handle); state.timers.delete(handle); },
    [platform]: api,
    ...(traits.alias ? { [traits.alias]: api } : {}),
    __now: () => Date.now() + clock.offset,
  });
  vm.runInContext("Date.now = __now", context);
  const load = vm.runInContext(`(function (module, exports) {${fs.readFileSync(BUNDLE, "utf8")}\n})`, context);
  const module = { exports: {} };
  load(module, module.exports);
  const host = lifecycle({ registered, stack, traits, state });
  return Object.assign(host, { platform, api, context, disk, clock, state, registered, sluice: module.exports.default, sdk: module.exports });
}

function timer(state, run, ms) {
  const handle = setTimeout(() => {
    state.timers.delete(handle);
    if (state.alive) run();
  }, ms);
  state.timers.add(handle);
  return handle;
}

function storageApi(traits, disk) {
  const size = () => [...disk.values.entries()].reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  const refused = (key, text) => {
    const bytes = Buffer.byteLength(text);
    if (disk.full || bytes > traits.keyBytesMax) return true;
    const before = disk.values.get(key)?.length ?? 0;
    if (size() - before + bytes > disk.bytesMax) return true;
    disk.largest = Math.max(disk.largest, bytes);
    return false;
  };
  if (traits.objects) {
    return {
      getStorageSync: ({ key }) => ({ data: disk.values.has(key) ? JSON.parse(disk.values.get(key)) : null }),
      setStorageSync: ({ key, data }) => {
        if (refused(key, JSON.stringify(data))) return { error: 14, errorMessage: "storage is full" };
        disk.values.set(key, JSON.stringify(data));
        return { success: true };
      },
      removeStorageSync: ({ key }) => { disk.values.delete(key); },
    };
  }
  return {
    getStorageSync: (key) => (disk.values.has(key) ? JSON.parse(disk.values.get(key)) : ""),
    setStorageSync: (key, data) => {
      if (refused(key, JSON.stringify(data))) throw new Error("setStorageSync:fail exceed storage max size");
      disk.values.set(key, JSON.stringify(data));
    },
    removeStorageSync: (key) => { disk.values.delete(key); },
  };
}

/** As hosts do it: `success` for any status (but `my`), `fail` without a reply. */
function request(options, traits, state) {
  const { url, method = "GET", data, timeout } = options;
  const failed = (error) => finish(() => options.fail?.({ errMsg: `request:fail ${error.message}` }));
  let over = false;
  const finish = (tell) => {
    state.calls.delete(call);
    if (over || !state.alive) return;
    over = true;
    tell();
    options.complete?.({});
  };
  const headers = { "content-type": "application/json", ...options[traits.headers] };
  const call = http.request(url, { method, headers, timeout: timeout || 60_000, agent: false }, (reply) => {
    const chunks = [];
    reply.on("data", (chunk) => chunks.push(chunk));
    reply.on("error", failed);
    reply.on("end", () => {
      if (!reply.complete) return failed(new Error("aborted"));
      const status = reply.statusCode;
      const text = Buffer.concat(chunks).toString();
      const answer = { [traits.headers]: headersOf(reply, traits), data: traits.parses ? parsed(text) : text };
      if (traits.failStatus) answer.status = status;
      else answer.statusCode = status;
      if (traits.failStatus && (status < 200 || status > 299)) {
        return finish(() => options.fail?.({ ...answer, error: 19, errorMessage: "http status error" }));
      }
      return finish(() => options.success?.(answer));
    });
  });
  state.calls.add(call);
  call.on("error", failed);
  call.on("timeout", () => call.destroy(new Error("timeout")));
  if (!state.online) setImmediate(() => call.destroy(new Error("network is down")));
  else call.end(data === undefined ? undefined : String(data));
  return { abort: () => call.destroy(new Error("abort")) };
}

function headersOf(reply, traits) {
  const title = (name) => name.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase());
  return Object.fromEntries(Object.entries(reply.headers).map(([name, value]) => [
    traits.title ? title(name) : name, traits.lists ? [value] : value,
  ]));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function lifecycle({ registered, stack, traits, state }) {
  const top = () => stack[stack.length - 1];
  return {
    launch(options = { path: "pages/index", query: { from: "qr" }, scene: 1001 }) {
      registered.app?.onLaunch?.call(registered.app, options);
      registered.app?.onShow?.call(registered.app, options);
    },
    /** Opens a page made of what was last handed to `Page`, or to `Component`. */
    open(route, options = {}, made = registered.pages.at(-1) ?? registered.components.at(-1).methods) {
      top()?.onHide?.call(top());
      const page = Object.assign(Object.create(made), { route, options, data: { ...made.data } });
      stack.push(page);
      page.onLoad?.call(page, options);
      page.onShow?.call(page);
      page.onReady?.call(page);
      return page;
    },
    back() {
      const page = stack.pop();
      page.onUnload?.call(page);
      top()?.onShow?.call(top());
    },
    hide() {
      if (!traits.pageStays) top()?.onHide?.call(top());
      registered.app?.onHide?.call(registered.app, {});
    },
    show(options = { path: "pages/index", query: {}, scene: 1038 }) {
      registered.app?.onShow?.call(registered.app, options);
      if (!traits.pageStays) top()?.onShow?.call(top());
    },
    network(online) {
      state.online = online;
      for (const tell of state.network) tell({ isConnected: online, networkType: online ? "wifi" : "none" });
    },
    /** The process is gone: no timer, no callback, no request. */
    kill() {
      state.alive = false;
      for (const handle of state.timers) clearTimeout(handle);
      for (const call of state.calls) call.destroy();
    },
  };
}
