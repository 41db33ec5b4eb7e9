# fetchd as a small image: docker build -t fetchd . (or ./dev image)
#
# Debian 12 is named by its short name and taken from wherever the container engine takes images.

FROM debian:bookworm-slim AS build
WORKDIR /src
# The packages first: they change seldom, so their layer is kept.
COPY dev ./
RUN ./dev setup-build
COPY . .
RUN ./dev build release fetchd fetchctl && \
    install -D -s -t /out/usr/local/bin build/release/bin/fetchd build/release/bin/fetchctl && \
    install -D -m 644 deploy/fetchd.container.yaml /out/etc/fetchd/fetchd.yaml

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="fetchd" \
      org.opencontainers.image.description="Outbound HTTP for callers, by gRPC"
# The libraries that the two programs link, and the certificates that https needs.
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ca-certificates libgrpc++1.51 libprotobuf32 libssl3 libabsl20220623 libboost-url1.81.0 libc-ares2 libnghttp2-14 libpsl5 libsimdjson14 \
      publicsuffix libyaml-cpp0.7 zlib1g libbrotli1 libzstd1 libprometheus-cpp-core1.0 libmimalloc2.0 && \
    rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* && \
    useradd --system --uid 65532 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin fetchd
COPY --from=build /out/ /
# Numeric, so that an orchestrator can see that it is not root. The root file system may be read-only: nothing is written.
USER 65532:65532
# gRPC; metrics and health for the operator.
EXPOSE 50051 9464
# fetchd drains on it: keep the grace period above drain.pause + drain.deadline (27 s as shipped).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["fetchctl", "health"]
ENTRYPOINT ["fetchd"]
CMD ["--config=/etc/fetchd/fetchd.yaml"]
