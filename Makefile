# make demo   installs what is missing, builds, and runs the main job on what the repository ships
# make test   the same for all tests
# make study  runs manifests/compensation/*.yaml, the study on the demo models, and reports; it resumes
PACKAGES := build-essential libdnnl-dev libffi-dev libseccomp-dev libspng-dev libsqlite3-dev libssl-dev libtiff-dev libturbojpeg0-dev libwebp-dev
# Tests on a cluster of this machine, of a database, in a browser, of the ABI beside DLPack and in cffi, and of plugins in Python; without them those tests
# are skipped and say so.
TEST_PACKAGES := slurm-wlm munge iproute2 postgresql chromium librsvg2-bin libdlpack-dev python3-cffi python3-numpy
BINARY   := .build/release/ablate
WORKER   := .build/release/ablate-worker
SOURCES  := Package.swift $(shell find Sources -type f)
SUDO     := $(if $(filter 0,$(shell id -u)),,sudo)

demo: build plugins
	$(BINARY) run manifests/quick.yaml --out runs/demo --fresh
	$(BINARY) report runs/demo

# The seeded damage of FuzzTests, a million times; minutes to hours.
fuzz: deps plugins
	swift build -c release --build-tests
	ABLATE_FUZZ_RUNS=1000000 swift test -c release --skip-build --filter FuzzTests

study: build plugins
	@for name in two-by-two vision-sweep decoder-windows patching controls; do \
	  $(BINARY) run manifests/compensation/$$name.yaml --out runs/study/$$name && \
	  $(BINARY) report runs/study/$$name || exit $$?; done

# For mean ablation in controls.yaml; only when a demo model changes, which their digest would tell.
means: build
	@mkdir -p manifests/compensation/means
	@for model in demo-compensating demo-control demo-grouped; do \
	  $(BINARY) mean --model $$model --dataset data/parts --offset 200 --at projector.out --tokens image \
	    --out manifests/compensation/means/$$model.safetensors || exit $$?; done

test: deps test-deps plugins
	swift build -c release --build-tests
	swift test -c release --skip-build

build: deps $(BINARY) $(WORKER)

$(BINARY) $(WORKER): $(SOURCES)
	swift build -c release --product $(@F)
	@touch $@

# Outside the host's link: a plugin can be deleted and built again while the host stays as it is.
plugins: deps
	@$(MAKE) --no-print-directory -C Plugins

# By name, and only what is missing.
deps:
	@$(call install,$(PACKAGES))

test-deps:
	@$(call install,$(TEST_PACKAGES)) || echo "tests that need $(TEST_PACKAGES) may be skipped"

define install
missing=""; for p in $(1); do \
  dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
if [ -n "$$missing" ]; then \
  $(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends $$missing; fi
endef

format:
	swift format lint --strict --recursive Package.swift Sources Tests Plugins

clean:
	rm -rf .build runs
	@$(MAKE) --no-print-directory -C Plugins clean

.PHONY: demo fuzz study means test build plugins deps test-deps format clean
