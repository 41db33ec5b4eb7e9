"""grpc.aio in front of one shared httpx.AsyncClient. Usage: server.py HOST:PORT.

PEER_STUBS=folder has the stubs that setup.sh made. PEER_CA=file trusts that CA for https origins. PEER_HTTP2=1 offers h2 to them (python3-h2).
PEER_UVLOOP=1 runs on uvloop (python3-uvloop).
"""
import asyncio, os, ssl, sys

import grpc
import httpx

sys.path.insert(0, os.environ["PEER_STUBS"])
import peer_pb2 as pb
import peer_pb2_grpc as rpc


class Peer(rpc.PeerServicer):
    def __init__(self):
        ca = os.environ.get("PEER_CA")
        self.client = httpx.AsyncClient(
            http2=bool(os.environ.get("PEER_HTTP2")),
            verify=ssl.create_default_context(cafile=ca) if ca else True,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=60),
            timeout=None)

    def _request(self, q):
        return self.client.build_request(q.method or "GET", q.url, content=q.body or None,
                                         headers=[(h.name, h.value) for h in q.headers] or None)

    async def _one(self, q):
        try:
            r = await self.client.send(self._request(q), stream=True)
            try:
                body = b"".join([part async for part in r.aiter_raw()])
            finally:
                await r.aclose()
            return pb.FetchResponse(
                status=r.status_code, body=body,
                headers=[pb.Header(name=k, value=v) for k, v in r.headers.items()])
        except httpx.HTTPError as e:
            return pb.FetchResponse(error=repr(e))

    async def Fetch(self, q, ctx):
        return await self._one(q)

    async def FetchBatch(self, q, ctx):
        return pb.BatchResponse(responses=await asyncio.gather(*map(self._one, q.requests)))

    async def FetchStream(self, q, ctx):
        r = await self.client.send(self._request(q), stream=True)
        try:
            yield pb.Chunk(status=r.status_code,
                           headers=[pb.Header(name=k, value=v) for k, v in r.headers.items()])
            async for data in r.aiter_raw():
                yield pb.Chunk(data=data)
        finally:
            await r.aclose()


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
