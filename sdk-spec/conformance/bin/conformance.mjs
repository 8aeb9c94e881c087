#!/usr/bin/env node
// Tests SDKs by scenario, gateways by URL, and puts what came of it in a table.

import { main } from "../lib/cli.mjs";

process.exitCode = await main(process.argv.slice(2));
