FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/build && python -m venv /opt/tierwise
WORKDIR /src
COPY requirements.txt requirements-build.txt ./
RUN /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements-build.txt \
 && /opt/tierwise/bin/pip install --require-hashes --only-binary :all: -r requirements.txt
COPY . .
RUN /opt/build/bin/python -m hatchling build -t wheel -d /wheels \
 && /opt/tierwise/bin/pip install --no-deps --no-index /wheels/*.whl \
 && /opt/tierwise/bin/tierwise check

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/tierwise --create-home tierwise \
 && install -d -o tierwise -g tierwise /etc/tierwise /var/cache/tierwise
COPY --from=build /opt/tierwise /opt/tierwise
# Compiled kernels outlive a restart here; mount a volume to let them outlive the container.
ENV PATH=/opt/tierwise/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TIERWISE_HTTP__HOST=0.0.0.0 \
    TIERWISE_KERNEL_CACHE=/var/cache/tierwise
USER tierwise
# tierwise.yaml is read from the working directory.
WORKDIR /etc/tierwise
EXPOSE 9108
# Ready comes after the kernels are compiled and the partitions loaded, so the first minute may be quiet.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9108/ready', timeout=2)"]
ENTRYPOINT ["tierwise"]
CMD ["run"]
