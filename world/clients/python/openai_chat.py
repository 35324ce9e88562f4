"""The OpenAI SDK: python openai_chat.py BASE_URL"""

from openai import OpenAI

from tell import URL, tell_end, tell_event


def run():
    client = OpenAI(base_url=URL + "/v1", api_key="none", max_retries=0)
    question = [{"role": "user", "content": "Is all well?"}]
    stream = client.chat.completions.create(model="bells", messages=question, stream=True)
    for chunk in stream:
        choice = chunk.choices[0] if chunk.choices else None
        if choice is None:
            tell_event("message", "nothing")
        elif choice.delta.content != "":
            tell_event("message", choice.delta.content or choice.finish_reason)


tell_end(run)
