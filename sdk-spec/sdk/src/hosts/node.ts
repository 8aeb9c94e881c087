// Servers: node's own http, files for storage where a folder is given.

import * as fs from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import * as crypto from "node:crypto";
import * as os from "node:os";
import * as path from "node:path";
import { type Answer, type Host, type HttpRequest, NO_ANSWER } from "../host";

const REPLY_BYTES_MAX = 4_000_000;

export interface NodeOptions {
  /** Folder for what waits; without one it lives in memory alone. */
  dir?: string;
  /** Word for `platform`; none by default. */
  platform?: string;
}

export function nodeHost({ dir, platform = "" }: NodeOptions = {}): Host {
  const memory = new Map<string, string>();
  const file = (key: string) => path.join(dir as string, encodeURIComponent(key) + ".json");
  if (dir) fs.mkdirSync(dir, { recursive: true });
  return {
    platform,
    get(key) {
      if (!dir) return memory.get(key);
      return fs.existsSync(file(key)) ? fs.readFileSync(file(key), "utf8") : undefined;
    },
    set(key, value) {
      if (!dir) return void memory.set(key, value);
      // Written beside and moved: a crash leaves the old or the new, never half.
      fs.writeFileSync(file(key) + ".new", value);
      fs.renameSync(file(key) + ".new", file(key));
    },
    remove(key) {
      if (dir) fs.rmSync(file(key), { force: true });
      else memory.delete(key);
    },
    request,
    surroundings: () => ({
      device: { os: os.type(), os_version: os.release() },
    }),
    onNetwork() {},
    onExit(run) {
      process.once("exit", run);
      return () => void process.removeListener("exit", run);
    },
    random: (bytes) => crypto.randomBytes(bytes),
  };
}

function request(wanted: HttpRequest, done: (answer: Answer) => void): () => void {
  const { request: send } = wanted.url.startsWith("https:") ? https : http;
  const headers: http.OutgoingHttpHeaders = { ...wanted.headers };
  if (wanted.body !== undefined) headers["Content-Length"] = Buffer.byteLength(wanted.body);
  const call = send(wanted.url, { method: wanted.method, headers, timeout: wanted.timeout_ms }, (reply) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    reply.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > REPLY_BYTES_MAX) call.destroy(new Error("reply too large"));
      else chunks.push(chunk);
    });
    reply.on("error", () => done(NO_ANSWER));
    reply.on("end", () => {
      if (!reply.complete) return done(NO_ANSWER);
      done({
        status: reply.statusCode || 0,
        body: Buffer.concat(chunks).toString(),
        header(name) {
          const value = reply.headers[name];
          return Array.isArray(value) ? value[0] : value;
        },
      });
    });
  });
  call.on("error", () => done(NO_ANSWER));
  call.on("timeout", () => call.destroy(new Error("timeout")));
  call.end(wanted.body);
  return () => void call.destroy();
}
