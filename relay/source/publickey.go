package source

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// A publicKey verifies a signature over content.
type publicKey func(content, signature []byte) bool

// parseKey reads a public key: for ed25519 its 32 raw bytes, otherwise, or for
// ed25519 as well, a PEM block or base64 of SPKI DER.
func parseKey(kind string, text []byte) (publicKey, error) {
	if kind == "ed25519" && len(text) == ed25519.PublicKeySize {
		return edKey(text), nil
	}
	der := text
	if block, _ := pem.Decode(text); block != nil {
		der = block.Bytes
	} else if raw, err := decodeBase64(string(text)); err == nil {
		der = raw
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("want a public key in PEM, or its SPKI DER in base64: %w", err)
	}
	switch public := public.(type) {
	case ed25519.PublicKey:
		if kind == "ed25519" {
			return edKey(public), nil
		}
	case *ecdsa.PublicKey:
		if kind == "ecdsa" {
			return func(content, signature []byte) bool {
				sum := sha256.Sum256(content)
				return ecdsa.VerifyASN1(public, sum[:], signature)
			}, nil
		}
	case *rsa.PublicKey:
		if kind == "rsa" {
			return func(content, signature []byte) bool {
				sum := sha256.Sum256(content)
				return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature) == nil
			}, nil
		}
	}
	return nil, errors.New("the key is not of type " + kind)
}

func edKey(public []byte) publicKey {
	return func(content, signature []byte) bool {
		return len(signature) == ed25519.SignatureSize && ed25519.Verify(public, content, signature)
	}
}
