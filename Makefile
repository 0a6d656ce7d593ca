# Each target does all its own set-up, on a fresh machine too (tools/setup).
# `make setup` leaves .venv/bin/allie.

PY := .venv/bin/python
ARGS ?=
WORKERS ?= 4

# bench/ and demo/ are checked when there is Python in them
CHECKED := src tests tools $(sort $(patsubst %/,%,$(dir $(wildcard bench/*.py demo/*.py))))

HISTORIES ?= 10000

.PHONY: setup setup-demo setup-lint setup-test setup-deb setup-rpm
.PHONY: demo test check deep kit install deb rpm wheel bench lint docs pictures clean
.PHONY: ruff mypy unit  # parts of check and lint, which set up what they need

setup:
	@tools/setup run
	@echo "allie is $(CURDIR)/.venv/bin/allie; make demo shows what it does"

setup-demo setup-lint setup-test setup-deb setup-rpm:
	@tools/setup $(@:setup-%=%)

demo: setup-demo  ## the tour: a store and three PCs; KEEP=DIR leaves them there
	@demo/demo $(if $(KEEP),--keep $(KEEP))

test: setup-test  ## every test; ARGS='-k name' for some; WORKERS=0 in one process
	$(if $(filter 0,$(WORKERS)),,tools/in-memory) $(PY) -m pytest -q -n $(WORKERS) $(ARGS)

deep: setup-test  ## HISTORIES=10000 random histories; it may be stopped, and goes on from there
	tools/in-memory $(PY) -m tests.model.play $(HISTORIES) --workers $(WORKERS)

kit: setup  ## the client archive, build/kit/usr/local/bin/allie
	$(PY) -m allie.server.kit build/kit

install:  ## all of ALLiE below DESTDIR, at PREFIX=/usr/local: what packages have
	@tools/install

deb: setup-deb  ## Debian packages, build/deb
	@tools/deb

rpm: setup-rpm  ## RPM packages, build/rpm
	@tools/rpm

wheel: setup-test  ## a wheel and a source archive, dist
	@$(PY) -m build --no-isolation --outdir dist

# All are run, and fail in the end if one did; bench/README.md
BENCHES := '-m bench.enter' '-m bench.install' '-m bench.fleet' '-m bench.fleet_site' '-m bench.serving --install' \
	'bench/images.py --install' 'bench/run.py --install'

bench: setup-test  ## writes bench/*.md; ARGS='--quick --files 500' is bench/run.py alone, so
	@failed=0; for each in $(if $(ARGS),'bench/run.py $(ARGS)',$(BENCHES)); do \
		$(PY) $$each || failed=1; done; exit $$failed

lint: setup-lint
	@$(MAKE) --no-print-directory ruff mypy

check: setup-test  ## what is run before a commit, in seconds: lint, tests/unit and the structure
	@$(MAKE) --no-print-directory -j3 --output-sync=target --keep-going ruff mypy unit

ruff:
	$(PY) -m ruff check $(CHECKED)
	$(PY) -m ruff format --check $(CHECKED)

mypy:
	$(PY) -m mypy $(CHECKED)

unit:
	$(PY) -m pytest -q -n $(WORKERS) tests/unit tests/test_structure.py $(ARGS)

docs: setup  ## the man pages as pages, build/man
	@$(PY) tools/manpages.py build/man

pictures: setup-test  ## docs/howto/pictures anew, by Chromium
	@$(PY) -m tools.screenshots

clean:
	rm -rf .venv build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
