// Mini program hosts. They differ in a few words; the table holds the words.

import { type Answer, type Host, type HttpRequest, NO_ANSWER } from "../host";
import type { Surroundings } from "../types";
import { attempt } from "../util";

interface Traits {
  /** Storage calls take one object, and give one. */
  objects?: boolean;
  /** What `request` calls its headers. */
  headers?: string;
}

/** By the word for `platform`, which is the name of the host's global. */
const TRAITS: { [platform: string]: Traits } = {
  jd: {},
  wx: {},
  my: { objects: true, headers: "headers" },
  tt: {},
  swan: {},
  qq: {},
  ks: {},
};

declare const jd: any;
declare const wx: any;
declare const my: any;
declare const tt: any;
declare const swan: any;
declare const qq: any;
declare const ks: any;

/** The host that this runs in. `wx` comes last: others offer it as an alias. */
export function detect(): Host {
  const found =
    (typeof jd === "object" && make("jd", jd)) ||
    (typeof tt === "object" && make("tt", tt)) ||
    (typeof swan === "object" && make("swan", swan)) ||
    (typeof my === "object" && make("my", my)) ||
    (typeof qq === "object" && make("qq", qq)) ||
    (typeof ks === "object" && make("ks", ks)) ||
    (typeof wx === "object" && make("wx", wx));
  if (!found) throw new Error("no mini program host: none of jd tt swan my qq ks wx is there");
  return found;
}

function make(platform: string, api: any): Host | undefined {
  return api && typeof api.request === "function" ? miniHost(platform, api) : undefined;
}

/** The adapter for one host, over its API object. */
export function miniHost(platform: string, api: any): Host {
  const traits = TRAITS[platform] || {};
  const send = api.request; // before anyone wraps it
  return {
    platform,
    api,
    get: (key) => get(api, traits, key),
    set: (key, value) => set(api, traits, key, value),
    remove: (key) => void (traits.objects ? api.removeStorageSync({ key }) : api.removeStorageSync(key)),
    request: (request, done) => call(api, send, traits, request, done),
    surroundings: () => surroundings(api),
    onNetwork(tell) {
      attempt(() => api.getNetworkType({ success: (found: any) => tell(found.networkType !== "none", kind(found)) }));
      attempt(() => api.onNetworkStatusChange((found: any) => tell(found.isConnected !== false, kind(found))));
    },
  };
}

function kind(found: any): string {
  return String((found && found.networkType) || "").toLowerCase();
}

function get(api: any, traits: Traits, key: string): string | undefined {
  const found = traits.objects ? (api.getStorageSync({ key }) || {}).data : api.getStorageSync(key);
  return typeof found === "string" && found ? found : undefined;
}

/** Some hosts throw, some answer with what went wrong. */
function set(api: any, traits: Traits, key: string, value: string): void {
  const told = traits.objects ? api.setStorageSync({ key, data: value }) : api.setStorageSync(key, value);
  if (told instanceof Error || (told && typeof told === "object" && (told.error || told.errCode || told.success === false))) {
    throw new Error(String(told.errorMessage || told.errMsg || told.message || "storage refused"));
  }
}

function call(api: any, send: any, traits: Traits, request: HttpRequest, done: (answer: Answer) => void): () => void {
  const answered = (reply: any) => {
    const status = Number(reply && (reply.statusCode || reply.status)) || 0;
    if (status < 100) return done(NO_ANSWER);
    const headers = (reply.header || reply.headers || {}) as { [name: string]: unknown };
    done({
      status,
      body: reply.data,
      header(name) {
        for (const found of Object.keys(headers)) {
          if (found.toLowerCase() !== name) continue;
          const value = headers[found];
          return String(Array.isArray(value) ? value[0] : value);
        }
        return undefined;
      },
    });
  };
  const task = send.call(api, {
    url: request.url,
    method: request.method,
    [traits.headers || "header"]: request.headers,
    data: request.body,
    dataType: "text",
    timeout: request.timeout_ms,
    success: answered,
    fail: answered, // `my` fails for statuses other than 2xx, and says which
  });
  return () => attempt(() => task && task.abort && task.abort());
}

function surroundings(api: any): Surroundings {
  const found: any = attempt(() => api.getSystemInfoSync()) || {};
  const account: any = (attempt(() => api.getAccountInfoSync()) || {}).miniProgram || {};
  const system = String(found.system || "");
  const space = system.indexOf(" ");
  const device: { [field: string]: string } = {};
  const put = (field: string, value: unknown) => {
    if (value !== undefined && value !== null && value !== "") device[field] = String(value).slice(0, 256);
  };
  put("model", found.model);
  put("brand", found.brand);
  put("os", space > 0 ? system.slice(0, space) : found.platform);
  put("os_version", space > 0 ? system.slice(space + 1) : system);
  if (found.screenWidth) put("screen", found.screenWidth + "x" + found.screenHeight);
  put("lang", found.language);
  return {
    host_app: account.appId ? String(account.appId) : undefined,
    env: account.envVersion ? String(account.envVersion) : undefined,
    app_version: account.version ? String(account.version) : undefined,
    device,
  };
}
