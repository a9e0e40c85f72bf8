ARG BASE_IMAGE=python:3.12-slim-bookworm

FROM ${BASE_IMAGE} AS builder
# Where torch alone comes from, as PyPI's own carries CUDA; empty: from pip's ordinary indexes.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN python3 -m venv /opt/converter
ENV PATH=/opt/converter/bin:$PATH
# Torch before the sources: its layer outlives every change of the package.
COPY constraints.txt /src/
RUN pip install --no-cache-dir --no-deps --constraint /src/constraints.txt ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch
COPY pyproject.toml README.md /src/
COPY converter /src/converter
RUN pip install --no-cache-dir --constraint /src/constraints.txt /src

# No WORKDIR and no USER: GitHub mounts the workspace and its command files at run time, owned so that only root may write them.
FROM ${BASE_IMAGE}
ARG VERSION
ARG SOURCE
LABEL org.opencontainers.image.title="converter" \
      org.opencontainers.image.description="Hugging Face checkpoints in, validated ONNX models out" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
ENV PATH=/opt/converter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=builder /opt/converter /opt/converter
COPY entrypoint.sh /usr/local/bin/converter-entrypoint
ENTRYPOINT ["/usr/local/bin/converter-entrypoint"]
