package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/kurir-relay/kurir/load"
)

// body is a callback of about 450 bytes, as PHP's json_encode writes it.
func body(ref string) []byte {
	return fmt.Appendf(nil, `{"event":"order.success","timestamp":"2025-01-15T14:30:00+07:00","data":{"order_id":%d,"ref_id":"%s",`+
		`"status":"Success","product_code":"TSEL10","product_name":"Telkomsel 10.000","customer_number":"081234567890",`+
		`"price":11500,"sn":"1234567890123456","message":"Transaksi berhasil \/ SN: 1234567890123456 \u2013 TSEL10 081234567890",`+
		`"created_at":"2025-01-15T14:29:55+07:00","updated_at":"2025-01-15T14:30:00+07:00"}}`, 12345, ref)
}

// header is what a PHP provider behind a reverse proxy sends.
func header(signature string) map[string]string {
	return map[string]string{
		"Content-Type":       "application/json",
		"User-Agent":         "GuzzleHttp/7",
		"Accept":             "application/json",
		"X-Signature":        signature,
		"X-Type-Transaction": "ppob",
		"X-Forwarded-For":    "203.0.113.7",
		"X-Forwarded-Proto":  "https",
		"X-Real-Ip":          "203.0.113.7",
	}
}

func sign(body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// fresh builds n signed callbacks that no server has seen.
func (b *bench) fresh(addr string, n int) [][]byte {
	b.serial++
	requests := make([][]byte, n)
	for i := range requests {
		body := body(fmt.Sprintf("ORDER-%04d-%08d", b.serial, i))
		requests[i] = load.Post(addr, "/webhook/shop", header(sign(body)), body)
	}
	return requests
}

// forged builds n callbacks with a well-formed signature of another secret.
func (b *bench) forged(addr string, n int) [][]byte {
	b.serial++
	requests := make([][]byte, n)
	for i := range requests {
		body := body(fmt.Sprintf("ORDER-%04d-%08d", b.serial, i))
		requests[i] = load.Post(addr, "/webhook/shop", header(sign(append([]byte("x"), body...))), body)
	}
	return requests
}
