// A client as a browser is over HTTP/2: it resets one stream and keeps its connection. Prints "reset" when it has.
import http2 from "node:http2";

const [url, path] = process.argv.slice(2);
const session = http2.connect(url, { rejectUnauthorized: false, family: 4 });
const stream = session.request({ ":path": path, accept: "text/event-stream" });
stream.on("error", () => {});
stream.on("response", () => {
  setTimeout(() => {
    stream.close(http2.constants.NGHTTP2_CANCEL);
    console.log("reset");
  }, 1000);
});
