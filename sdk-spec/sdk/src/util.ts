// Small parts: ids, bytes of text, the sampling hash, cleaning, clocks.

import type { Host } from "./host";
import type { Properties } from "./types";

/** UUIDv7 (RFC 9562, 5.7): 48 bits of milliseconds, 74 of chance. */
export function uuidv7(host?: Host): string {
  let bytes: ArrayLike<number> | undefined;
  try {
    bytes = host && host.random && host.random(10);
  } catch (_) {
    bytes = undefined;
  }
  let out = ("00000000000" + Math.max(0, Date.now()).toString(16)).slice(-12);
  for (let i = 0; i < 10; i += 1) {
    let byte = bytes ? bytes[i] : Math.floor(Math.random() * 256);
    if (i === 0) byte = 0x70 | (byte & 0x0f);
    if (i === 2) byte = 0x80 | (byte & 0x3f);
    out += (byte < 16 ? "0" : "") + byte.toString(16);
  }
  return [out.slice(0, 8), out.slice(8, 12), out.slice(12, 16), out.slice(16, 20), out.slice(20)].join("-");
}

/** Bytes of well-formed text in UTF-8; `escaped` counts quotes and backslashes twice. */
export function bytesOf(text: string, escaped?: boolean): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    if (unit === 34 || unit === 92) bytes += escaped ? 1 : 0;
    else if (unit >= 0xd800 && unit < 0xe000) bytes += 1; // four for the pair
    else if (unit >= 0x800) bytes += 2;
    else if (unit >= 0x80) bytes += 1;
  }
  return bytes;
}

/** Text without halves of surrogate pairs, cut at a character's end to `max` bytes. */
export function cut(text: string, max: number): string {
  if (text.length * 3 <= max && !/[\ud800-\udfff]/.test(text)) return text;
  let out = "";
  let bytes = 0;
  for (let i = 0; i < text.length; i += 1) {
    let char = text.charAt(i);
    const unit = text.charCodeAt(i);
    if (unit >= 0xd800 && unit < 0xe000) {
      const next = text.charCodeAt(i + 1);
      const pair = unit < 0xdc00 && next >= 0xdc00 && next < 0xe000;
      char = pair ? char + text.charAt(++i) : "\ufffd";
    }
    bytes += bytesOf(char);
    if (bytes > max) return out;
    out += char;
  }
  return out;
}

/** u(device id) of SDK-CONFIG-3: FNV-1a over UTF-8, then fmix32, as a share of 2^32. */
export function share(text: string): number {
  let h = 2166136261;
  const byte = (b: number) => { h = Math.imul(h ^ b, 16777619); };
  for (let i = 0; i < text.length; i += 1) {
    const c = text.codePointAt(i) as number;
    if (c > 0xffff) i += 1;
    if (c < 0x80) byte(c);
    else {
      if (c < 0x800) byte(0xc0 | (c >> 6));
      else {
        if (c < 0x10000) byte(0xe0 | (c >> 12));
        else {
          byte(0xf0 | (c >> 18));
          byte(0x80 | ((c >> 12) & 63));
        }
        byte(0x80 | ((c >> 6) & 63));
      }
      byte(0x80 | (c & 63));
    }
  }
  h = Math.imul(h ^ (h >>> 16), 2246822507);
  h = Math.imul(h ^ (h >>> 13), 3266489909);
  return ((h ^ (h >>> 16)) >>> 0) / 4294967296;
}

const TEXT_BYTES_MAX = 8192;
const KEY_BYTES_MAX = 128;
const KEYS_MAX = 100;
const DEPTH_MAX = 3;

/**
 * A copy that the contract takes: at most 100 keys over all levels, three
 * levels, finite numbers. What has no place in it is left out, what is too
 * deep becomes text.
 */
export function clean(properties: unknown): Properties | undefined {
  const left = { keys: KEYS_MAX };
  const copy = cleaned(properties, 1, left);
  return copy && typeof copy === "object" && !Array.isArray(copy) ? (copy as Properties) : undefined;
}

function cleaned(value: any, depth: number, left: { keys: number }): unknown {
  switch (typeof value) {
    case "string":
      return cut(value, TEXT_BYTES_MAX);
    case "number":
      return isFinite(value) ? value : undefined;
    case "boolean":
      return value;
    case "bigint":
      return String(value);
    case "object":
      break;
    default:
      return undefined;
  }
  if (value === null) return null;
  if (typeof value.toJSON === "function") return cleaned(value.toJSON(), depth, left);
  if (value instanceof Error) return cut(String(value.message), TEXT_BYTES_MAX);
  if (depth > DEPTH_MAX) return cut(JSON.stringify(value) || "", TEXT_BYTES_MAX);
  if (Array.isArray(value)) {
    const list: unknown[] = [];
    for (let i = 0; i < value.length && i < 1000; i += 1) {
      const item = attempt(() => cleaned(value[i], depth + 1, left));
      list.push(item === undefined ? null : item);
    }
    return list;
  }
  const copy: Properties = {};
  for (const key of Object.keys(value)) {
    if (bytesOf(key) > KEY_BYTES_MAX || left.keys <= 0) continue;
    const item = attempt(() => cleaned(value[key], depth + 1, left));
    if (item === undefined) continue;
    left.keys -= 1;
    copy[cut(key, KEY_BYTES_MAX)] = item;
  }
  return copy;
}

/** What `run` gives, or undefined where it throws. */
export function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (_) {
    return undefined;
  }
}

/** A clock that no one sets, where the host has one. */
declare const performance: { now(): number } | undefined;
const watch = typeof performance === "object" && performance && typeof performance.now === "function" ? performance : undefined;

/** Milliseconds of a stopwatch: only differences mean something. */
export function ticks(): number {
  return watch ? watch.now() : Date.now();
}

/** Milliseconds since `from` of `ticks`, never negative, at most a day. */
export function since(from: number): number {
  return Math.round(Math.max(0, Math.min(86400000, ticks() - from)));
}

let last = Date.now();
let counted = 0;

/**
 * Milliseconds that only grow, for waits. Without a stopwatch it adds up the
 * steps of the wall clock less those backwards and those over a minute: what
 * it misses makes a wait longer, and timers end waits all the same.
 */
export function mono(): number {
  if (watch) return watch.now();
  const now = Date.now();
  const step = now - last;
  last = now;
  if (step > 0 && step <= 60000) counted += step;
  return counted;
}
