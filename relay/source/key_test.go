package source_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// rsaPEM is a public key as a bank publishes it.
func rsaPEM(t testing.TB) string {
	t.Helper()
	for _, v := range vectors(t) {
		if v.Provider == "snap-bi" {
			return v.Secret
		}
	}
	t.Fatal("no vector has an RSA key")
	return ""
}

// A public key comes in many forms, and through an environment that eats line
// breaks.
func TestAPublicKeyIsReadInEveryForm(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	asPEM := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	sum := sha512.Sum512([]byte("{}"))
	signature, err := rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA512, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	whole := asPEM("PUBLIC KEY", spki)
	for name, secret := range map[string]string{
		"PEM":                       whole,
		"PEM in one line":           strings.ReplaceAll(whole, "\n", " "),
		`PEM with \n written out`:   strings.ReplaceAll(whole, "\n", `\n`),
		"PKCS #1":                   asPEM("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&private.PublicKey)),
		"certificate":               asPEM("CERTIFICATE", certificate),
		"DER in base64":             base64.StdEncoding.EncodeToString(spki),
		"DER in base64, two blanks": " " + base64.StdEncoding.EncodeToString(spki) + " ",
	} {
		s := parse(t, "shop", "secret: "+quoted(secret)+"\nverify: {type: rsa, algorithm: sha512, signature: 'header(\"X-Signature\")'}\n")
		right := base64.StdEncoding.EncodeToString(signature)
		if got := status(t, s, request("{}", "X-Signature", right)); got != 200 {
			t.Errorf("%s: %d", name, got)
		}
		if got := status(t, s, request("{ }", "X-Signature", right)); got != 401 {
			t.Errorf("%s, another body: %d", name, got)
		}
	}
}

func TestAKeyOfAnotherTypeRefusesToLoad(t *testing.T) {
	for _, kind := range []string{"ecdsa", "ed25519"} {
		_, problems := tryParse("shop", "secret: "+quoted(rsaPEM(t))+"\nverify: {type: "+kind+", signature: raw}\n")
		if want := "it is a key of another type than " + kind; !strings.Contains(problems.Error(), want) {
			t.Errorf("%v, want %s", problems, want)
		}
	}
}
