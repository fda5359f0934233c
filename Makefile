# Each recipe is a line you could type. `make run` and `make test` are all a
# fresh machine with Go, make and git needs.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: run build test lint vulnerabilities reproducible fuzz bench bench-short peers rigs rig-power seeded clean

# The daemon on the example, with a secret it makes itself.
run: build
	bin/kurir run --config rules.example.yaml --data data --make-secrets

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/kurir ./cmd/kurir

# All tests, and then which of those that speak to real peers were skipped: go
# test does not say.
PEERS := AcceptsWhatIsForwarded|OwnLibraries|WebhooksLibrary|RealMailServer
test:
	go test -race -timeout 10m ./...
	@go test -v -run '$(PEERS)' ./sinks ./relay/source ./test/peers | grep -o 'SKIPPED.*' || true

lint:
	test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	cd bench && go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...
	$(MAKE) --no-print-directory vulnerabilities

# Known vulnerabilities in what the code calls. Without the database's site
# nothing is known, which is said and is no failure.
vulnerabilities:
	@out=$$(go run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./... 2>&1); code=$$?; echo "$$out"; \
	case "$$out" in *"fetching vulnerabilities"*) echo "SKIPPED: the database of vulnerabilities can't be reached"; exit 0;; esac; exit $$code

# The program is made of its source alone: built twice, in two places, once
# without anything of a build before, it has the same bytes.
reproducible:
	@dir=$$(mktemp -d) && trap 'rm -rf '$$dir EXIT && for copy in first second; do \
		mkdir $$dir/$$copy && git archive HEAD | tar -x -C $$dir/$$copy && cd $$dir/$$copy && \
		CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $$dir/kurir-$$copy ./cmd/kurir && cd - >/dev/null || exit 1; \
		export GOCACHE=$$dir/cache; done; \
	cmp $$dir/kurir-first $$dir/kurir-second && sha256sum < $$dir/kurir-first

# Every fuzz target for FUZZTIME.
FUZZTIME ?= 10s
fuzz:
	go run ./test/fuzz -time $(FUZZTIME)

# The comparison of docs/performance.md: about half an hour.
bench:
	cd bench && go run . -out ../docs/performance.md

bench-short:
	cd bench && go run . -short

# The far sides some tests speak to: PHP, Flask, Express' and npm's libraries, the
# mail server mailpit, strace and xfs for the rigs. Debian, as root.
peers:
	apt-get update -qq
	apt-get install -y -qq php-cli python3-flask strace xfsprogs npm || apt-get install -y -qq php-cli python3-flask strace xfsprogs
	command -v mailpit >/dev/null || GOBIN=/usr/local/bin go install github.com/axllent/mailpit@v1.33.1

# What is done to a running daemon; see docs/guarantees.md. `make rigs` is the
# short form, `make rigs CYCLES=300` a long one. Those that need root or a tool
# which is not there say so and are skipped.
CYCLES ?= 10
RIGS := kill steps power-ext4 power-xfs power-control readonly full sync damage reload down flood sleep slow
rigs: $(RIGS:%=rig-%)

rig-power: rig-power-ext4 rig-power-xfs rig-power-control

rig-power-ext4 rig-power-xfs: rig-power-%:
	go run ./test/rig power -cycles $(CYCLES) -fs $*

# A build that does not sync, which must be caught.
rig-power-control:
	go run ./test/rig power -cycles 10 -tags kurir_nosync -must-fail

rig-%:
	go run ./test/rig $* -cycles $(CYCLES)

# Broken variants of Kurir, each of which a test must catch.
seeded:
	go run ./test/seeded

clean:
	rm -rf bin dist
