// The packages under test: what `packages.mjs` of each family lists, pinned by
// its package-lock.json or requirements.txt, fetched anew for each run.

import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const ROOT = path.resolve(import.meta.dirname, "..");
const FAULTS_DECLARED = ["unavailable", "limited", "cutBefore", "cutAfter", "slow"];

/** Names of the families: the folders that list packages. */
export function families() {
  const folders = fs.readdirSync(ROOT).filter((name) => fs.existsSync(path.join(ROOT, name, "packages.mjs")));
  return folders.sort();
}

/** Fetches a family's packages; gives the subjects of its rows. What it made goes with this process. */
export async function fetchFamily(family) {
  const folder = path.join(ROOT, family);
  const { default: listed } = await import(path.join(folder, "packages.mjs"));
  if (listed.some((one) => one.npm)) await command("npm", ["ci", "--silent", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"], folder);
  let venv;
  if (listed.some((one) => one.pypi)) {
    venv = fs.mkdtempSync(path.join(os.tmpdir(), `sluice-compat-${family}-`));
    process.on("exit", () => fs.rmSync(venv, { recursive: true, force: true }));
    await command("python3", ["-m", "venv", venv], folder);
    await command(path.join(venv, "bin/pip"), ["install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"], folder);
  }
  return listed.map((one) => subject(one, family, folder, venv));
}

function subject(one, family, folder, venv) {
  for (const fault of FAULTS_DECLARED) {
    if (!one.declared[fault]) throw new Error(`${family}/packages.mjs: ${one.title} declares nothing for ${fault}`);
  }
  const { driver, args = [] } = one;
  const program = driver.endsWith(".py") ? path.join(venv, "bin/python") : process.execPath;
  const [registry, name] = one.npm ? ["npm", one.npm] : ["PyPI", one.pypi];
  return {
    ...one, family, registry, name, cwd: folder, command: [program, driver, ...args],
    version: one.npm ? npmVersion(folder, name) : pypiVersion(folder, name),
    declared: { ok: { resends: true, why: "" }, ...one.declared },
  };
}

/** As installed, which is as locked. */
function npmVersion(folder, name) {
  return JSON.parse(fs.readFileSync(path.join(folder, "node_modules", name, "package.json"), "utf8")).version;
}

function pypiVersion(folder, name) {
  const lines = fs.readFileSync(path.join(folder, "requirements.txt"), "utf8").split("\n");
  const line = lines.find((one) => one.toLowerCase().startsWith(`${name.toLowerCase()}==`));
  if (!line) throw new Error(`${folder}/requirements.txt pins no version of ${name}`);
  return line.split("==")[1].trim().split(/[\s;]/)[0];
}

async function command(program, args, cwd) {
  const child = spawn(program, args, { cwd, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (data) => { said = (said + data).slice(-2000); });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} in ${path.basename(cwd)} ended with ${code}: ${said}`);
}
