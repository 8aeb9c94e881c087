// Bundles the SDK: for mini programs without a dependency and in the language
// of 2015, for node as it is.

import { build } from "esbuild";
import fs from "node:fs";

const { version } = JSON.parse(fs.readFileSync(new URL("../package.json", import.meta.url)));
const root = new URL("..", import.meta.url).pathname;
const common = {
  absWorkingDir: root,
  bundle: true,
  define: { SDK_VERSION: JSON.stringify(version) },
  logLevel: "warning",
  legalComments: "none",
};
fs.rmSync(`${root}dist`, { recursive: true, force: true });
const mini = { ...common, entryPoints: ["src/index.ts"], platform: "neutral", target: "es2015", minify: true };
const node = { ...common, entryPoints: ["src/node.ts"], platform: "node", target: "node18" };
await Promise.all([
  build({ ...mini, format: "cjs", outfile: "dist/index.js" }),
  build({ ...mini, format: "esm", outfile: "dist/index.mjs" }),
  build({ ...node, format: "esm", outfile: "dist/node.mjs" }),
  build({ ...node, format: "cjs", outfile: "dist/node.cjs" }),
]);
