// The seam between the SDK and where it runs. An adapter implements this and
// nothing else; the SDK touches no global but the timers.

import type { Surroundings } from "./types";

/** How a request ended. */
export interface Answer {
  /** 0: no answer. */
  status: number;
  /** Text, or what the host made of it. */
  body: unknown;
  /** A header by its lower-case name. */
  header(name: string): string | undefined;
}

export interface HttpRequest {
  method: "GET" | "POST";
  url: string;
  headers: { [name: string]: string };
  body?: string;
  timeout_ms: number;
}

export interface Host {
  /** Word for `platform`; empty on servers. */
  platform: string;
  /** Reads a key; undefined where there is none. May throw. */
  get(key: string): string | undefined;
  /** Writes a key. Throws when there is no room. */
  set(key: string, value: string): void;
  remove(key: string): void;
  /** Sends; calls `done` at most once. Returns what aborts it. */
  request(request: HttpRequest, done: (answer: Answer) => void): () => void;
  surroundings(): Surroundings;
  /** Tells of the network: whether there is one, and its kind. */
  onNetwork(tell: (online: boolean, kind: string) => void): void;
  /** The host's API object, for automatic events. */
  api?: any;
  /** Runs before the process ends, where the host has that; returns what takes it back. */
  onExit?(run: () => void): () => void;
  /** Random bytes as 0..=255, where the host has a good source at hand. */
  random?(bytes: number): number[] | Uint8Array;
}

/** The answer that stands for none. */
export const NO_ANSWER: Answer = { status: 0, body: "", header: () => undefined };
