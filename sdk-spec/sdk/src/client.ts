// The SDK's API: `init track identify setUser setSuper flush optOut reset`,
// and what frameworks call where there is no `App`: `appShow`, `appHide`.

import { Auto } from "./auto";
import type { Host } from "./host";
import { Identity } from "./identity";
import { Queue } from "./queue";
import { Remote } from "./remote";
import { Sender } from "./sender";
import { Session } from "./session";
import type { EventType, Extra, Options, Page, Problem, Properties, SluiceEvent, Surroundings } from "./types";
import { attempt, bytesOf, clean, cut, mono, uuidv7 } from "./util";

declare const SDK_VERSION: string;

const EVENT_BYTES_MAX = 65536;
const NAME = /^[$A-Za-z][A-Za-z0-9_.$-]{0,127}$/;

/** All there is of one client once it runs. */
interface Running {
  host: Host;
  options: Options;
  identity: Identity;
  queue: Queue;
  remote: Remote;
  sender: Sender;
  session: Session;
  surroundings: Surroundings;
}

export class Sluice {
  /** Where in the app the user is; set by the automatic page events. */
  page: Page | undefined;
  private run: Running | undefined;
  private auto: Auto | undefined;
  private network = "";
  private stayed: (() => void) | undefined;

  constructor(private findHost: () => Host) {}

  /** Starts. A second call changes nothing. */
  init(options: Options): void {
    if (this.run || !this.checked(options)) return;
    const host = attempt(this.findHost);
    if (!host) return this.warn({ reason: "host_unknown", detail: "no mini program host was found", events: 0 }, options);
    const url = options.url.replace(/\/+$/, "");
    const prefix = options.namespace || "sluice";
    const headers = { Authorization: "Bearer " + options.key, "content-type": "application/json" };
    const timeout_ms = options.timeout_ms || 15000;
    const identity = new Identity(host, prefix + ".id", options.consent !== false);
    const queue = new Queue(host, prefix, options.queue_events_max || 5000, Math.min(options.queue_bytes_max || 4e6, 5e6));
    const remote = new Remote(host, prefix + ".config", url + "/v1/config", headers, timeout_ms, () => this.reconfigured());
    const sender = new Sender(host, queue, {
      url: url + "/v1/events",
      headers,
      timeout_ms,
      retry_base_ms: options.retry_base_ms || 1000,
      envelope: (attempt, dropped) => this.envelope(attempt, dropped),
      config: () => remote.config,
      open: () => !identity.out && remote.settled && remote.config.enabled,
      problem: (problem) => this.warn(problem),
    });
    const surroundings = attempt(() => host.surroundings()) || {};
    this.run = { host, options, identity, queue, remote, sender, session: new Session(host), surroundings };
    attempt(() => host.onNetwork((online, kind) => {
      this.network = kind;
      if (online) sender.online();
    }));
    if (host.onExit) this.stayed = host.onExit(() => this.persist());
    if (!identity.out) {
      this.reconfigured();
      remote.refresh();
    }
    if (options.auto !== false) {
      this.auto = new Auto(this, host, url, typeof options.auto === "object" ? options.auto : {});
      this.auto.install();
    }
  }

  /** Reports an event; its id, or undefined where nothing is collected. */
  track(name: string, properties?: Properties, extra?: Extra): string | undefined {
    return attempt(() => this.record(name, properties, extra || {}));
  }

  /** The user is known from now on. */
  identify(user_id: string | number, ids?: { [kind: string]: string }): void {
    const run = this.run;
    if (!run || run.identity.out) return;
    const user = cut(String(user_id === undefined || user_id === null ? "" : user_id), 255);
    if (!user) return this.warn({ reason: "user_id_invalid", detail: "identify: an id of 1-255 bytes is required", events: 0 });
    run.identity.user_id = user;
    for (const kind of Object.keys(ids || {}).slice(0, 16)) {
      const id = (ids as { [kind: string]: unknown })[kind];
      if (kind && bytesOf(kind) <= 128 && typeof id === "string") run.identity.ids[kind] = cut(id, 255);
    }
    run.identity.save();
  }

  /** Sets (`set`), sets where unset (`once`) or takes away (`unset`) properties of the user. */
  setUser(properties: Properties, how: "set" | "once" | "unset" = "set"): void {
    const type: EventType = how === "once" ? "user_set_once" : how === "unset" ? "user_unset" : "user_set";
    attempt(() => this.record(type, properties, { type }, true));
  }

  /** Properties of every later event, also after a restart; null takes one away. */
  setSuper(properties: Properties): void {
    const run = this.run;
    const added = attempt(() => clean(properties));
    if (!run || run.identity.out || !added) return;
    for (const name of Object.keys(added)) {
      if (added[name] === null) delete run.identity.super[name];
      else run.identity.super[name] = added[name];
    }
    run.identity.save();
  }

  /** Sends what waits as soon as the gateway allows; `done` when nothing waits. */
  flush(done?: () => void): void {
    if (this.run && this.sending()) this.run.sender.drain(done);
    else if (done) done();
  }

  /** Nothing is collected from now on and all is forgotten; `optOut(false)` revokes it. */
  optOut(out = true): void {
    const run = this.run;
    if (!run || run.identity.out === out) return;
    if (out) {
      run.sender.stop();
      run.queue.clear();
      run.remote.forget();
      run.identity.leave();
      return;
    }
    run.identity.enter();
    run.session.renew();
    run.remote.refresh();
  }

  /** Logout: forgets user, ids and super properties; the device stays. */
  reset(): void {
    if (!this.run || this.run.identity.out) return;
    this.run.identity.reset();
    this.run.session.renew();
  }

  /** The app came into the foreground. */
  appShow(): void {
    if (!this.run || this.run.identity.out) return;
    this.run.session.show();
    this.run.remote.refresh();
    this.run.sender.poke();
  }

  /** The app went into the background: written first, then sent. */
  appHide(): void {
    if (!this.run) return;
    this.run.session.hide();
    this.persist();
    if (this.sending()) this.run.sender.drain();
  }

  /** What the SDK holds, for tests and support. */
  state(): { device_id: string; waiting: number; dropped: number; out: boolean } {
    const run = this.run;
    if (!run) return { device_id: "", waiting: 0, dropped: 0, out: false };
    return { device_id: run.identity.device_id, waiting: run.queue.count, dropped: run.queue.dropped, out: run.identity.out };
  }

  /** Ends it: writes what waits and stops all timers. */
  close(): void {
    const run = this.run;
    if (!run) return;
    run.remote.stop();
    run.sender.stop();
    run.queue.persist();
    if (this.stayed) this.stayed();
    this.run = undefined;
  }

  private record(name: string, properties: unknown, extra: Extra, bare?: boolean): string | undefined {
    const run = this.run;
    if (!run || !this.sending()) return undefined;
    if (typeof name !== "string" || !NAME.test(name)) {
      this.warn({ reason: "name_invalid", detail: "track: a name is a letter or $, then at most 127 of A-Z a-z 0-9 _ . $ -", events: 1 });
      return undefined;
    }
    let event: SluiceEvent | null | undefined = this.event(run, name, properties, extra, bare);
    const before = run.options.before;
    if (before) {
      const made = event;
      const seen = attempt(() => [before(made)]);
      if (seen && seen[0] === null) return undefined;
      if (seen && seen[0] && NAME.test(seen[0].name)) event = { ...seen[0], id: made.id, properties: clean(seen[0].properties) };
    }
    Object.assign(event, run.session.next());
    const text = JSON.stringify(event);
    const bytes = bytesOf(text);
    if (bytes > EVENT_BYTES_MAX) {
      run.queue.lose(1);
      this.warn({ reason: "event_too_large", detail: name + ": " + bytes + " bytes; an event may have 65536", events: 1 });
      return undefined;
    }
    run.queue.push({ id: event.id, text, bytes, at: mono() }, run.sender.busy);
    run.identity.persist();
    run.sender.poke();
    return event.id;
  }

  private event(run: Running, name: string, properties: unknown, extra: Extra, bare?: boolean): SluiceEvent {
    const { identity, host } = run;
    const time = typeof extra.time === "number" && isFinite(extra.time) ? Math.floor(extra.time) : Date.now();
    const event: SluiceEvent = { id: uuidv7(host), name, time };
    const device = extra.device_id === undefined ? identity.device_id : cut(String(extra.device_id), 128);
    if (device) event.device_id = device;
    const user = extra.user_id === undefined ? identity.user_id : cut(String(extra.user_id), 255);
    if (user) event.user_id = user;
    if (extra.type && extra.type !== "track") event.type = extra.type;
    if (Object.keys(identity.ids).length) event.ids = { ...identity.ids };
    const page = extra.page || (bare ? undefined : this.page);
    if (page) {
      event.page = {};
      for (const field of ["path", "query", "title", "referrer"] as const) {
        const value = page[field];
        if (value) event.page[field] = cut(String(value), 8192);
      }
    }
    if (extra.scene) event.scene = cut(String(extra.scene), 8192);
    const own = clean(properties);
    const all = bare ? own : clean({ ...(own || {}), ...missing(identity.super, own) });
    if (all && Object.keys(all).length) event.properties = all;
    return event;
  }

  private envelope(attempt: number, dropped: number): { [field: string]: unknown } {
    const run = this.run as Running;
    const { options, host, surroundings } = run;
    const device = { ...surroundings.device };
    if (this.network) device.network = this.network;
    return {
      app_id: options.app_id,
      platform: host.platform || undefined,
      host_app: surroundings.host_app,
      env: options.env || surroundings.env,
      app_version: options.app_version || surroundings.app_version,
      sdk: { name: "sluice-mp", version: SDK_VERSION },
      device,
      tz_offset_min: -new Date().getTimezoneOffset(),
      sent_at: Date.now(),
      batch_id: uuidv7(host),
      attempt,
      dropped: dropped || undefined,
    };
  }

  /** Whether this device reports at all. */
  private sending(): boolean {
    const run = this.run;
    if (!run || run.identity.out) return false;
    const { enabled, sample_rate } = run.remote.config;
    return enabled && run.identity.sampled(sample_rate);
  }

  private reconfigured(): void {
    const run = this.run;
    if (!run || run.identity.out) return;
    const { queue } = run;
    if (!run.identity.sampled(run.remote.config.sample_rate) && (queue.count || queue.dropped)) queue.clear();
    run.sender.rearm();
  }

  private persist(): void {
    if (!this.run || this.run.identity.out) return;
    this.run.queue.persist();
    this.run.identity.persist();
  }

  private checked(options: Options): boolean {
    const fine = options && typeof options.url === "string" && /^https?:\/\//.test(options.url) && typeof options.key === "string" && options.key;
    if (!fine) this.warn({ reason: "options_invalid", detail: "init: url (http…) and key are required", events: 0 }, options);
    return !!fine;
  }

  private warn(problem: Problem, options?: Options): void {
    const told = options || (this.run && this.run.options);
    const tell = told && told.onProblem;
    if (tell) attempt(() => tell(problem));
    else attempt(() => console.warn("[sluice] " + problem.reason + ": " + problem.detail));
  }
}

/** What `own` lacks of `all`. */
function missing(all: Properties, own: Properties | undefined): Properties {
  const rest: Properties = {};
  for (const name of Object.keys(all)) if (!own || !(name in own)) rest[name] = all[name];
  return rest;
}
