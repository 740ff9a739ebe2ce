# The exporter, alone and without root: about 20 MB more than its base.
#
#   docker build -t openim-exporter .
#   docker run -p 10006:10006 -v openim-exporter:/data openim-exporter
FROM rust:1.91-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY benches benches
RUN cargo build --release --locked --bin openim-exporter && install -d -m 0700 /build/data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/openim-exporter /usr/local/bin/openim-exporter
# A volume that is mounted here begins as this one's user's.
COPY --from=build --chown=nonroot:nonroot /build/data /data
ENV OPENIM_EXPORTER_STORAGE_PATH=/data
# By its number, so that Kubernetes sees that it is not root.
USER 65532:65532
EXPOSE 10006
VOLUME /data
# SIGTERM: it drains for 4 s at most.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/openim-exporter"]
