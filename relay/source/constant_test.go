package source_test

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// What a secret makes is compared by crypto/subtle alone: a comparison that ends
// at the first difference tells an attacker how far a guess is right. The matrix
// of seeded bugs names another file to read.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, cmp.Or(os.Getenv("KURIR_SEEDED"), "verify.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(f.Name.Name, "same") {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				_, number := n.Y.(*ast.BasicLit)
				if (n.Op == token.EQL || n.Op == token.NEQ) && !number {
					t.Errorf("%s: a comparison that may end early", fset.Position(n.Pos()))
				}
			case *ast.SelectorExpr:
				if n.Sel.Name == "ConstantTimeCompare" {
					compared++
				} else if n.Sel.Name == "Equal" || n.Sel.Name == "Compare" {
					t.Errorf("%s: %s may end early", fset.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
	if compared < 2 {
		t.Errorf("%d comparisons in constant time were found, want one for sums and one for texts", compared)
	}
}
