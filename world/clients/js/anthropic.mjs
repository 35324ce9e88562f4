// The Anthropic SDK: node anthropic.mjs BASE_URL
import Anthropic from "@anthropic-ai/sdk";
import { tell, url } from "./tell.mjs";

const client = new Anthropic({ baseURL: url, apiKey: "none", maxRetries: 0 });
try {
  const stream = await client.messages.create({
    model: "bells",
    max_tokens: 20,
    messages: [{ role: "user", content: "Is all well?" }],
    stream: true,
  });
  for await (const event of stream) {
    const data = event?.delta?.text ?? event?.delta?.stop_reason;
    if (data !== undefined) tell({ event: event.type, data });
    else if (!event?.type) tell({ event: "message", data: "nothing" });
  }
  tell({ end: "over" });
} catch (error) {
  tell({ end: error.constructor.name, message: error.message });
}
