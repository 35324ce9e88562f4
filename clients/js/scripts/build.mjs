//! Builds `dist/`: modules and types by the compiler, and all modules in one file for pages without a bundler.

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));

/** Types keep their comments, which editors show; code goes without. */
const tsc = (...more) => execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", ".", ...more], { stdio: "inherit" });
rmSync("dist", { recursive: true, force: true });
tsc("--declaration", "false", "--removeComments");
tsc("--emitDeclarationOnly");

/** Modules in the order in which they need each other, those that are loaded later at the end; their top-level names are distinct. */
const IMPORT = /^(?:import|export) .*?from "\.\/([^"]+)";\n/gms;
const LATER = /(?:const \{ \w+ \} = await import\("\.\/([^"]+)"\);|\(await import\("\.\/([^"]+)"\)\)\.)/g;
const names = [];
const later = [];
function visit(name) {
  if (names.includes(name)) return;
  const text = readFileSync(`dist/${name}`, "utf8");
  for (const [, path] of text.matchAll(IMPORT)) visit(path);
  for (const [, path, other] of text.matchAll(LATER)) later.push(path ?? other);
  names.push(name);
}
visit("index.js");
for (const name of later) visit(name);

const declared = new Set();
const bodies = names.map((name) => {
  const module = readFileSync(`dist/${name}`, "utf8");
  for (const [, found] of module.matchAll(/^(?:export )?(?:async )?(?:const|let|class|function) (\w+)/gm)) {
    if (declared.has(found)) throw new Error(`two modules declare ${found}; a bundle needs distinct names`);
    declared.add(found);
  }
  return module
    .replace(IMPORT, "")
    .replace(LATER, "")
    .replace(/^export \{\};\n/gm, "")
    .replace(/^export /gm, "")
    .replace(/^ +/gm, "");
});
const exported = [...readFileSync("dist/index.js", "utf8").matchAll(/^export \{ ([^}]+) \}/gm)].map(([, list]) => list);
const head = "// bellwether-client, all modules in one file. MIT OR Apache-2.0\n";
writeFileSync("dist/bellwether-client.js", `${head}${bodies.join("")}export { ${exported.join(", ")} };\n`);

// A package carries its licences; in the repository they stand once, at its root.
for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) {
  const root = `../../${name}`;
  if (existsSync(root)) copyFileSync(root, name);
}
