FROM python:3.12.12-slim AS base

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/build && python -m venv /opt/tierwise
WORKDIR /src
COPY requirements.txt requirements-build.txt ./
RUN /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements-build.txt \
 && /opt/tierwise/bin/pip install --require-hashes --only-binary :all: -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY scoring scoring
COPY sinks sinks
COPY flows flows
RUN /opt/build/bin/python -m hatchling build -t wheel -d /wheels \
 && /opt/tierwise/bin/pip install --no-deps --no-index /wheels/*.whl \
 && /opt/tierwise/bin/tierwise check

FROM base
RUN groupadd --gid 10001 tierwise \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent tierwise \
 && install -d -o tierwise -g tierwise /etc/tierwise /var/cache/tierwise
COPY --from=build /opt/tierwise /opt/tierwise
ENV PATH=/opt/tierwise/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TIERWISE_HTTP__HOST=0.0.0.0 \
    TIERWISE_KERNEL_CACHE=/var/cache/tierwise
USER 10001:10001
# tierwise.yaml is read from the working directory.
WORKDIR /etc/tierwise
# Kernels for the CPU that builds. Another one does not take them: it compiles its own, before it is ready.
RUN python -c "import flows.assembly"
# The one place that is written to, and only by that other CPU. A new volume begins with what the image has there.
VOLUME /var/cache/tierwise
EXPOSE 9108
# Until the kernels are there and all rows are loaded the answer is no; the start period is for a CPU that compiles.
HEALTHCHECK --interval=5s --timeout=3s --start-period=180s --retries=3 \
  CMD ["python", "-S", "-c", "import http.client as h, os; c = h.HTTPConnection('127.0.0.1', int(os.environ.get('TIERWISE_HTTP__PORT', 9108)), timeout=2); c.request('GET', '/ready'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["tierwise"]
CMD ["run"]
