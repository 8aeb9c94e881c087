// The package as it would be published: what is in it, and that it loads.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

test("packed and unpacked, it loads by import and by require, with types and without dependencies", () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "sluice-pack-"));
  try {
    const options = { cwd: ROOT, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] };
    const [packed] = JSON.parse(execFileSync("npm", ["pack", "--json", "--silent", "--ignore-scripts", "--pack-destination", dir], options));
    const names = packed.files.map((file) => file.path);
    for (const name of ["package.json", "README.md", "dist/index.js", "dist/index.mjs", "dist/node.mjs", "dist/node.cjs", "dist/types/index.d.ts", "dist/types/node.d.ts"]) {
      assert.ok(names.includes(name), `${name} is not in the package`);
    }
    assert.ok(names.every((name) => !/^(src|test|scripts)\//.test(name)), names.join());
    const home = path.join(dir, "node_modules/sluice-mp");
    fs.mkdirSync(home, { recursive: true });
    execFileSync("tar", ["-xzf", path.join(dir, packed.filename), "-C", home, "--strip-components=1"]);
    assert.equal(JSON.parse(fs.readFileSync(path.join(home, "package.json"), "utf8")).dependencies, undefined);
    fs.writeFileSync(path.join(dir, "a.cjs"), `const { default: s } = require("sluice-mp"); const { create } = require("sluice-mp/node"); console.log(typeof s.track, typeof create);`);
    fs.writeFileSync(path.join(dir, "b.mjs"), `import sluice from "sluice-mp"; import { create } from "sluice-mp/node"; console.log(typeof sluice.track, typeof create);`);
    assert.equal(execFileSync(process.execPath, ["a.cjs"], { cwd: dir, encoding: "utf8" }).trim(), "function function");
    assert.equal(execFileSync(process.execPath, ["b.mjs"], { cwd: dir, encoding: "utf8" }).trim(), "function function");
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
});
