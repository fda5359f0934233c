# Each recipe is a line you could type. `make run` and `make test` are all a
# fresh machine with Go, make and git needs.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: run build test lint fuzz bench bench-short peers rigs rig-kill rig-power rig-full rig-sync seeded clean

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

# What is done to a running daemon; see docs/guarantees.md.
rigs: rig-kill rig-full rig-sync rig-power

CYCLES ?= 10
rig-kill:
	go run ./test/rig kill -cycles $(CYCLES)

rig-power:
	go run ./test/rig power -cycles $(CYCLES) -fs ext4
	go run ./test/rig power -cycles $(CYCLES) -fs xfs
	go run ./test/rig power -cycles $(CYCLES) -fs ext4 -tags kurir_nosync -must-fail

rig-full:
	go run ./test/rig full -cycles $(CYCLES)

rig-sync:
	go run ./test/rig sync -cycles $(CYCLES)

# Broken variants of Kurir, each of which a test must catch.
seeded:
	go run ./test/seeded

clean:
	rm -rf bin dist
