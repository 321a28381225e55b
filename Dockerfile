# The search server in a container: docs/serving.md. CPU by default; `--target cuda` for NVIDIA GPUs.
# Written to work, but not built yet: no container engine was at hand.

FROM python:3.11-slim-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml setup.py CMakeLists.txt constraints.txt README.md LICENSE ./
COPY csrc csrc
COPY unrealperson unrealperson
RUN pip wheel --no-cache-dir --no-deps -w /wheels . -c constraints.txt

# Serving needs no torch, so only what `unrealperson serve` imports is installed beside the package itself.
FROM python:3.11-slim-bookworm AS base
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/*
COPY constraints.txt /tmp/constraints.txt
RUN pip install --no-cache-dir -c /tmp/constraints.txt \
      fastapi jinja2 numba numpy pillow prometheus-client pyarrow python-multipart rich scipy tyro uvicorn
COPY --from=build /wheels /tmp/wheels
RUN pip install --no-cache-dir --no-deps /tmp/wheels/*.whl && rm -r /tmp/wheels \
 && useradd --create-home --uid 1000 unrealperson
USER unrealperson
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/ready', timeout=4)"]
# Other machines reach a container's 0.0.0.0, so the server wants UNREALPERSON_TOKEN (docker run -e) before it starts.
ENTRYPOINT ["unrealperson", "serve", "--serve.host", "0.0.0.0", "--log-json"]

FROM base AS cuda
USER root
RUN pip install --no-cache-dir -c /tmp/constraints.txt 'onnxruntime-gpu[cuda,cudnn]'
USER unrealperson

FROM base AS cpu
USER root
RUN pip install --no-cache-dir -c /tmp/constraints.txt onnxruntime
USER unrealperson
