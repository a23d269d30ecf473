# What outlives a run (docker-compose.yml): ptb itself with the gateway's libraries. No torch, no model, no key.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ARG PIP_ARGS
COPY . /src
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install -q --no-cache-dir ${PIP_ARGS} '/src[gateway]' \
    && rm -rf /src && mkdir /cache && chown 65534:65534 /cache
USER 65534:65534
WORKDIR /
ENTRYPOINT ["/opt/venv/bin/python"]
