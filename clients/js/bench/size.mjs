//! How large the package is as bundlers deliver it: minified by esbuild, then gzip at level 9. `npm ci && npm run size`,
//! after a build of the package.

import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const DIST = new URL("../dist/", import.meta.url).pathname;

async function size(contents, external = []) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: DIST },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    external,
    write: false,
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

const LATER = ["./poll.js", "./shared.js"];
const sizes = {
  "connect, without what is loaded when it is asked for": await size('export { connect } from "./index.js"', LATER),
  "everything but that": await size('export * from "./index.js"', LATER),
  "everything": await size('export * from "./index.js"'),
  "the decoder alone": await size('export * from "./decoder.js"'),
};
for (const [name, bytes] of Object.entries(sizes)) console.log(`${name}: ${bytes} bytes`);

/** What a page loads that uses all of the package but polling and shared tabs. */
const MAX_BYTES = 5_000;
if (sizes["everything but that"] > MAX_BYTES) {
  console.error(`more than ${MAX_BYTES} bytes`);
  process.exitCode = 1;
}
