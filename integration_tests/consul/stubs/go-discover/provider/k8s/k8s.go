// Package k8s finds no server in Kubernetes; go.mod says why.
package k8s

import (
	"log"

	"github.com/hashicorp/go-discover"
)

// Provider finds nothing.
type Provider struct{}

// Addrs fails.
func (*Provider) Addrs(map[string]string, *log.Logger) ([]string, error) {
	return nil, discover.ErrLeftOut
}

// Help is empty.
func (*Provider) Help() string { return "" }
