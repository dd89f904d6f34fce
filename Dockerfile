# The environment and the code, to train on one machine or to serve a cluster as an image:
#   docker build -t posmlp .
#   docker run --rm --gpus all -v "$PWD/results:/posmlp/results" posmlp make reproduce STUDY=digits
# Written without a build: no Docker daemon was at hand.
FROM python:3.11-slim-bookworm
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /posmlp
# The environment is a layer of its own: a change of the code does not install torch again.
COPY Makefile environment.yml pyproject.toml README.md LICENSE ./
COPY posmlp/__init__.py posmlp/__init__.py
RUN make env
COPY . .
RUN touch .venv/.installed
ENV PATH=/posmlp/.venv/bin:$PATH
CMD ["make", "help"]
