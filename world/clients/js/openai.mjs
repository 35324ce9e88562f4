// The OpenAI SDK: node openai.mjs BASE_URL
import OpenAI from "openai";
import { tell, url } from "./tell.mjs";

const client = new OpenAI({ baseURL: url + "/v1", apiKey: "none", maxRetries: 0 });
try {
  const stream = await client.chat.completions.create({
    model: "bells",
    messages: [{ role: "user", content: "Is all well?" }],
    stream: true,
  });
  for await (const chunk of stream) {
    const content = chunk.choices?.[0]?.delta?.content;
    if (content !== "") tell({ event: "message", data: content ?? chunk.choices?.[0]?.finish_reason ?? "nothing" });
  }
  tell({ end: "over" });
} catch (error) {
  tell({ end: error.constructor.name, message: error.message });
}
