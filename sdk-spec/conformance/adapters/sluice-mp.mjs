// The reference SDK behind the adapter protocol.
//
// usage: node sluice-mp.mjs node|jd|wx|my|tt|swan|qq|ks

import fs from "node:fs";
import path from "node:path";
import { createHost, storage } from "../../sdk/test/fake-host/index.mjs";
import { nodeHost, Sluice } from "../../sdk/dist/node.mjs";
import { serveAdapter } from "../lib/adapter-server.mjs";

const platform = process.argv[2] ?? "node";
const clock = { offset: 0 };
const disk = { full: false, dir: undefined };
const realNow = Date.now;
let sluice;
let host;

/** node: its own adapter, with storage that can be made to refuse. */
function startNode(dir) {
  Date.now = () => realNow() + clock.offset;
  const own = nodeHost({ dir });
  const refusing = { ...own, set: (key, value) => { if (disk.full) throw new Error("no space left"); own.set(key, value); } };
  return new Sluice(() => refusing);
}

/** A mini program host whose storage is a file, so that it outlives the process. */
function startMini(dir) {
  const file = path.join(dir, "storage.json");
  const kept = storage();
  if (fs.existsSync(file)) kept.values = new Map(JSON.parse(fs.readFileSync(file, "utf8")));
  const save = () => fs.writeFileSync(file, JSON.stringify([...kept.values]));
  for (const change of ["set", "delete"]) {
    const own = kept.values[change].bind(kept.values);
    kept.values[change] = (...args) => { const made = own(...args); save(); return made; };
  }
  Object.defineProperty(kept, "full", { get: () => disk.full, set(full) { disk.full = full; } });
  host = createHost(platform, { disk: kept, clock });
  return host.sluice;
}

function corrupt(dir) {
  for (const name of fs.readdirSync(dir)) {
    const file = path.join(dir, name);
    if (platform === "node") fs.writeFileSync(file, '{"half');
    else {
      const values = JSON.parse(fs.readFileSync(file, "utf8"));
      fs.writeFileSync(file, JSON.stringify(values.map(([key]) => [key, JSON.stringify('{"half')])));
    }
  }
  disk.full = true; // and nothing mends it before the kill
}

serveAdapter({
  hello: () => ({
    name: `sluice-mp ${platform}`,
    capabilities: ["clock", "storage", "restart", "timeout", "consent", "queue_bound"],
  }),
  init({ url, key, dir, options }) {
    disk.dir = dir;
    sluice = platform === "node" ? startNode(dir) : startMini(dir);
    sluice.init({ url, key, auto: false, onProblem() {}, ...options });
  },
  track: ({ name, properties }) => ({ event_id: sluice.track(name, properties) }),
  identify: ({ user_id, ids }) => sluice.identify(user_id, ids),
  set_user: ({ properties }) => sluice.setUser(properties),
  set_super: ({ properties }) => sluice.setSuper(properties),
  reset: () => sluice.reset(),
  flush: () => sluice.flush(),
  opt_out: ({ out }) => sluice.optOut(out),
  show: () => sluice.appShow(),
  hide: () => sluice.appHide(),
  clock({ offset_ms }) { clock.offset = offset_ms; },
  storage({ full = false, corrupt: broken = false }) {
    disk.full = full;
    if (broken) corrupt(disk.dir);
  },
});
