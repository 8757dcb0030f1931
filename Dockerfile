# One image for all services: `docker run IMAGE run fetch`. See docs/deploy.md.
# For amd64 and arm64: nothing is compiled, and there is no Redis in it.
ARG PYTHON=3.12.13-slim-bookworm@sha256:4766d8b510c428e595d74b9cc5bbb2fae8e26316fffb4adc89908d79aacd58a2

FROM python:${PYTHON} AS build
WORKDIR /src
# No pip in there: the final stage installs nothing.
RUN python -m venv --without-pip /opt/patchsync
COPY requirements.lock ./
# Only what the lock file's hashes name; setuptools, which builds patchsync below, is among it.
RUN pip --python /opt/patchsync/bin/python install --no-cache-dir \
        --require-hashes --only-binary :all: --requirement requirements.lock
COPY pyproject.toml README.md LICENSE beat_schedule.py ./
COPY patchsync patchsync
COPY standin standin
COPY workers workers
RUN pip --python /opt/patchsync/bin/python install --no-cache-dir \
        --no-index --no-deps --no-build-isolation .

FROM python:${PYTHON}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="patchsync" \
      org.opencontainers.image.description="Keeps PaStA and Patchwork in step" \
      org.opencontainers.image.licenses="GPL-2.0-or-later" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /opt/patchsync /opt/patchsync
# Compiled when it was installed; a container writes to /tmp and to the store, nowhere else.
ENV PATH=/opt/patchsync/bin:$PATH \
    PATCHSYNC_CONFIG=/etc/patchsync/patchsync.toml \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /tmp
# Any other works too, and needs no entry in /etc/passwd: whoever owns the store.
USER 1000:1000
ENTRYPOINT ["patchsync"]
CMD ["--help"]
