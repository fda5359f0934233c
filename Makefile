# Each recipe is a line you could type. `make run` and `make test` are all a
# fresh machine with Go, make and git needs.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: run build test lint fuzz bench bench-short peers rigs rig-power seeded clean

# The daemon on the example, with a secret it makes itself.
run: build
	bin/kurir run --config rules.example.yaml --data data --make-secrets

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/kurir ./cmd/kurir

test:
	go test -race -timeout 10m ./...

lint:
	test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	cd bench && go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...

# Every fuzz target for FUZZTIME.
FUZZTIME ?= 10s
fuzz:
	go run ./test/fuzz -time $(FUZZTIME)

# The comparison of docs/performance.md: about half an hour.
bench:
	cd bench && go run . -out ../docs/performance.md

bench-short:
	cd bench && go run . -short

# The far sides some tests speak to: PHP, Flask, Express' and npm's libraries,
# strace and xfs for the rigs. Debian, as root.
peers:
	apt-get update -qq
	apt-get install -y -qq php-cli python3-flask strace xfsprogs npm || apt-get install -y -qq php-cli python3-flask strace xfsprogs

# What is done to a running daemon; see docs/guarantees.md. `make rigs` is the
# short form, `make rigs CYCLES=300` a long one. Those that need root or a tool
# which is not there say so and are skipped.
CYCLES ?= 10
RIGS := kill steps power-ext4 power-xfs power-control readonly full sync damage reload down flood slow
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
