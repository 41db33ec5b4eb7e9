"""grpc.aio in front of one shared aiohttp ClientSession. Usage: server.py HOST:PORT.

PEER_STUBS=folder has the stubs that setup.sh made. PEER_CA=file trusts that CA for https origins.
PEER_UVLOOP=1 runs on uvloop (python3-uvloop).
"""
import asyncio, os, ssl, sys

import aiohttp
import grpc

sys.path.insert(0, os.environ["PEER_STUBS"])
import peer_pb2 as pb
import peer_pb2_grpc as rpc


class Peer(rpc.PeerServicer):
    def __init__(self):
        ca = os.environ.get("PEER_CA")
        ctx = ssl.create_default_context(cafile=ca) if ca else None
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=ctx, keepalive_timeout=60),
            cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None))

    def _request(self, q):
        return self.session.request(q.method or "GET", q.url, data=q.body or None,
                                    headers=[(h.name, h.value) for h in q.headers] or None)

    async def _one(self, q):
        try:
            async with self._request(q) as r:
                body = await r.read()
                return pb.FetchResponse(
                    status=r.status, body=body,
                    headers=[pb.Header(name=k, value=v) for k, v in r.headers.items()])
        except (aiohttp.ClientError, asyncio.TimeoutError) as e:
            return pb.FetchResponse(error=repr(e))

    async def Fetch(self, q, ctx):
        return await self._one(q)

    async def FetchBatch(self, q, ctx):
        return pb.BatchResponse(responses=await asyncio.gather(*map(self._one, q.requests)))

    async def FetchStream(self, q, ctx):
        async with self._request(q) as r:
            yield pb.Chunk(status=r.status,
                           headers=[pb.Header(name=k, value=v) for k, v in r.headers.items()])
            async for data in r.content.iter_any():
                yield pb.Chunk(data=data)


async def main(at):
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1),
                                      ("grpc.max_send_message_length", -1)])
    rpc.add_PeerServicer_to_server(Peer(), server)
    server.add_insecure_port(at)
    await server.start()
    print("listening on", at, flush=True)
    await server.wait_for_termination()


if os.environ.get("PEER_UVLOOP"):
    import uvloop
    uvloop.install()
asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"))
