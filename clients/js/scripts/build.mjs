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

/** Modules in the order in which they need each other; their top-level names are distinct. */
const IMPORT = /^(?:import|export) .*?from "(\.[^"]+)";\n/gms;
const names = [];
(function visit(name) {
  if (names.includes(name)) return;
  for (const [, path] of readFileSync(`dist/${name}`, "utf8").matchAll(IMPORT)) visit(path.slice(2));
  names.push(name);
})("index.js");

const declared = new Set();
const bodies = names.map((name) => {
  const text = readFileSync(`dist/${name}`, "utf8").replace(IMPORT, "").replace(/^export (?=\w)/gm, "").replace(/^export \{\};\n/gm, "");
  for (const [, found] of text.matchAll(/^(?:async )?(?:const|let|class|abstract class|function) (\w+)/gm)) {
    if (declared.has(found)) throw new Error(`two modules declare ${found}; a bundle needs distinct names`);
    declared.add(found);
  }
  return text;
});
const exported = [...readFileSync("dist/index.js", "utf8").matchAll(/^export \{ ([^}]+) \}/gm)].map(([, list]) => list);
const head = "// bellwether-client: all modules in one file. MIT OR Apache-2.0\n";
writeFileSync("dist/bellwether-client.js", `${head}${bodies.join("")}export { ${exported.join(", ")} };\n`);

// A package carries its licences; in the repository they stand once, at its root.
for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) {
  const root = `../../${name}`;
  if (existsSync(root)) copyFileSync(root, name);
}
