"""Requests, calls and verdicts of fetchd.v1, with stubs as any Python caller generates them."""

from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import grpc
from fetchd.v1 import fetch_pb2 as pb
from fetchd.v1 import fetch_service_pb2 as service_pb
from fetchd.v1 import fetch_service_pb2_grpc as service
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

import waiting

# The RPC's own deadline in tests; only a failing test meets it.
DEADLINE = 60 * waiting.SLOWNESS


def duration(seconds: float) -> duration_pb2.Duration:
    """A Duration of so many seconds."""
    result = duration_pb2.Duration()
    result.FromNanoseconds(int(seconds * 1e9))
    return result


def fetch_request(
    url: str,
    method: str = "",
    headers: Iterable[Tuple[str, bytes]] = (),
    body: bytes = b"",
    attempts: int = 0,
    max_bytes: int = 0,
    truncate: bool = False,
    **timeouts: float,
) -> pb.FetchRequest:
    """A FetchRequest; `timeouts` are the fields of Timeouts in seconds."""
    request = pb.FetchRequest(url=url, method=method, body=body)
    for name, value in headers:
        request.headers.add(name=name, value=value)
    if attempts:
        request.retry.max_attempts = attempts
    if max_bytes:
        request.body_policy.max_bytes = max_bytes
    if truncate:
        request.body_policy.on_overflow = pb.BodyPolicy.OVERFLOW_TRUNCATE
    for name, seconds in timeouts.items():
        if name == "min_bytes_per_second":
            request.timeouts.min_bytes_per_second = int(seconds)
        else:
            getattr(request.timeouts, name).CopyFrom(duration(seconds))
    return request


class Client:
    """Calls one fetchd."""

    def __init__(self, channel: grpc.Channel, caller: str = "itest"):
        self.channel = channel
        self.stub = service.FetchServiceStub(channel)
        self.metadata = (("fetchd-caller", caller),)

    def fetch(self, url: Any, deadline: float = DEADLINE, **more: Any) -> pb.FetchResponse:
        """Fetch of a URL with the arguments of fetch_request, or of a whole FetchRequest."""
        return self.stub.Fetch(as_request(url, **more), timeout=deadline, metadata=self.metadata)

    def fetch_later(self, url: Any, deadline: float = DEADLINE, **more: Any) -> grpc.Future:
        """As fetch, but a future."""
        return self.stub.Fetch.future(as_request(url, **more), timeout=deadline, metadata=self.metadata)

    def batch(self, requests: Sequence[Any], deadline: float = DEADLINE, **more: Any) -> Any:
        """FetchBatch; iterates over FetchBatchResponse."""
        items = [as_request(request) for request in requests]
        return self.stub.FetchBatch(
            service_pb.FetchBatchRequest(requests=items, **more), timeout=deadline, metadata=self.metadata
        )

    def stream(self, url: Any, deadline: Optional[float] = DEADLINE, **more: Any) -> "StreamCall":
        """FetchStream without a streamed request body."""
        start = service_pb.FetchStreamStart(request=as_request(url, **more))
        return StreamCall(
            self.stub.FetchStream(
                iter([service_pb.FetchStreamRequest(start=start)]), timeout=deadline, metadata=self.metadata
            )
        )

    def upload(
        self,
        url: Any,
        chunks: Iterable[bytes],
        length: Optional[int] = None,
        deadline: float = DEADLINE,
        **more: Any,
    ) -> "StreamCall":
        """FetchStream with a streamed request body; `chunks` is read as gRPC wants more."""
        start = service_pb.FetchStreamStart(request=as_request(url, **more), streams_body=True)
        if length is not None:
            start.body_length = length

        def messages() -> Iterator[service_pb.FetchStreamRequest]:
            yield service_pb.FetchStreamRequest(start=start)
            for chunk in chunks:
                yield service_pb.FetchStreamRequest(chunk=chunk)

        return StreamCall(self.stub.FetchStream(messages(), timeout=deadline, metadata=self.metadata))

    def paged(self, url: Any, deadline: float = DEADLINE, fetch: Optional[Dict[str, Any]] = None, **more: Any) -> Any:
        """FetchPaged with the fields of FetchPagedRequest; iterates over FetchPagedResponse."""
        request = service_pb.FetchPagedRequest(request=as_request(url, **(fetch or {})), **more)
        return self.stub.FetchPaged(request, timeout=deadline, metadata=self.metadata)


def as_request(url: Any, **more: Any) -> pb.FetchRequest:
    """A whole FetchRequest as it is, or one made of a URL."""
    return fetch_request(url, **more) if isinstance(url, str) else url


class StreamCall:
    """A FetchStream under way: `head`, the chunks, `tail`, in the order the contract promises; and after how many bytes
    of the body it was `resumed`."""

    def __init__(self, call: Any):
        self.call = call
        self.head: Optional[service_pb.ResponseHead] = None
        self.tail: Optional[service_pb.StreamTail] = None
        self.resumed: List[int] = []

    def chunks(self) -> Iterator[bytes]:
        """The body's pieces; sets `head` and `tail` and checks the order."""
        size = 0
        for message in self.call:
            kind = message.WhichOneof("message")
            assert self.tail is None, f"{kind} after the tail"
            if kind == "head":
                assert self.head is None, "two heads"
                self.head = message.head
            elif kind == "chunk":
                assert self.head is not None, "a chunk before the head"
                assert 0 < len(message.chunk) <= 1024 * 1024
                size += len(message.chunk)
                yield message.chunk
            elif kind == "resumed":
                assert message.resumed.offset == size
                self.resumed.append(size)
            else:
                assert kind == "tail", f"an unset message: {message}"
                self.tail = message.tail
        assert self.tail is not None, "the stream ended without a tail"

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.chunks())


def response_of(reply: pb.FetchResponse, status: int = 200) -> pb.HttpResponse:
    """The response of a reply, which must have this status."""
    assert reply.WhichOneof("outcome") == "response", f"no response: {reply.error}"
    assert reply.response.status == status, f"status {reply.response.status}: {reply.response.body[:500]!r}"
    assert reply.fetch_id
    return reply.response


def error_of(reply: pb.FetchResponse, code: int, phase: Optional[int] = None) -> pb.FetchError:
    """The error of a reply, which must have this code and phase."""
    assert reply.WhichOneof("outcome") == "error", f"no error: {reply.response.status} {reply.response.body[:200]!r}"
    return checked_error(reply.error, code, phase)


def checked_error(error: pb.FetchError, code: int, phase: Optional[int] = None) -> pb.FetchError:
    """The error, which must have this code and phase and be filled in as the contract says."""
    got = f"{pb.ErrorCode.Name(error.code)} in {pb.Phase.Name(error.phase)}: {error.message}"
    assert error.code == code, f"expected {pb.ErrorCode.Name(code)}, got {got}"
    if phase is not None:
        assert error.phase == phase, f"expected {pb.Phase.Name(phase)}, got {got}"
    assert error.message and error.phase and error.processed, f"not filled in: {error}"
    return error


def headers_of(message: Any) -> List[Tuple[str, bytes]]:
    """Headers as pairs."""
    return [(header.name, header.value) for header in message.headers]


def header_of(message: Any, name: str) -> Optional[bytes]:
    """The first value of a header."""
    return next((header.value for header in message.headers if header.name == name), None)


def status_details(error: grpc.RpcError) -> Dict[str, Any]:
    """The google.rpc.Status details of a failed call, by the name of their type."""
    metadata = dict(error.trailing_metadata())
    assert "grpc-status-details-bin" in metadata, f"no status details: {error}"
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    details: Dict[str, Any] = {}
    for packed in status.details:
        name = packed.type_url.rsplit(".", 1)[-1]
        message = getattr(error_details_pb2, name)()
        assert packed.Unpack(message)
        details[name] = message
    assert details["ErrorInfo"].domain == "fetchd"
    return details


def violations(error: grpc.RpcError) -> Dict[str, str]:
    """Field and description of each violation of a refused request."""
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, f"{error.code()}: {error.details()}"
    details = status_details(error)
    assert details["ErrorInfo"].reason == "INVALID_REQUEST"
    found = {violation.field: violation.description for violation in details["BadRequest"].field_violations}
    assert found and all(found.values())
    return found
