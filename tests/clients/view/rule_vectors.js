// Rewards of each case under its other rule, as the page computes them. Standard input and output are JSON.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { rewards } = await import(pathToFileURL(process.argv[2]).href);
const cases = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(cases.map(({ items, rule, given }) => rewards(items, rule, given))));
