# A static image of `matverse` for linux/amd64: one binary, no shell, user 65532.
#
#   docker build -t localhost/matverse:v1 .
#
# It cannot be tried on a machine without a container engine; the end-to-end tests there write an
# image of the same shape (e2e/image) from a binary built with the same flags.
FROM rust:1.95-bookworm AS build
# aws-lc, the cryptography behind TLS, is built from C.
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src ./src
# The target is named so that the flag does not reach build scripts and macros, which must stay dynamic.
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN cargo build --release --locked --bin matverse --target x86_64-unknown-linux-gnu

FROM scratch
COPY --from=build /src/target/x86_64-unknown-linux-gnu/release/matverse /matverse
# Where no file of roots is configured, those of the build image stand for the public ones.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/matverse"]
