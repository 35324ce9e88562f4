"""BlackSheep as a peer: server-sent events from a queue per reader."""

import asyncio
import sys

import uvicorn
from blacksheep import Application, Request, get, post, text
from blacksheep.server.sse import ServerSentEventsResponse, TextServerSentEvent

app = Application()
queues = set()


@get("/events")
async def events():
    queue = asyncio.Queue()
    queues.add(queue)

    async def provider():
        try:
            while True:
                yield TextServerSentEvent(await queue.get())
        finally:
            queues.discard(queue)

    return ServerSentEventsResponse(provider)


@post("/publish")
async def publish(request: Request):
    data = await request.text()
    for queue in queues:
        queue.put_nowait(data)
    return text("")


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
        backlog=4096,
    )
