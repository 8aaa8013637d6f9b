# One obvious command for each task; `make help` lists them.
PYTHON ?= python3
UV     := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN    := $(UV) run --frozen --no-sync
export UV_PYTHON_DOWNLOADS = never

.PHONY: help sync
help:                ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 22
