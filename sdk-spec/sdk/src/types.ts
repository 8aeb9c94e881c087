// What goes over the wire and what an app hands over.

/** Types of events. */
export type EventType =
  | "track" | "user_set" | "user_set_once" | "user_unset" | "alias" | "error" | "perf" | "request";

/** Where in the app something happened. */
export interface Page {
  path?: string;
  query?: string;
  title?: string;
  referrer?: string;
}

/** Properties as an app hands them over; cleaned before they are sent. */
export type Properties = { [key: string]: unknown };

/** One event as it is sent. */
export interface SluiceEvent {
  id: string;
  name: string;
  /** The device's clock, milliseconds since the epoch. */
  time: number;
  device_id?: string;
  type?: EventType;
  user_id?: string;
  ids?: { [kind: string]: string };
  session_id?: string;
  seq?: number;
  page?: Page;
  scene?: string;
  properties?: Properties;
}

/** What a single call may add to its event. */
export interface Extra {
  page?: Page;
  scene?: string;
  type?: EventType;
  /** Servers report for many users. */
  user_id?: string;
  device_id?: string;
  /** When it happened, milliseconds since the epoch; now where left out. */
  time?: number;
}

/** Kinds of automatic events. */
export interface AutoOptions {
  /** `app_launch`, `app_show`, `app_hide`. */
  app?: boolean;
  /** `page_view`, `page_leave`. */
  page?: boolean;
  /** `share`, `favorite`. */
  share?: boolean;
  /** Uncaught errors and unhandled rejections. */
  error?: boolean;
  /** Duration and status of the app's own requests. */
  request?: boolean;
  /** Launch to the first page that is ready. */
  perf?: boolean;
}

/** What went wrong in the SDK, for developers. */
export interface Problem {
  /** A reason of the contract, or one of the SDK's own. */
  reason: string;
  detail: string;
  /** Events that were lost by it. */
  events: number;
}

export interface Options {
  /** The gateway, e.g. `https://collect.example.com`. */
  url: string;
  /** The app's write key (a server key in node). */
  key: string;
  app_id?: string;
  /** Version of the mini program; by default what the host says. */
  app_version?: string;
  /** `release`, …; by default what the host says. Only `release` is counted. */
  env?: string;
  /** false: nothing is collected until `optOut(false)`. Default true. */
  consent?: boolean;
  /** Automatic events; `false` for none. Default: all. */
  auto?: boolean | AutoOptions;
  /** Sees each event before it is queued; returns it, another, or null to drop it. */
  before?: (event: SluiceEvent) => SluiceEvent | null | undefined | void;
  /** Told of what went wrong; never needed. */
  onProblem?: (problem: Problem) => void;
  /** A request not answered within this is given up. Default 15,000. */
  timeout_ms?: number;
  /** First step of the waits after failures. Default 1,000. */
  retry_base_ms?: number;
  /** Events kept at most. Default 5,000. */
  queue_events_max?: number;
  /** Bytes kept at most. Default 4,000,000. */
  queue_bytes_max?: number;
  /** Begins the names of the keys in storage. Default `sluice`. */
  namespace?: string;
}

/** `GET /v1/config`. */
export interface RemoteConfig {
  enabled: boolean;
  sample_rate: number;
  flush_interval_ms: number;
  batch_events_max: number;
}

/** What the batch says about where it comes from. */
export interface Surroundings {
  host_app?: string;
  env?: string;
  app_version?: string;
  device?: { [field: string]: string };
}
