"""The Anthropic SDK: python anthropic_messages.py BASE_URL"""

from anthropic import Anthropic

from tell import URL, tell_end, tell_event


def run():
    client = Anthropic(base_url=URL, api_key="none", max_retries=0)
    question = [{"role": "user", "content": "Is all well?"}]
    stream = client.messages.create(model="bells", max_tokens=20, messages=question, stream=True)
    for event in stream:
        if getattr(event, "type", None) is None:
            tell_event("message", "nothing")
        elif event.type == "content_block_delta":
            tell_event(event.type, event.delta.text)
        elif event.type == "message_delta":
            tell_event(event.type, event.delta.stop_reason)


tell_end(run)
