// UniApp (Vue 3) and Taro end up in the host's App, Page and Component: their
// published run times, unmodified, in the stand-in of the wx host, with the SDK
// started before them.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import vm from "node:vm";
import { createHost } from "../test/fake-host/index.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const { buildSync } = createRequire(new URL("../package.json", import.meta.url))("esbuild");
const UNI = "@dcloudio/uni-mp-vue/dist/vue.runtime.esm.js";

/** What the frameworks' own build tools define. */
const DEFINED = {
  taro: {
    "process.env.TARO_PLATFORM": '"mini"', "process.env.TARO_ENV": '"weapp"',
    ...Object.fromEntries(["INNER_HTML", "ADJACENT_HTML", "SIZE_APIS", "TEMPLATE_CONTENT", "CLONE_NODE", "CONTAINS", "MUTATION_OBSERVER"].map((name) => [`ENABLE_${name}`, "false"])),
  },
  uni: {
    __UNI_FEATURE_OPTIONS_API__: "true", __VUE_OPTIONS_API__: "true", __VUE_PROD_DEVTOOLS__: "false", __VUE_CREATED_DEFERRED__: "false",
  },
};

function bundle(contents, define, alias = {}) {
  const { outputFiles } = buildSync({
    stdin: { contents, resolveDir: HERE }, bundle: true, write: false, format: "cjs", platform: "neutral",
    mainFields: ["module", "main"], define: { ...define, "process.env.NODE_ENV": '"production"' }, alias, logLevel: "error",
  });
  return outputFiles[0].text;
}

/** A host with the SDK, the framework's run time inside, and what was reported. */
function start(code, globals) {
  const host = createHost("wx");
  const reported = [];
  host.sluice.init({ url: "http://127.0.0.1:9", key: "k", before: (event) => { reported.push([event.name, event.page?.path, event.page?.query]); } });
  Object.assign(host.context, { global: {}, process: { env: {} }, ...globals(host) });
  const module = { exports: {} };
  vm.runInContext(`(function (module, exports) {${code}\n})`, host.context)(module, module.exports);
  return { host, reported, run: module.exports };
}

const VISIT = [
  ["app_launch", "pages/index", "from=qr"],
  ["app_show", "pages/index", "from=qr"],
  ["page_view", "pages/index/index", "sku=1"],
  ["perf", "pages/index/index", "sku=1"],
];
const END = [
  ["page_leave", "pages/index/index", "sku=1"],
  ["app_hide", "pages/index/index", "sku=1"],
];

test("Taro: a page made by createPageConfig is viewed and left", async () => {
  const code = bundle('export { createPageConfig, Current, document } from "@tarojs/runtime";', DEFINED.taro);
  const { host, reported, run } = start(code, () => ({}));
  try {
    // What @tarojs/plugin-framework-react or -vue3 puts there.
    run.Current.app = {
      mount(_, id, done) {
        const root = run.document.createElement("root");
        root.id = id;
        run.document.body.appendChild(root);
        done();
      },
      unmount: (_, done) => done(),
    };
    host.context.App({});
    const config = run.createPageConfig({}, "pages/index/index", { root: { cn: [] } }, { enableShareAppMessage: true });
    host.context.Page(Object.assign(config, { setData: (_, done) => done?.() }));
    host.launch();
    host.open("pages/index/index", { sku: "1" });
    await new Promise((resolve) => setTimeout(resolve, 100));
    host.hide();
    assert.deepEqual(reported, [...VISIT, ...END]);
  } finally {
    host.kill();
  }
});

test("UniApp: createSSRApp and createPage report a visit, and the app's own hooks run", () => {
  const code = bundle(
    `export { createPage } from "@dcloudio/uni-mp-weixin/dist/uni.mp.esm.js"; export { createSSRApp } from "${UNI}";`,
    DEFINED.uni, { vue: UNI },
  );
  const { host, reported, run } = start(code, (made) => {
    Object.assign(made.api, { canIUse: () => false, getAppBaseInfo: () => ({ language: "zh" }), getLaunchOptionsSync: () => ({}), onAppShow() {}, onAppHide() {} });
    return { uni: { invokeCreateVueAppHook() {} }, getApp: () => made.registered.app, Behavior: (one) => one };
  });
  const own = [];
  try {
    run.createSSRApp({ onLaunch: () => own.push("launch"), onHide: () => own.push("hide") }).mount("#app");
    run.createPage({ onLoad: (query) => own.push(query.sku), onShow: () => own.push("show"), onShareAppMessage: () => ({ title: "t" }), render: () => ({}) });
    host.launch();
    const made = host.registered.components.at(-1);
    const page = Object.assign(Object.create(made.methods), {
      route: "pages/index/index", options: { sku: "1" }, is: "pages/index/index", data: {}, properties: {},
      setData: (_, done) => done?.(), selectAllComponents: () => [], triggerEvent() {},
    });
    for (const name of ["created", "attached"]) made.lifetimes[name]?.call(page);
    page.onLoad({ sku: "1" });
    page.onShow();
    made.lifetimes.ready?.call(page);
    page.onReady();
    assert.equal(page.onShareAppMessage({ from: "menu" }).title, "t");
    page.onHide();
    host.registered.app.onHide();
    assert.deepEqual(reported, [...VISIT, ["share", "pages/index/index", "sku=1"], ...END]);
    assert.deepEqual(own, ["launch", "1", "show", "hide"]);
  } finally {
    host.kill();
  }
});
