// Automatic events: wraps what a mini program hands to `App`, `Page` and
// `Component` (so do UniApp and Taro), and the host's `request`. The app's own
// callbacks keep their `this`, arguments, results and exceptions (SDK-HOST-2).

import type { Sluice } from "./client";
import type { Host } from "./host";
import type { AutoOptions, Extra, Page as PageInfo } from "./types";
import { attempt, cut, since, ticks } from "./util";

declare let App: any;
declare let Page: any;
declare let Component: any;

type Hook = (self: any, args: any[], result?: any) => void;

/** How long a page may take to show itself after the app did. */
const PAGE_AFTER_APP_MS = 100;
/** An app that errs in a loop must not push everything else out of the queue. */
const ERRORS_PER_MINUTE_MAX = 20;

export class Auto {
  private launched: number | undefined;
  private shown: number | undefined;
  private ready = false;
  private current: { self: any; page: PageInfo; from: number } | undefined;
  private resumable: PageInfo | undefined;
  private previous = "";
  private errors = { from: ticks(), count: 0 };

  constructor(private sluice: Sluice, private host: Host, private url: string, private on: AutoOptions) {}

  install(): void {
    attempt(() => this.wrapApp());
    attempt(() => this.wrapPage());
    attempt(() => this.wrapComponent());
    if (this.host.api && this.on.request !== false) attempt(() => this.wrapRequest(this.host.api));
  }

  private wrapApp(): void {
    if (typeof App !== "function") return;
    const own = App;
    const auto = this;
    App = Object.assign(function (this: any, options: any) {
      if (options && typeof options === "object") attempt(() => auto.hookApp(options));
      return own.apply(this, arguments);
    }, own);
  }

  private wrapPage(): void {
    if (typeof Page !== "function") return;
    const own = Page;
    const auto = this;
    Page = Object.assign(function (this: any, options: any) {
      if (options && typeof options === "object") attempt(() => auto.hookPage(options));
      return own.apply(this, arguments);
    }, own);
  }

  /** A component may be a page: then the host calls its methods like a page's. */
  private wrapComponent(): void {
    if (typeof Component !== "function") return;
    const own = Component;
    const auto = this;
    Component = Object.assign(function (this: any, options: any) {
      if (options && typeof options === "object") {
        attempt(() => auto.hookPage(options.methods || (options.methods = {})));
      }
      return own.apply(this, arguments);
    }, own);
  }

  private hookApp(options: any): void {
    hook(options, "onLaunch", (_, [launch]) => {
      this.launched = ticks();
      if (this.on.app !== false) this.sluice.track("app_launch", undefined, entry(launch));
    });
    hook(options, "onShow", (_, [launch]) => this.appShow(launch));
    hook(options, "onHide", () => this.appHide());
    if (this.on.error === false) return;
    hook(options, "onError", (_, [error]) => this.error("script", error));
    hook(options, "onUnhandledRejection", (_, [event]) => this.error("promise", event && event.reason));
  }

  private hookPage(page: any): void {
    hook(page, "onShow", (self) => this.pageShow(self));
    hook(page, "onHide", (self) => this.pageHide(self));
    hook(page, "onUnload", (self) => this.pageHide(self));
    hook(page, "onReady", (self) => this.pageReady(self));
    if (this.on.share === false) return;
    // Only where the page has them: they switch the host's menu entries on.
    if (typeof page.onShareAppMessage === "function") hook(page, "onShareAppMessage", undefined, (self, args, made) => this.shared(self, args[0], made));
    if (typeof page.onShareTimeline === "function") hook(page, "onShareTimeline", undefined, (self, _, made) => this.shared(self, { from: "timeline" }, made));
    if (typeof page.onAddToFavorites === "function") hook(page, "onAddToFavorites", undefined, () => void this.sluice.track("favorite"));
  }

  private appShow(launch: any): void {
    this.shown = ticks();
    this.sluice.appShow();
    if (this.on.app !== false) this.sluice.track("app_show", undefined, entry(launch));
    const page = this.resumable;
    if (!page) return;
    // Most hosts show the page again by themselves; the others get it here.
    setTimeout(() => {
      if (this.resumable === page && !this.current) this.view(undefined, page);
    }, PAGE_AFTER_APP_MS);
  }

  private appHide(): void {
    if (this.current) {
      this.resumable = this.current.page;
      this.leave();
    }
    if (this.on.app !== false) {
      this.sluice.track("app_hide", this.shown === undefined ? undefined : { stay_ms: since(this.shown) });
    }
    this.shown = undefined;
    this.sluice.appHide();
  }

  private pageShow(self: any): void {
    const path = route(self);
    if (!path) return;
    const page: PageInfo = { path };
    const asked = query(self.options || self.query);
    if (asked) page.query = asked;
    this.view(self, page);
  }

  private pageHide(self: any): void {
    // A page that was resumed on behalf of the host is whatever page hides.
    if (this.current && (this.current.self === self || !this.current.self)) this.leave();
  }

  private view(self: any, page: PageInfo): void {
    if (this.current) this.leave();
    this.resumable = undefined;
    if (this.previous && this.previous !== page.path) page.referrer = this.previous;
    this.current = { self, page, from: ticks() };
    this.sluice.page = page;
    if (this.on.page !== false) this.sluice.track("page_view", undefined, { page });
  }

  private leave(): void {
    const left = this.current;
    if (!left) return;
    this.current = undefined;
    this.previous = left.page.path || "";
    if (this.on.page !== false) this.sluice.track("page_leave", { stay_ms: since(left.from) }, { page: left.page });
  }

  private pageReady(self: any): void {
    if (this.ready || this.launched === undefined || !route(self)) return;
    this.ready = true;
    if (this.on.perf === false) return;
    this.sluice.track("perf", { metric: "first_ready", duration_ms: since(this.launched) }, { type: "perf" });
  }

  private shared(self: any, asked: any, made: any): void {
    const page = this.current && this.current.self === self ? this.current.page : { path: route(self) };
    const { path, title } = made && typeof made === "object" ? made : ({} as any);
    this.sluice.track("share", { from: asked && asked.from, path, title }, { page });
  }

  private error(kind: string, error: any): void {
    if (since(this.errors.from) >= 60000) this.errors = { from: ticks(), count: 0 };
    this.errors.count += 1;
    if (this.errors.count > ERRORS_PER_MINUTE_MAX) return;
    const text = error && error.message !== undefined ? String(error.message) : String(error);
    const stack = error && error.stack ? String(error.stack) : text;
    const message = text.split("\n")[0];
    this.sluice.track("error", { kind, message: cut(message, 1024), stack: cut(stack, 8192) }, { type: "error" });
  }

  private wrapRequest(api: any): void {
    const own = api.request;
    if (typeof own !== "function") return;
    const auto = this;
    const wrapper = function (this: any, options: any) {
      const url = options && typeof options.url === "string" ? options.url : "";
      if (!url || url.indexOf(auto.url) === 0) return own.apply(this, arguments);
      const from = ticks();
      const told = (answer: any) => attempt(() => auto.requested(options, since(from), answer));
      if (!options.success && !options.fail && !options.complete) {
        // Without callbacks a host may answer by a promise; with one it would not.
        const made = own.apply(this, arguments);
        if (made && typeof made.then === "function") made.then(told, told);
        return made;
      }
      const wrapped = (callback: any) =>
        function (this: any, answer: any) {
          told(answer);
          if (typeof callback === "function") return callback.apply(this, arguments);
        };
      return own.call(this, { ...options, success: wrapped(options.success), fail: wrapped(options.fail) });
    };
    const described = { value: wrapper, writable: true, configurable: true, enumerable: true };
    if (!attempt(() => Object.defineProperty(api, "request", described))) attempt(() => (api.request = wrapper));
  }

  private requested(options: any, duration_ms: number, answer: any): void {
    const status = Number(answer && (answer.statusCode || answer.status)) || 0;
    const url = options.url.split(/[?#]/)[0];
    const method = String(options.method || "GET").toUpperCase();
    this.sluice.track("request", { url: cut(url, 2048), method, status, duration_ms }, { type: "request" });
  }
}

/** Puts our part before or after the app's own callback. */
function hook(target: any, name: string, before?: Hook, after?: Hook): void {
  const own = target[name];
  target[name] = function (this: any, ...args: any[]) {
    if (before) attempt(() => before(this, args));
    const result = typeof own === "function" ? own.apply(this, args) : undefined;
    if (after) attempt(() => after(this, args, result));
    return result;
  };
}

/** Path of a page; empty for a component inside one. */
function route(self: any): string {
  return (self && (self.route || self.__route__ || (self.$page && self.$page.route))) || "";
}

function entry(launch: any): Extra {
  const extra: Extra = {};
  if (!launch || typeof launch !== "object") return extra;
  if (launch.scene !== undefined && launch.scene !== null) extra.scene = String(launch.scene);
  if (launch.path) {
    extra.page = { path: String(launch.path) };
    const asked = query(launch.query);
    if (asked) extra.page.query = asked;
  }
  return extra;
}

function query(options: any): string {
  if (!options || typeof options !== "object") return "";
  return Object.keys(options)
    .map((key) => encodeURIComponent(key) + "=" + encodeURIComponent(String(options[key])))
    .join("&");
}
