package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/gin-gonic/gin"
	bolt "go.etcd.io/bbolt"
	_ "modernc.org/sqlite"
)

// A payload is what the baselines decode of a callback.
type payload struct {
	Event string
	Data  struct {
		RefID string `json:"ref_id"`
	}
}

// baselines are the servers Kurir is compared with. Each verifies the HMAC of the
// raw body and decodes the JSON; they differ in what they keep.
var baselines = map[string]func(dir string) (keep func(key string, body []byte) error, err error){
	"bare": func(string) (func(string, []byte) error, error) {
		return func(string, []byte) error { return nil }, nil
	},
	"bbolt-one": boltOne,
	"sqlite":    sqliteOne,
}

// serveBaseline answers on addr until the process ends.
func serveBaseline(kind, addr, dir string) error {
	keep, err := baselines[kind](dir)
	if err != nil {
		return err
	}
	gin.SetMode(gin.ReleaseMode)
	g := gin.New()
	g.POST("/webhook/shop", func(c *gin.Context) { handle(c, keep) })
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return http.Serve(l, g)
}

func handle(c *gin.Context, keep func(string, []byte) error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, 1<<20))
	if err != nil {
		c.JSON(http.StatusRequestEntityTooLarge, gin.H{"error": err.Error()})
		return
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	got, err := hex.DecodeString(c.GetHeader("X-Signature"))
	if err != nil || !hmac.Equal(got, mac.Sum(nil)) {
		c.JSON(http.StatusUnauthorized, gin.H{"error": "Invalid signature"})
		return
	}
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		c.JSON(http.StatusBadRequest, gin.H{"error": err.Error()})
		return
	}
	if err := keep(p.Event+"\x00"+p.Data.RefID, body); err != nil {
		c.JSON(http.StatusServiceUnavailable, gin.H{"error": err.Error()})
		return
	}
	c.JSON(http.StatusOK, gin.H{"status": "ok"})
}

// boltOne stores body and dedupe key with one bbolt commit a request.
func boltOne(dir string) (func(string, []byte) error, error) {
	db, err := bolt.Open(filepath.Join(dir, "one.db"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	return func(key string, body []byte) error {
		return db.Update(func(tx *bolt.Tx) error {
			keys, err := tx.CreateBucketIfNotExists([]byte("keys"))
			if err != nil {
				return err
			}
			if keys.Get([]byte(key)) != nil {
				return nil
			}
			log, err := tx.CreateBucketIfNotExists([]byte("log"))
			if err != nil {
				return err
			}
			n, _ := log.NextSequence()
			id := fmt.Appendf(nil, "%016x", n)
			if err := keys.Put([]byte(key), id); err != nil {
				return err
			}
			return log.Put(id, body)
		})
	}, nil
}

// sqliteOne stores body and dedupe key with one SQLite commit a request, in WAL
// mode with synchronous=FULL, so that a commit is as durable as bbolt's.
func sqliteOne(dir string) (func(string, []byte) error, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "one.sqlite")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`create table log (id integer primary key, key text unique, body blob)`); err != nil {
		return nil, err
	}
	insert, err := db.Prepare(`insert into log (key, body) values (?, ?) on conflict do nothing`)
	if err != nil {
		return nil, err
	}
	return func(key string, body []byte) error {
		_, err := insert.Exec(key, body)
		return err
	}, nil
}

// runBaseline is the child process's main.
func runBaseline(args []string) int {
	if len(args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: bench baseline KIND ADDR DIR")
		return 2
	}
	if err := serveBaseline(args[0], args[1], args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
